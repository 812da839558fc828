"""Candidates become one row an image, each with its queries merged and its part fixed for good."""

import time
from collections.abc import Iterator
from typing import Annotated

import duckdb
import pyarrow as pa
from pydantic import Field

from crawl.rounds import Round, mark_dealt
from moodarchive.keys import normalised_url
from moodarchive.parts import Origin, finished_parts, write_part
from moodarchive.schemas import CANDIDATES, DEALT
from moodarchive.settings import Kind, Settings
from moodarchive.sql import connect, view
from moodarchive.store import Store

# A site may list one file under two identifiers: rows of one normalised address take the smallest of its keys.
# An image that an earlier round has dealt keeps that row: it is not dealt again.
_MERGE = """
CREATE TABLE same_url AS
    SELECT address, min(key) AS first_key, bool_or(known) AS known
    FROM (SELECT normalised(url) AS address, key, false AS known FROM candidates
          UNION ALL SELECT normalised(url), key, true FROM dealt)
    GROUP BY address;
CREATE TABLE merged AS
    SELECT c.*, s.first_key
    FROM candidates c JOIN same_url s ON s.address = normalised(c.url)
    WHERE NOT s.known AND c.key NOT IN (SELECT key FROM dealt);
CREATE TABLE final_keys AS SELECT key, min(first_key) AS final_key FROM merged GROUP BY key;
"""
_IMAGES = "SELECT count(DISTINCT final_key) FROM final_keys"
_DEAL = """
WITH queried AS (
    SELECT f.final_key, list_sort(list(DISTINCT {
        'rank': m.rank, 'emotion': m.emotion, 'context': m.context, 'phrase': m.phrase})) AS queries
    FROM merged m JOIN final_keys f USING (key) GROUP BY f.final_key),
described AS (
    SELECT DISTINCT ON (key) * EXCLUDE (emotion, context, phrase, rank, first_key)
    FROM merged ORDER BY key, rank, emotion, context, phrase)
SELECT ($first + ('0x' || d.key)::UBIGINT % $parts)::INTEGER AS part, d.*, q.queries
FROM described d JOIN queried q ON q.final_key = d.key
ORDER BY part, d.key
"""


class DealSettings(Settings):
    """How images are spread over parts."""

    rows_per_part: Annotated[int, Field(ge=1, le=100_000), Kind.GROWTH] = 2_000


def deal(store: Store, record: Round, settings: DealSettings) -> Round:
    """Deals the round's candidates; a round that is dealt is left alone. Whole-table, in bounded memory."""
    if record.dealt:
        return record
    inputs = _inputs(store, record)
    with connect(store) as connection:
        connection.create_function("normalised", normalised_url, ["VARCHAR"], "VARCHAR")
        view(connection, store, CANDIDATES, record.candidates_parts)
        view(connection, store, DEALT, range(record.first_part), "key, url")
        connection.execute(_MERGE)
        images = int(connection.execute(_IMAGES).fetchall()[0][0])
        parts = max(1, -(-images // settings.rows_per_part))
        for part, batches in _parts(connection, record.first_part, parts):
            origin = Origin(settings=settings.digest(Kind.GROWTH), inputs=inputs, started=time.time())
            write_part(store, DEALT, part, batches, origin)
    return mark_dealt(store, record, parts)


def _inputs(store: Store, record: Round) -> dict[str, str]:
    done = finished_parts(store, CANDIDATES)
    return {f"{CANDIDATES.name}/{part:05d}": done[part].sha256 for part in record.candidates_parts}


def _parts(
    connection: duckdb.DuckDBPyConnection, first: int, parts: int
) -> Iterator[tuple[int, Iterator[pa.RecordBatch]]]:
    """Each part of the round with its rows; a part that no key falls into is empty, not absent."""
    reader = connection.sql(_DEAL, params={"first": first, "parts": parts}).to_arrow_reader(10_000)
    waiting: list[pa.Table] = []
    expected = first
    for batch in reader:
        table = pa.Table.from_batches([batch])
        while table.num_rows:
            current = table["part"][0].as_py()
            while expected < current:
                yield expected, _rows(waiting)
                waiting, expected = [], expected + 1
            same = pa.compute.sum(pa.compute.equal(table["part"], current)).as_py()
            waiting.append(table.slice(0, same))
            table = table.slice(same)
    while expected < first + parts:
        yield expected, _rows(waiting)
        waiting, expected = [], expected + 1


def _rows(tables: list[pa.Table]) -> Iterator[pa.RecordBatch]:
    for table in tables:
        yield from pa.Table.from_pylist(table.select(DEALT.schema.names).to_pylist(), schema=DEALT.schema).to_batches()
