"""Candidates become one row an image, each with its queries merged and its part fixed for good."""

import time
from collections.abc import Iterator
from typing import Annotated

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from crawl.rounds.merged_rows import merge_rows
from crawl.rounds.rounds import Round, mark_merged
from crawl.rounds.same_image import find_same_images
from moodarchive.archive.takedown import ERASED_PROVENANCE
from moodarchive.settings import Settings, SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.forgetting import forget_rows
from moodarchive.tables.parts import Origin, finished_parts, run_of_parts, write_part
from moodarchive.tables.schemas import CANDIDATES, ITEMS, REDISCOVERED
from moodarchive.tables.sql import connect, define_normalised, view

BATCH_ROWS = 20_000
_IMAGES = "SELECT count(DISTINCT image) FROM same_image WHERE NOT known"
# Where an image goes. One that lies in a row of a catalogue goes where the other images of its row group go: each group
# is then read for one part alone. A group is a million rows at the most, and a part may become as large.
_PLACES = """
CREATE TABLE places AS
SELECT s.image, any_value(CASE WHEN starts_with(c.url, 'row:')
    THEN md5_number_lower(c.source || regexp_replace(c.url, '[.][0-9]+$', '')) ELSE s.image END) AS spot
FROM candidates c JOIN same_image s ON s.id = ('0x' || c.key)::UBIGINT
WHERE s.id = s.image AND NOT s.known GROUP BY s.image
"""
# The order within an image is that of its queries: best rank first.
_NEW = """
SELECT ($first + p.spot % $parts)::INTEGER AS part, s.image, s.id = s.image AS own, c.*
FROM candidates c JOIN same_image s ON s.id = ('0x' || c.key)::UBIGINT JOIN places p USING (image) WHERE NOT s.known
ORDER BY part, image, c.rank, c.emotion, c.context, c.phrase, c.key
"""
# Of a known image only the queries count: every other column stays as the earlier round has it.
_KNOWN = """
SELECT s.image, true AS own, printf('%016x', s.image) AS key, c.emotion, c.context, c.phrase, c.rank, c.round
FROM candidates c JOIN same_image s ON s.id = ('0x' || c.key)::UBIGINT WHERE s.known
ORDER BY image, c.rank, c.emotion, c.context, c.phrase
"""


class MergeSettings(Settings):
    """How images are spread over parts."""

    rows_per_part: Annotated[int, Field(ge=1, le=100_000), SettingScope.GROWTH] = 2_000
    """Images in a part: the unit of work, retry and progress."""


def merge_candidates(store: Store, record: Round, settings: MergeSettings) -> Round:
    """Merges the round's candidates; a round that is merged already stays as it is. Whole-table, in bounded memory.

    An image that an earlier round has keeps that row: it is not merged again, and the queries that found it anew
    go to rediscovered/, part = round.
    """
    if record.merged:
        return record
    inputs = run_of_parts(CANDIDATES, finished_parts(store, CANDIDATES), record.candidates_parts)

    def origin() -> Origin:
        return Origin(settings=settings.digest(SettingScope.GROWTH), inputs=inputs, started=time.time())

    with connect(store) as connection:
        define_normalised(connection)
        view(connection, store, CANDIDATES, record.candidates_parts)
        view(connection, store, ITEMS, range(record.first_part), "key, url")
        find_same_images(connection)
        connection.execute(_PLACES)
        images = int(connection.execute(_IMAGES).fetchall()[0][0])
        parts = max(1, -(-images // settings.rows_per_part))
        for part, batches in _parts(connection, record.first_part, parts):
            write_part(store, ITEMS, part, batches, origin())
        known = merge_rows(iter(connection.sql(_KNOWN).to_arrow_reader(BATCH_ROWS)))
        write_part(store, REDISCOVERED, record.number, _as_batches(known, REDISCOVERED.schema), origin())
    return mark_merged(store, record, parts)


def _parts(
    connection: duckdb.DuckDBPyConnection, first: int, parts: int
) -> Iterator[tuple[int, Iterator[pa.RecordBatch]]]:
    """Each part of the round with its rows; a part that no key falls into is empty, not absent."""
    reader = connection.sql(_NEW, params={"first": first, "parts": parts}).to_arrow_reader(BATCH_ROWS)
    waiting: list[pa.Table] = []
    expected = first
    for images in merge_rows(iter(reader)):
        table = images
        while table.num_rows:
            current = table["part"][0].as_py()
            while expected < current:
                yield expected, _as_batches(iter(waiting), ITEMS.schema)
                waiting, expected = [], expected + 1
            same = pc.sum(pc.equal(table["part"], current)).as_py()
            waiting.append(table.slice(0, same))
            table = table.slice(same)
    while expected < first + parts:
        yield expected, _as_batches(iter(waiting), ITEMS.schema)
        waiting, expected = [], expected + 1


def _as_batches(tables: Iterator[pa.Table], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for table in tables:
        yield from table.select(schema.names).cast(schema).to_batches()


def forget(store: Store, keys: frozenset[str]) -> dict[str, str]:
    """Erases what items/ says of the keys; rediscovered/ holds queries alone. Returns as ``crawl.rounds.search``'s."""
    return forget_rows(store, ITEMS, keys, ERASED_PROVENANCE)
