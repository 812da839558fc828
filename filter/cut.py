"""The verdict on every image: kept, or the reason why not, and its split."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import duckdb
import numpy as np
import pyarrow as pa
from pydantic import Field

from filter.rediscovered import find_anew
from filter.rejected import mark_rejected, verdict_digests
from filter.repeats import mark_repeats
from moodarchive.settings import Settings, SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from moodarchive.tables.parts import Origin, finished_parts, write_part, write_sidecar
from moodarchive.tables.schemas import CAPTIONS, IMAGES, ITEMS, REDISCOVERED, REPEATS, SAFETY, SCORES, SELECTION, Table
from moodarchive.tables.sql import PART, connect, view

INPUTS: tuple[tuple[Table, str], ...] = (
    (
        ITEMS,
        f"key, round, queries[1].emotion AS emotion, queries[1].context AS context, {PART}",
    ),
    (IMAGES, "key, status, sha256, phash, original_width::BIGINT * original_height AS area"),
    (SAFETY, "key, status, verdict"),
    (CAPTIONS, "key, status, nudity, gore"),
    (SCORES, "key, status, score, emotion, context"),
)

BEFORE_CAPTIONS = """
CASE WHEN i.status <> 'ok' AND i.sha256 IS NULL THEN 'failed_download' WHEN f.status <> 'ok' THEN 'failed_safety'
     WHEN f.verdict = 'unsafe' THEN 'unsafe' END
"""
"""Why an image fell before anybody described it."""
VERDICT = """
CASE WHEN f.verdict = 'safe' AND (c.nudity OR c.gore) THEN 'doubtful' ELSE f.verdict END
"""
"""Whether an image is safe: what the captioner answered can make the classifier's verdict stricter, never laxer."""
SPLIT = """
CASE WHEN i.sha256 IS NULL THEN NULL WHEN share < $heldout THEN 'heldout'
     WHEN share < $heldout + $validation THEN 'validation' ELSE 'train' END
"""
SHARE = "LATERAL (SELECT ('0x' || left(i.sha256, 12))::UBIGINT / 281474976710656.0 AS share)"

# One row an image; an earlier failure explains the later ones, so the first that holds is the reason. An image that was
# taken down keeps its place among look-alikes and scores: a takedown changes no other verdict, lets no look-alike in.
_JUDGED = f"""
CREATE TABLE judged AS
SELECT d.key, d.part, d.round, i.phash, i.area, s.score,
       coalesce(s.emotion, d.emotion) AS emotion, coalesce(s.context, d.context) AS context,
       i.status = 'taken_down' AS taken, {VERDICT} AS verdict,
       coalesce({BEFORE_CAPTIONS}, CASE WHEN c.status NOT IN ('ok', 'taken_down') THEN 'failed_caption'
                                        WHEN s.status <> 'ok' THEN 'failed_score' END) AS reason,
       {SPLIT} AS split
FROM items d JOIN images i USING (key) JOIN safety f USING (key) JOIN captions c USING (key) JOIN scores s USING (key),
     {SHARE}
"""
# A later round judges a known image anew in its own cells. In those of the rounds before, the image keeps its place, so
# that nobody else's rank changes.
_CUT = """
CREATE TABLE verdicts AS
WITH members AS (
    SELECT key, round, emotion, context, score
    FROM judged ANTI JOIN marked USING (key) {but_latest} WHERE reason IS NULL
    UNION ALL SELECT key, round, emotion, context, score FROM {again}),
counted AS (
    SELECT *, count(*) OVER cell AS cell_size, row_number() OVER (cell ORDER BY score, key) AS cell_place,
           count(*) OVER wide AS wide_size, row_number() OVER (wide ORDER BY score, key) AS wide_place,
           row_number() OVER (PARTITION BY {floor} ORDER BY score DESC, key DESC) AS from_top
    FROM members
    WINDOW cell AS (PARTITION BY {cell}), wide AS (PARTITION BY {wide})),
low AS (  -- multiplied first: 29 / 100 of 100 rows would be 28.999 of them
    SELECT key, round FROM counted
    WHERE from_top > $floor
      AND CASE WHEN cell_size >= $smallest_cell THEN cell_place <= floor(cell_size * $percentile / 100)
               ELSE wide_place <= floor(wide_size * $percentile / 100) END)
SELECT j.part, j.key, CASE WHEN j.taken THEN 'taken_down'
       ELSE coalesce(m.reason, j.reason, CASE WHEN l.key IS NOT NULL THEN 'low_score' END,
                     CASE WHEN p.key IS NOT NULL THEN 'rejected_by_people' END) END AS reason,
       coalesce(a.emotion, j.emotion) AS emotion, coalesce(a.context, j.context) AS context, j.split, j.round,
       CASE WHEN NOT j.taken THEN j.verdict END AS verdict
FROM judged j LEFT JOIN marked m USING (key) LEFT JOIN latest a USING (key) LEFT JOIN rejected p USING (key)
     LEFT JOIN low l ON l.key = j.key AND l.round = coalesce(a.round, j.round)
"""
# Once over all verdicts: a query a part would join them all once a part.
_ORDERED = """
SELECT part, key, reason IS NULL AS kept, reason, emotion, context, split, round, verdict
FROM verdicts ORDER BY part, key
"""


class CutSettings(Settings):
    """What is cut, and what is set aside."""

    percentile: Annotated[float, Field(ge=0, lt=100), SettingScope.WHOLE_TABLE] = 20.0
    """Share of each cell, in percent, that is cut for its low score; the paper cuts the lowest fifth."""
    scope: Annotated[Literal["cell", "global"], SettingScope.WHOLE_TABLE] = "cell"
    """Whether the lowest are cut in each (emotion, context), or over all images."""
    rounds: Annotated[Literal["apart", "together"], SettingScope.WHOLE_TABLE] = "apart"
    """Whether each round is judged by itself, so that earlier verdicts stay, or all as one (``--recut``)."""
    floor: Annotated[int, Field(ge=0), SettingScope.WHOLE_TABLE] = 0
    """So many of each (emotion, context) are never cut for their score: rare cells are not emptied."""
    smallest_cell: Annotated[int, Field(ge=1), SettingScope.WHOLE_TABLE] = 20
    """Images of a smaller cell are judged among all of their emotion."""
    heldout: Annotated[float, Field(ge=0, le=0.5), SettingScope.WHOLE_TABLE] = 0.001
    """Share set aside for measuring, by content hash."""
    validation: Annotated[float, Field(ge=0, le=0.5), SettingScope.WHOLE_TABLE] = 0.001
    """Share set aside for choosing between models, by content hash."""
    rejected: Annotated[Literal["keep", "cut"], SettingScope.WHOLE_TABLE] = "keep"
    """What becomes of captions that people refused in a study: ``cut`` drops them, and no other verdict changes."""


def is_cut_current(store: Store, settings: CutSettings, parts: list[int], rounds: Sequence[int] = ()) -> bool:
    """True when every part's verdict was made from the tables and settings as they are now."""
    whole = _digest_of_inputs(store, settings, parts, rounds)
    done = finished_parts(store, SELECTION)
    return sorted(done) == parts and all(
        done[part].inputs == {"tables": whole} and done[part].settings == settings.digest(SettingScope.WHOLE_TABLE)
        for part in parts
    )


def cut(store: Store, settings: CutSettings, parts: list[int], rounds: Sequence[int] = ()) -> None:
    """Judges every image of the parts and writes selection/. Whole-table, exact, in bounded memory.

    ``rounds`` are those that the parts make up: what they asked of known images counts.
    """
    if not parts:
        return
    whole = _digest_of_inputs(store, settings, parts, rounds)
    with connect(store) as connection:
        judge(connection, store, settings, parts, rounds)
        rows = OrderedParts(connection, SELECTION, _ORDERED)
        for part in sorted(parts):
            origin = Origin(
                settings=settings.digest(SettingScope.WHOLE_TABLE), inputs={"tables": whole}, started=time.time()
            )
            write_part(store, SELECTION, part, rows.of(part), origin)


def judge(
    connection: duckdb.DuckDBPyConnection, store: Store, settings: CutSettings, parts: list[int], rounds: Sequence[int]
) -> None:
    """Makes the table ``verdicts`` in the connection."""
    mark_rejected(connection, store, cut=settings.rejected == "cut")
    for table, columns in INPUTS:
        view(connection, store, table, parts, columns)
    connection.execute(_JUDGED, {"heldout": settings.heldout, "validation": settings.validation})
    if finished_parts(store, REPEATS):
        # judged before captions: a repeat has none, and that is not why it fell
        view(connection, store, REPEATS, parts)
        connection.execute("CREATE TABLE marked AS SELECT key, reason FROM repeats WHERE reason IS NOT NULL")
    else:
        mark_repeats(connection)
    find_anew(connection, store, parts, rounds)
    members = _MEMBERS[settings.rounds]
    connection.execute(_CUT.format(**_partitions(settings), **members), settings.model_dump(include=_CUT_VALUES))


_MEMBERS = {
    "apart": {"but_latest": "", "again": "anew"},
    "together": {"but_latest": "ANTI JOIN latest USING (key)", "again": "latest"},
}
"""Rounds as one have each image once, under its best."""
_CUT_VALUES = {"smallest_cell", "percentile", "floor"}


def _partitions(settings: CutSettings) -> dict[str, str]:
    """Among which images the lowest are cut, in large cells and in small ones, and the highest are kept."""
    by_round = ["round"] if settings.rounds == "apart" else []
    by_emotion = ["emotion"] if settings.scope == "cell" else []
    by_cell = [*by_emotion, "context"] if by_emotion else []
    columns = {
        "cell": [*by_round, *by_cell],
        "wide": [*by_round, *by_emotion],
        "floor": [*by_round, "emotion", "context"],
    }
    return {name: ", ".join(of) or "true" for name, of in columns.items()}


class OrderedParts:
    """Rows ordered by part and key, handed out part by part as they are read; parts are asked for in rising order."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: Table, query: str) -> None:
        self._schema = table.schema
        self._batches = iter(connection.sql(query).to_arrow_reader(10_000))
        self._waiting: pa.RecordBatch | None = next(self._batches, None)

    def of(self, part: int) -> Iterator[pa.RecordBatch]:
        """The part's rows; none when the part holds no image."""
        while self._waiting is not None:
            mine = int(np.searchsorted(self._waiting["part"].to_numpy(), part, side="right"))
            if mine:
                yield self._waiting.slice(0, mine).select(self._schema.names).cast(self._schema)
            if mine < self._waiting.num_rows:
                self._waiting = self._waiting.slice(mine)
                return
            self._waiting = next(self._batches, None)


def adopt_inputs(store: Store, settings: CutSettings, parts: list[int], rounds: Sequence[int], earlier: str) -> None:
    """Marks verdicts as made from the tables as they are now, if their inputs' digest was ``earlier``.

    For tables that were renamed, or given a column of nulls: no verdict depends on either.
    """
    whole = _digest_of_inputs(store, settings, parts, rounds)
    for sidecar in finished_parts(store, SELECTION).values():
        if sidecar.inputs == {"tables": earlier} != {"tables": whole}:
            write_sidecar(store, SELECTION, replace(sidecar, inputs={"tables": whole}))


def _digest_of_inputs(store: Store, settings: CutSettings, parts: list[int], rounds: Sequence[int]) -> str:
    sidecars = {table.name: finished_parts(store, table) for table, _ in INPUTS}
    if early := finished_parts(store, REPEATS):
        sidecars[REPEATS.name] = early
    digests: dict[str, object] = {name: [done[part].sha256 for part in parts] for name, done in sidecars.items()}
    again = finished_parts(store, REDISCOVERED)
    digests[REDISCOVERED.name] = [again[number].sha256 for number in rounds if number in again]
    return digest(digests | (verdict_digests(store) if settings.rejected == "cut" else {}))
