"""The seals that an archive has had: each leaves what it held, and what had changed since the one before."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from moodarchive.archive.manifest import Contents
from moodarchive.errors import DamagedPartError, UnknownSealError
from moodarchive.settings import differences
from moodarchive.storage.store import Store
from moodarchive.tables.layout import SEALS_FOLDER
from moodarchive.tables.parquet import row_groups
from moodarchive.tables.parts import read_part
from moodarchive.tables.schemas import SELECTION
from moodarchive.tables.sql import connect, location

_COLUMNS = ("key", "reason", "split", "emotion")
VERDICTS = pa.schema([pa.field(name, pa.string()) for name in _COLUMNS])
ROWS_PER_GROUP = 100_000

_JOURNEYS = """
SELECT CASE WHEN now.key IS NOT NULL AND now.reason IS NULL AND (was.key IS NULL OR was.reason IS NOT NULL) THEN 'in'
            WHEN was.key IS NOT NULL AND was.reason IS NULL AND (now.key IS NULL OR now.reason IS NOT NULL) THEN 'out'
            WHEN was.reason IS NULL AND now.reason IS NULL AND was.split <> now.split THEN 'moved'
            WHEN was.reason IS NULL AND now.reason IS NULL AND was.emotion <> now.emotion THEN 'relabelled' END AS way,
       CASE way WHEN 'in' THEN coalesce(was.reason, 'new') WHEN 'out' THEN coalesce(now.reason, 'gone')
            WHEN 'moved' THEN was.split || ' to ' || now.split ELSE was.emotion || ' to ' || now.emotion END AS why,
       count(*)
FROM was FULL JOIN now USING (key) WHERE way IS NOT NULL GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True, kw_only=True)
class SettingChange:
    """One setting's two values, as JSON has them; null where there was none."""

    setting: str
    was: Any
    now: Any


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What lies between two seals.

    ``since`` is the earlier seal's number, None before the first. Shards are tars by path. Samples that came in are
    counted by why they had been out (``new``: not in the archive), those that left by why they are out now. Relabelled
    are those that a later round found under a better emotion.
    """

    since: int | None
    shards_added: Sequence[str]
    shards_rewritten: Sequence[str]
    shards_removed: Sequence[str]
    samples_in: Mapping[str, int]
    samples_out: Mapping[str, int]
    samples_moved: Mapping[str, int]
    samples_relabelled: Mapping[str, int]
    settings: Sequence[SettingChange]

    def summarise(self) -> dict[str, Any]:
        """The same for the manifest, shards as numbers."""
        sections = asdict(self)
        return sections | {name: len(sections[name]) for name in sections if name.startswith("shards_")}


@dataclass(frozen=True, kw_only=True)
class SealEntry:
    """One seal, ``seals/NNNN.json``: ``contents`` is the digest of what was sealed, ``shards`` maps tars to
    their sha256, ``verdicts`` is the sha256 of ``seals/NNNN.parquet``: every image's key, reason, split and emotion."""

    seal: int
    contents: str
    code_version: str
    counts: Mapping[str, Any]
    sets: Mapping[str, Any]
    licences: Mapping[str, int]
    sources: Mapping[str, int]
    settings: Mapping[str, Any]
    shards: Mapping[str, str]
    verdicts: str
    changes: Mapping[str, Any]

    def to_json(self) -> bytes:
        """The record's bytes; equal records give equal bytes."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, text: bytes) -> "SealEntry":
        """ValueError or TypeError for a text that is no record."""
        return cls(**json.loads(text))


def entry_path(seal: int) -> str:
    """``seals/NNNN.json``."""
    return f"{SEALS_FOLDER}/{seal:04d}.json"


def verdicts_path(seal: int) -> str:
    """``seals/NNNN.parquet``."""
    return f"{SEALS_FOLDER}/{seal:04d}.parquet"


def seal_numbers(store: Store) -> list[int]:
    """Every seal that the archive has had."""
    return [int(name[:-5]) for name in store.names(SEALS_FOLDER) if name.endswith(".json") and name[:-5].isdigit()]


def read_entry(store: Store, seal: int) -> SealEntry:
    """UnknownSealError when there is no such seal, DamagedPartError when its record cannot be read."""
    try:
        return SealEntry.from_json(store.read_bytes(entry_path(seal)))
    except FileNotFoundError:
        numbers = seal_numbers(store)
        there = f"it has {numbers[0]} to {numbers[-1]}" if numbers else "it was never sealed; remedy: moodarchive run"
        raise UnknownSealError(f"{store.root} has no seal {seal}: {there}") from None
    except (ValueError, TypeError) as error:
        raise DamagedPartError(
            f"{store.root}/{entry_path(seal)} is no record of a seal ({error}); remedy: restore it from a copy"
        ) from None


def record_seal(store: Store, contents: Contents, *, amend: bool = False) -> SealEntry:
    """The record of this seal; the last one when nothing has changed since, else a new one, written last of all.

    ``amend`` brings the last one up to date instead: its verdicts and changes stay.
    """
    numbers = seal_numbers(store)
    last = read_entry(store, numbers[-1]) if numbers else None
    if last is not None and last.contents == contents.digest():
        _remove_unfinished(store, last.seal)
        return last
    if amend and last is not None:
        seal, verdicts, changes = last.seal, last.verdicts, last.changes
    else:
        seal = last.seal + 1 if last else 0
        verdicts = _write_verdicts(store, seal, sorted(part.part for part in contents.of_table(SELECTION.name)))
        changes = _compare(store, last, seal, contents.tars, contents.settings).summarise()
    entry = SealEntry(
        seal=seal,
        contents=contents.digest(),
        code_version=contents.code_version,
        counts=contents.counts,
        sets=contents.sets,
        licences=contents.licences,
        sources=contents.sources,
        settings=contents.settings,
        shards=contents.tars,
        verdicts=verdicts,
        changes=changes,
    )
    _remove_unfinished(store, seal)
    store.write_bytes(entry_path(seal), entry.to_json())
    return entry


def digest_history(store: Store) -> dict[str, str]:
    """The digest of every file of the history. The verdicts' are those of their own time: verify is to see changes."""
    digests: dict[str, str] = {}
    for seal in seal_numbers(store):
        digests[entry_path(seal)] = store.sha256(entry_path(seal))
        digests[verdicts_path(seal)] = read_entry(store, seal).verdicts
    return digests


def changes_between(store: Store, earlier: int | None, later: int) -> Changes:
    """What changed from one seal to another; ``earlier`` None stands for the empty archive."""
    before = None if earlier is None else read_entry(store, earlier)
    after = read_entry(store, later)
    return _compare(store, before, after.seal, after.shards, after.settings)


def _compare(
    store: Store, before: SealEntry | None, seal: int, shards: Mapping[str, str], settings: Mapping[str, Any]
) -> Changes:
    old = before.shards if before else {}
    ways: dict[str, dict[str, int]] = {"in": {}, "out": {}, "moved": {}, "relabelled": {}}
    for way, why, count in _count_journeys(store, before.seal if before else None, seal):
        ways[way][why] = count
    changed = differences(before.settings, settings) if before else ()
    return Changes(
        since=before.seal if before else None,
        shards_added=sorted(shards.keys() - old.keys()),
        shards_rewritten=sorted(path for path in shards.keys() & old.keys() if shards[path] != old[path]),
        shards_removed=sorted(old.keys() - shards.keys()),
        samples_in=ways["in"],
        samples_out=ways["out"],
        samples_moved=ways["moved"],
        samples_relabelled=ways["relabelled"],
        settings=[SettingChange(setting=name, was=was, now=now) for name, was, now in changed],
    )


def _count_journeys(store: Store, before: int | None, seal: int) -> list[tuple[str, str, int]]:
    for number in (before, seal):
        if number is not None and not store.exists(verdicts_path(number)):
            raise DamagedPartError(
                f"{store.root}/{verdicts_path(number)} is missing: what seal {number} held is not known; remedy: "
                "restore it from a copy"
            )
    with connect(store) as connection:
        names = {"was": before, "now": seal}
        for name, number in names.items():
            if number is None:
                connection.register(name, VERDICTS.empty_table())
            else:
                quoted = location(store, verdicts_path(number)).replace("'", "''")
                connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{quoted}')")
        return connection.execute(_JOURNEYS).fetchall()


def _write_verdicts(store: Store, seal: int, parts: Sequence[int]) -> str:
    """Writes every image's verdict, part by part; returns the file's sha256."""
    with (
        store.draft(verdicts_path(seal)) as file,
        pq.ParquetWriter(file, VERDICTS, compression="zstd") as writer,
    ):
        for group in row_groups(VERDICTS, ROWS_PER_GROUP, _verdicts(store, parts)):
            writer.write_table(group)
    return file.sha256


def _verdicts(store: Store, parts: Sequence[int]) -> Iterator[pa.Table]:
    for part in parts:
        for batch in read_part(store, SELECTION, part, columns=_COLUMNS, batch_rows=10_000):
            yield pa.Table.from_batches([batch]).select(list(_COLUMNS)).cast(VERDICTS)


def _remove_unfinished(store: Store, last: int) -> None:
    """Verdicts without a record: a seal was killed, and the archive has changed since."""
    for name in store.names(SEALS_FOLDER):
        if name.endswith(".parquet") and name[:-8].isdigit() and int(name[:-8]) > last:
            store.remove(f"{SEALS_FOLDER}/{name}")
