"""Which samples of an archive a use may take, by licence, and what that use then owes."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as TextTable

from moodarchive.archive.licences import Licence, find_licence
from moodarchive.errors import DamagedPartError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import PRIVATE, SETS
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import ITEMS, SELECTION, SHARD_INDEX
from moodarchive.tables.sql import PART, connect, view
from pipelines.inspect.report.recorded_settings import recorded_settings
from pipelines.inspect.sample_lists import require_writable, write_attribution, write_samples
from pipelines.runner.settings_record import require_recorded_settings
from shards.pack import ShardSettings

MEMORY_LIMIT = "1GB"
THREADS = 2
_SHARDS_SHOWN = 20
_TERMS_AT_ONCE = 50_000
_TERMS = pa.schema(
    [
        ("source", pa.string()), ("licence", pa.string()), ("licence_url", pa.string()),
        ("name", pa.string()), ("url", pa.string()), ("withheld", pa.bool_()), ("why_not", pa.string()),
        ("attribution", pa.bool_()), ("share_alike", pa.bool_()), ("non_commercial", pa.bool_()),
        ("permission", pa.bool_()),
    ]
)  # fmt: skip
"""What a row may state, which licence that is, and the answer for it. ``withheld``: for private shards only."""
_JUDGED = """
CREATE TEMP VIEW judged AS
SELECT p.set_name, p.part, t.* EXCLUDE (source, licence, licence_url, why_not),
       CASE WHEN $redistribution AND p.set_name = 'private' THEN coalesce(t.why_not, 'in a private shard')
            ELSE t.why_not END AS why_not,
       t.withheld AND p.set_name <> 'private' AS misplaced, i.key, i.title, i.creator, i.landing_url
FROM packed p JOIN items i ON p.key = i.key JOIN terms t ON t.source IS NOT DISTINCT FROM i.source
     AND t.licence IS NOT DISTINCT FROM i.licence AND t.licence_url IS NOT DISTINCT FROM i.licence_url
"""
_COUNTS = """
SELECT set_name, part, name, url, why_not, attribution, share_alike, non_commercial, permission,
       count(*) AS samples, count(*) FILTER (misplaced) AS misplaced
FROM judged GROUP BY ALL ORDER BY ALL
"""


class Use(StrEnum):
    """What somebody wants to do with the samples."""

    COMMERCIAL_TRAINING = "commercial-training"
    """Train a model, for profit too."""
    REDISTRIBUTION = "redistribution"
    """Pass the samples on as they lie in the shards."""
    ADAPTATION = "adaptation"
    """Change the pictures, as an editor does, and use the results."""


OBLIGATIONS = {
    "attribution": "name the creator, link the licence and the page, and say that the pictures were made smaller",
    "share-alike": "pass changed copies on under the same licence only; whether a model is one is not settled",
    "non-commercial": "nothing that is for profit",
    "permission": "their licence is unknown or the site's own: the operator's permission is what allows it",
    "private": "they lie in private shards, which may not be passed on",
}
"""What an allowed sample may still ask, in a sentence each."""


@dataclass(frozen=True, kw_only=True)
class LicenceCount:
    """Samples of one licence that have one answer: ``why_not`` is None for those that are allowed."""

    licence: str
    url: str | None
    samples: int
    why_not: str | None
    obligations: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ShardCount:
    """One shard and how many of its samples are allowed."""

    shard: str
    samples: int
    allowed: int


@dataclass(frozen=True, kw_only=True)
class LicenceAnswer:
    """The answer for one use.

    ``basis`` says what was counted: samples in ``shards``, else ``kept`` images, else those ``found``. ``unpacked``
    images are kept and lie in no shard yet; ``misplaced`` samples lie in a public shard and may not.
    """

    use: Use
    basis: str
    samples: int
    allowed: int
    obligations: Mapping[str, int]
    licences: tuple[LicenceCount, ...]
    shards: tuple[ShardCount, ...]
    unpacked: int
    misplaced: int

    def to_json(self) -> str:
        """One JSON object, the same for the same archive."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)


def show_licences(
    store: Store, use: Use, console: Console, *, as_json: bool = False, attribution: str = "", samples: str = ""
) -> None:
    """Prints the answer; writes the two lists where they are named. ConfigError for a file that cannot be one."""
    for path, endings in ((attribution, (".csv", ".md")), (samples, (".csv",))):
        if path:
            require_writable(store, Path(path), endings)
    with _open(store, use) as (connection, answer):
        if attribution:
            write_attribution(connection, Path(attribution))
        if samples:
            write_samples(connection, Path(samples))
    if as_json:
        typer.echo(answer.to_json())
        return
    _print(store, answer, console)
    for path, rows, what in ((attribution, answer.allowed, "whom to name"), (samples, answer.samples, "each sample")):
        if path:
            console.print(f"{what}: {escape(path)}, {rows:,} rows", highlight=False, soft_wrap=True)


def answer_for(store: Store, use: Use) -> LicenceAnswer:
    """What the use may take of the archive, sealed or half-built."""
    with _open(store, use) as (_, answer):
        return answer


@contextmanager
def _open(store: Store, use: Use) -> Iterator[tuple[duckdb.DuckDBPyConnection, LicenceAnswer]]:
    """A connection with the view ``judged``, one row a sample, and what it comes to."""
    require_recorded_settings(store)
    shards = recorded_settings(store).shards
    with connect(store, memory_limit=MEMORY_LIMIT, threads=THREADS) as connection:
        try:
            basis, unpacked = _view_samples(connection, store)
            _judge_terms(connection, use, shards)
            connection.execute(_JUDGED.replace("$redistribution", str(use is Use.REDISTRIBUTION)))
            counts = connection.sql(_COUNTS).to_arrow_table().to_pylist()
        except (duckdb.IOException, duckdb.InvalidInputException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise DamagedPartError(
                f"{store.root}: a file of the tables cannot be read: {reason}; remedy: moodarchive verify {store.root} "
                "names what is missing or damaged"
            ) from None
        yield connection, _sum_up(use, basis, counts, unpacked)


def _view_samples(connection: duckdb.DuckDBPyConnection, store: Store) -> tuple[str, int]:
    """Makes ``items`` and ``packed`` (key, set_name, part); what the rows are, and how many are in no shard yet."""
    items, selection, shards = (finished_parts(store, table) for table in (ITEMS, SELECTION, SHARD_INDEX))
    view(
        connection,
        store,
        ITEMS,
        sorted(items),
        f"key, source, licence, licence_url, title, creator, landing_url, {PART}",
    )
    waiting = sorted(selection.keys() - shards.keys())
    view(connection, store, SELECTION, waiting if shards else sorted(selection), f"key, kept, {PART}")
    if not shards:
        rows = "selection WHERE kept" if selection else "items"
        connection.execute(f"CREATE TEMP VIEW packed AS SELECT key, NULL::VARCHAR AS set_name, part FROM {rows}")
        return ("kept" if selection else "found"), 0
    sets = []
    for name in SETS:
        index = replace(SHARD_INDEX, name=f"{SHARD_INDEX.name}/{name}")
        view(connection, store, index, sorted(p for p, shard in shards.items() if name in shard.sets), f"key, {PART}")
        sets.append(f"SELECT key, '{name}' AS set_name, part FROM \"{index.name}\"")
    connection.execute(f"CREATE TEMP VIEW packed AS {' UNION ALL '.join(sets)}")
    counted = connection.execute("SELECT count(*) FROM selection WHERE kept").fetchall()
    return "shards", int(counted[0][0])


def _judge_terms(connection: duckdb.DuckDBPyConnection, use: Use, shards: ShardSettings) -> None:
    """Makes ``terms``: every combination of source, licence and address that a row states, judged once."""
    connection.register("stated_terms", _TERMS.empty_table())
    connection.execute("CREATE TEMP TABLE terms AS FROM stated_terms")
    distinct = connection.sql("SELECT DISTINCT source, licence, licence_url FROM items").to_arrow_table()
    for batch in distinct.to_batches(max_chunksize=_TERMS_AT_ONCE):
        rows = [_judge_term(row, use, shards) for row in batch.to_pylist()]
        connection.register("stated_terms", pa.Table.from_pylist(rows, _TERMS))
        connection.execute("INSERT INTO terms FROM stated_terms")
    connection.unregister("stated_terms")


def _judge_term(stated: Mapping[str, Any], use: Use, shards: ShardSettings) -> dict[str, Any]:
    """A row of ``terms``."""
    source, name, url = stated["source"], stated["licence"], stated["licence_url"]
    licence = find_licence(name, url)
    withheld = shards.keeps_private(source, name, url)
    permitted = use is Use.REDISTRIBUTION and not withheld and not licence.is_public
    return {
        **stated,
        "name": licence.name,
        "url": licence.url,
        "withheld": withheld,
        "why_not": _explain_refusal(licence, use, withheld),
        "attribution": licence.attribution,
        "share_alike": licence.share_alike,
        "non_commercial": not licence.commercial and not permitted,
        "permission": permitted,
    }


def _explain_refusal(licence: Licence, use: Use, withheld: bool) -> str | None:
    """Why the use may not take a picture of this licence; None if it may."""
    checks: tuple[tuple[bool, str | None], ...]
    if use is Use.REDISTRIBUTION:
        checks = (
            (not withheld, None),
            (licence.family == "unknown", "unknown licence"),
            (not licence.redistribution, "not as a collection"),
            (not licence.adaptation, "no adaptation: the pictures were made smaller"),
            (not licence.commercial, "not for profit, and a public set is for anybody"),
            (True, "by the terms of its source"),
        )
    elif use is Use.COMMERCIAL_TRAINING:
        checks = (
            (licence.family == "unknown", "unknown licence"),
            (not licence.commercial, "not for profit"),
            (not licence.training, "no training"),
        )
    else:
        checks = (
            (licence.family == "unknown", "unknown licence"),
            (not licence.adaptation, "no adaptation"),
        )
    return next((why for holds, why in checks if holds), None)


def _sum_up(use: Use, basis: str, counts: Sequence[Mapping[str, Any]], unpacked: int) -> LicenceAnswer:
    licences: Counter[tuple[Any, ...]] = Counter()
    samples: Counter[str] = Counter()
    allowed: Counter[str] = Counter()
    owed: Counter[str] = Counter()
    for row in counts:
        obligations = _obligations(row, use)
        licences[row["name"], row["url"], row["why_not"], obligations] += row["samples"]
        owed.update(dict.fromkeys(obligations, row["samples"]))
        shard = f"shards/{row['set_name']}/{row['part']:05d}.tar" if row["set_name"] else ""
        samples[shard] += row["samples"]
        allowed[shard] += 0 if row["why_not"] else row["samples"]
    return LicenceAnswer(
        use=use,
        basis=basis,
        samples=samples.total(),
        allowed=allowed.total(),
        obligations={name: owed[name] for name in OBLIGATIONS if owed[name]},
        licences=tuple(
            LicenceCount(licence=name, url=url, samples=count, why_not=why_not, obligations=obligations)
            for (name, url, why_not, obligations), count in sorted(licences.items(), key=str)
        ),
        shards=tuple(
            ShardCount(shard=shard, samples=count, allowed=allowed[shard])
            for shard, count in sorted(samples.items())
            if shard
        ),
        unpacked=unpacked,
        misplaced=sum(row["misplaced"] for row in counts),
    )


def _obligations(row: Mapping[str, Any], use: Use) -> tuple[str, ...]:
    """What an allowed sample asks; nothing for one that is not allowed."""
    if row["why_not"]:
        return ()
    owed = {
        "attribution": row["attribution"],
        "share-alike": row["share_alike"],
        "non-commercial": row["non_commercial"],
        "permission": row["permission"],
        "private": row["set_name"] == PRIVATE,
    }
    return tuple(name for name, is_owed in owed.items() if is_owed)


def _print(store: Store, answer: LicenceAnswer, console: Console) -> None:
    counted = {"shards": "samples", "kept": "kept images, in no shard yet", "found": "images found, none judged yet"}
    refused = answer.samples - answer.allowed
    lines = [
        f"[bold]{escape(store.root)}[/]: {answer.samples:,} {counted[answer.basis]}; for {answer.use}, "
        f"{answer.allowed:,} are allowed and {refused:,} are not"
    ]
    if answer.shards:
        whole = sum(shard.allowed == shard.samples for shard in answer.shards)
        none = sum(not shard.allowed for shard in answer.shards)
        lines.append(
            f"{len(answer.shards):,} shards: {whole:,} are allowed whole, {len(answer.shards) - whole - none:,} in "
            f"part, {none:,} not at all"
        )
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    _print_licences(answer, console)
    if answer.shards:
        _print_shards(answer, console)
    for name, count in answer.obligations.items():
        console.print(f"{name}, {count:,} samples: {OBLIGATIONS[name]}", highlight=False, soft_wrap=True)
    if answer.unpacked:
        console.print(
            f"{answer.unpacked:,} more images are kept and lie in no shard yet; remedy: moodarchive run",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    if answer.misplaced:
        console.print(
            f"[bold]{answer.misplaced:,} samples lie in public shards and may not[/]: they were packed by another rule "
            "or other settings; remedy: moodarchive run, which packs them anew",
            highlight=False, soft_wrap=True,
        )  # fmt: skip


def _print_licences(answer: LicenceAnswer, console: Console) -> None:
    table = TextTable("licence", "samples", "allowed", "what they ask, or why not")
    for count in answer.licences:
        asked = ", ".join(count.obligations) or "nothing"
        table.add_row(count.licence, f"{count.samples:,}", "no" if count.why_not else "yes", count.why_not or asked)
    console.print(table)


def _print_shards(answer: LicenceAnswer, console: Console) -> None:
    table = TextTable("shard", "samples", "allowed")
    for shard in answer.shards[:_SHARDS_SHOWN]:
        table.add_row(shard.shard, f"{shard.samples:,}", f"{shard.allowed:,}")
    console.print(table)
    if len(answer.shards) > _SHARDS_SHOWN:
        console.print(f"and {len(answer.shards) - _SHARDS_SHOWN:,} more; --json names them all", highlight=False)
