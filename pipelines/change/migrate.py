"""Brings a root of schema version 2 to the present one: names of tables, columns that came since, and the seal."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa

from crawl.rounds.rounds import Round, read_rounds
from filter.cut import CutSettings, adopt_inputs
from filter.early_repeats import adopt_mark_inputs
from moodarchive.archive.manifest import VerifiedManifest
from moodarchive.archive.pruned import keep_pruned
from moodarchive.archive.version import MIGRATION_PATH, SETTINGS_PATH, read_settings_record
from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import DamagedPartError, NotAnArchiveError, NotWholeError
from moodarchive.running.parallel_map import in_threads
from moodarchive.storage.store import Store
from moodarchive.tables.keys import canonical_json, digest
from moodarchive.tables.layout import MANIFEST_PATH, VERIFIED_FOLDER
from moodarchive.tables.parquet import read_column_names
from moodarchive.tables.parts import (
    TIMINGS,
    Sidecar,
    finished_parts,
    input_digest,
    part_path,
    read_part,
    sidecar_path,
    write_part_file,
    write_sidecar,
)
from moodarchive.tables.schemas import (
    CAPTIONS,
    HUMAN_VERDICTS,
    IMAGES,
    ITEMS,
    MIGRATED_VERSION,
    REDISCOVERED,
    REPEATS,
    SAFETY,
    SCHEMA_VERSION,
    SCORES,
    SELECTION,
    SHARD_INDEX,
    TABLES,
    Table,
    explain_version,
)
from pipelines.change.verbs import Say
from pipelines.inspect.report.write import REPORT_PATH, write_report
from shards.history import SealEntry, entry_path, seal_numbers
from shards.seal import seal, unseal

_EARLIER = {
    ITEMS.name: "dealt",
    REDISCOVERED.name: "requeried",
    SELECTION.name: "kept",
    HUMAN_VERDICTS.name: "verdicts",
}
"""Table → its name in version 2; every other has kept its name."""
_PRESENT = {earlier: name for name, earlier in _EARLIER.items()}


@dataclass(frozen=True, kw_only=True)
class Migration:
    """``migration.json``, there from before the first change until after the last: what a killed one needs to go on."""

    sealed: bool
    """Whether the root was sealed, and is to be sealed again."""
    digests: Mapping[str, str]
    """``table/NNNNN`` → the sha256 in version 2 of each part that is written anew for its new columns."""

    def current(self, name: str, sha256: str) -> str:
        """What the part was known by in version 2."""
        return self.digests.get(name, sha256)


def migrate(store: Store, say: Say) -> None:
    """Brings the root to the present schema version; a sealed root ends sealed, under the same seal.

    What was killed goes on where it stood. NotAnArchiveError for a version that cannot be migrated, NotWholeError for a
    sealed root whose records are not those that were sealed: both before anything has changed.
    """
    if _is_present(store):
        say(f"{store.root} has schema version {SCHEMA_VERSION} already; nothing to do")
        return
    with only_writer(store):
        store.remove_drafts()
        migration = _read_migration(store) or _begin(store)
        _carry_out(store, migration)
        reported = store.exists(REPORT_PATH)
        if reported:
            write_report(store)
    state = "sealed" if migration.sealed else "not sealed, as before; moodarchive run goes on with it"
    say(f"{store.root} has schema version {SCHEMA_VERSION} now: {state}")


def _is_present(store: Store) -> bool:
    """True for a root of the present version. NotAnArchiveError for one that cannot be brought to it."""
    version = read_settings_record(store).get("schema_version")
    if store.exists(MIGRATION_PATH) or version == MIGRATED_VERSION:
        return False
    if version != SCHEMA_VERSION:
        raise NotAnArchiveError(f"{store.root} has {explain_version(store.root, version)}")
    return True


def _read_migration(store: Store) -> Migration | None:
    try:
        return Migration(**json.loads(store.read_bytes(MIGRATION_PATH)))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise DamagedPartError(
            f"{store.root}/{MIGRATION_PATH} cannot be read ({error}); remedy: restore the root from a copy"
        ) from None


def _begin(store: Store) -> Migration:
    """Records what is to be done, before anything is."""
    sealed = store.exists(MANIFEST_PATH)
    if sealed:
        _require_unchanged_records(store)
    digests: dict[str, str] = {}
    for table in (*TABLES, HUMAN_VERDICTS):
        digests |= _outdated_parts(store, table)
    migration = Migration(sealed=sealed, digests=digests)
    store.write_bytes(MIGRATION_PATH, (json.dumps(asdict(migration), indent=1, sort_keys=True) + "\n").encode())
    return migration


def _require_unchanged_records(store: Store) -> None:
    """NotWholeError unless records and sidecars are what was sealed: the new seal takes them as they are.

    Rows, pictures and shards keep the digests that were sealed, so that ``verify`` still finds what has changed there.
    """
    try:
        manifest = json.loads(store.read_bytes(MANIFEST_PATH))
        records, parts = dict(manifest["records"]), dict(manifest["parts"])
    except (ValueError, KeyError, TypeError) as error:
        raise _not_whole(store, f"{MANIFEST_PATH} cannot be read ({error!r})") from None
    present = store.files()
    for path, sha256 in records.items():
        if path not in present or store.sha256(path) != sha256:
            raise _not_whole(store, f"{path} is not what was sealed")
    for name, sidecar in parts.items():
        try:
            fields = json.loads(store.read_bytes(f"{name}.json"))
            timeless = {field: value for field, value in fields.items() if field not in TIMINGS}
        except (FileNotFoundError, ValueError, AttributeError):
            timeless = {}
        if timeless != sidecar:
            raise _not_whole(store, f"{name}.json is not what was sealed")


def _not_whole(store: Store, problem: str) -> NotWholeError:
    return NotWholeError(
        f"{store.root}: {problem}; nothing was changed; remedy: restore the file from a copy; verify, of the version "
        "that built the archive, names every problem"
    )


def _outdated_parts(store: Store, table: Table) -> dict[str, str]:
    """The digests of all the table's parts, if columns came since; version 2 wrote all its parts with the same."""
    folder = _EARLIER.get(table.name, table.name)
    numbers = [] if table is SHARD_INDEX else _part_numbers(store, folder)
    if not numbers or not _lacks_columns(store, table, f"{folder}/{numbers[0]:05d}.parquet"):
        return {}
    sidecars = (json.loads(store.read_bytes(f"{folder}/{number:05d}.json")) for number in numbers)
    return {f"{table.name}/{fields['part']:05d}": next(iter(fields["files"].values())) for fields in sidecars}


def _part_numbers(store: Store, folder: str) -> list[int]:
    return [int(name[:-5]) for name in store.names(folder) if name.endswith(".json") and name[:-5].isdigit()]


def _lacks_columns(store: Store, table: Table, path: str) -> bool:
    with store.open_for_arrow(path) as file:
        return not set(table.schema.names) <= {*read_column_names(file), *table.later}


def _carry_out(store: Store, migration: Migration) -> None:
    """Every step may be repeated; the settings' version comes last but for the seal."""
    unseal(store)
    for table in (*TABLES, HUMAN_VERDICTS):  # in the order of the flow: a part's inputs come before it
        _migrate_table(store, migration, table)
    for path in store.files("rounds"):
        _change_json(store, path, _migrate_round)
    for number in seal_numbers(store):
        _change_json(store, entry_path(number), _migrate_seal)
    _migrate_verified(store)
    record = read_settings_record(store) | {"schema_version": SCHEMA_VERSION}
    store.write_bytes(SETTINGS_PATH, (json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())
    _adopt_inputs(store, migration, record)
    if migration.sealed:
        seal(store, amend=True)
    store.remove(MIGRATION_PATH)


def _migrate_table(store: Store, migration: Migration, table: Table) -> None:
    earlier = _EARLIER.get(table.name, table.name)
    if earlier != table.name:
        # what has no sidecar was left half done by a killed run; it is moved like the rest, and made anew by the next
        rows = [name for name in store.names(earlier) if name.endswith(".parquet")]
        moves = [(f"{earlier}/{name}", f"{table.name}/{name}") for name in rows]
        for _ in in_threads(partial(_move, store), moves):
            pass
    numbers = sorted({*_part_numbers(store, earlier), *_part_numbers(store, table.name)})
    for _ in in_threads(partial(_migrate_part, store, migration, table), numbers):
        pass
    if earlier != table.name:
        store.remove_empty_folder(earlier)


def _move(store: Store, paths: tuple[str, str]) -> None:
    store.move(*paths)


def _migrate_part(store: Store, migration: Migration, table: Table, part: int) -> None:
    """Writes the part's sidecar anew under the names of now; a part that lacks columns gets them first, as nulls."""
    earlier = f"{_EARLIER.get(table.name, table.name)}/{part:05d}.json"
    path = earlier if store.exists(earlier) else sidecar_path(table, part)
    fields = json.loads(store.read_bytes(path))
    if fields["schema_version"] != SCHEMA_VERSION:
        files = {_present_name(name): sha256 for name, sha256 in fields["files"].items()}
        inputs = {_present_name(name): sha256 for name, sha256 in fields["inputs"].items()}
        inputs = {name: _present_digest(store, migration, name, sha256) for name, sha256 in inputs.items()}
        changed = {"table": table.name, "files": files, "inputs": inputs, "schema_version": SCHEMA_VERSION}
        sidecar = Sidecar(**{**fields, **changed})
        if f"{table.name}/{part:05d}" in migration.digests:
            sidecar = _add_columns(store, table, sidecar)
        write_sidecar(store, table, sidecar)
    if earlier != sidecar_path(table, part):
        store.remove(earlier)


def _present_name(name: str) -> str:
    """A part or file of a table that was renamed, under its name of now."""
    folder, slash, rest = name.partition("/")
    return f"{_PRESENT.get(folder, folder)}{slash}{rest}"


def _present_digest(store: Store, migration: Migration, name: str, sha256: str) -> str:
    """An input's digest, brought up to date if the input was current and has been written anew since."""
    table = next((table for table in TABLES if name.startswith(f"{table.name}/")), None)
    if table is None or not any(part.startswith(f"{table.name}/") for part in migration.digests):
        return sha256
    if input_digest(name, migration.digests) != sha256:
        return sha256
    numbers = {int(number) for number in name.rpartition("/")[2].split("-")}
    parts = finished_parts(store, table)
    digests = {f"{table.name}/{part:05d}": parts[part].sha256 for part in range(min(numbers), max(numbers) + 1)}
    return input_digest(name, digests) or sha256


def _add_columns(store: Store, table: Table, sidecar: Sidecar) -> Sidecar:
    path = part_path(table, sidecar.part)
    if _lacks_columns(store, table, path):
        write_part_file(store, table, sidecar.part, _with_nulls(store, table, sidecar.part))
    size = int(store.fs.size(store.path(path)))
    fresh = replace(sidecar, files={path: store.sha256(path)}, bytes=size)
    if table is IMAGES:
        keep_pruned(store, path, fresh)
    return fresh


def _with_nulls(store: Store, table: Table, part: int) -> Iterator[pa.RecordBatch]:
    for batch in read_part(store, table, part):
        columns = [
            batch[field.name] if field.name in batch.schema.names else pa.nulls(batch.num_rows, field.type)
            for field in table.schema
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=table.schema)


def _change_json(store: Store, path: str, change: Any) -> None:
    text = store.read_bytes(path)
    changed = change(json.loads(text))
    if changed != text:
        store.write_bytes(path, changed)


def _migrate_round(fields: dict[str, Any]) -> bytes:
    """The round's record: what was dealt is merged, and so is the settings' section."""
    growth = {("merge" if name == "deal" else name): value for name, value in fields["growth"].items()}
    fields = {("merged" if name == "dealt" else name): value for name, value in fields.items()} | {"growth": growth}
    Round(**fields)  # TypeError for a record of another shape, before it is written
    return (canonical_json(fields) + "\n").encode()


def _migrate_seal(fields: dict[str, Any]) -> bytes:
    """A record of the history, as this version would have written it."""
    counts = {_PRESENT.get(name, name): count for name, count in fields["counts"].items()}
    settings = fields["settings"] | {"schema_version": SCHEMA_VERSION}
    return SealEntry(**{**fields, "counts": counts, "settings": settings}).to_json()


def _migrate_verified(store: Store) -> None:
    """The verified set is an archive of its own; its files are the same in both versions."""
    verified = Store(f"{store.root.rstrip('/')}/{VERIFIED_FOLDER}")
    for part in _part_numbers(verified, SHARD_INDEX.name):
        _migrate_part(verified, Migration(sealed=False, digests={}), SHARD_INDEX, part)
    if verified.exists(MANIFEST_PATH):
        sections = json.loads(verified.read_bytes(MANIFEST_PATH)) | {"schema_version": SCHEMA_VERSION}
        verified.write_bytes(MANIFEST_PATH, VerifiedManifest.from_json(json.dumps(sections).encode()).to_json())


def _adopt_inputs(store: Store, migration: Migration, record: Mapping[str, Any]) -> None:
    """Verdicts and marks name what they were made from by one digest, which holds names: it is made anew."""
    rounds = read_rounds(store)
    settings = CutSettings.model_validate(record.get("whole_table", {}).get("cut", {}))
    sidecars = {table.name: finished_parts(store, table) for table in (*TABLES, HUMAN_VERDICTS)}

    def digests(table: Table, parts: list[int]) -> list[str]:
        """What version 2 knew the parts by; parts that are not there are left out."""
        done = sidecars[table.name]
        return [migration.current(f"{table.name}/{n:05d}", done[n].sha256) for n in parts if n in done]

    def by_earlier_names(tables: tuple[Table, ...], parts: list[int]) -> dict[str, list[str]]:
        return {_EARLIER.get(table.name, table.name): digests(table, parts) for table in tables}

    known: list[int] = []
    for one in rounds:
        known += one.image_parts
        if sidecars[REPEATS.name]:
            earlier = digest(by_earlier_names((ITEMS, IMAGES, SAFETY), known))
            adopt_mark_inputs(store, settings, one.image_parts, known, earlier)
    parts = sorted(sidecars[SELECTION.name])
    numbers = [one.number for one in rounds if set(one.image_parts) <= set(parts)]
    if parts:
        # repeats/ itself may have changed just now: a sidecar's own digest is that of its rows, which did not
        tables = (ITEMS, IMAGES, SAFETY, CAPTIONS, SCORES, *((REPEATS,) if sidecars[REPEATS.name] else ()))
        inputs: dict[str, Any] = by_earlier_names(tables, parts)
        inputs |= by_earlier_names((REDISCOVERED,), numbers)
        if settings.rejected == "cut":
            judged = {f"verdicts/{part:05d}": done.sha256 for part, done in sidecars[HUMAN_VERDICTS.name].items()}
            inputs |= judged
        adopt_inputs(store, settings, parts, numbers, digest(inputs))
