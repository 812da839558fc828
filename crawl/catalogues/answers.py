"""The matched rows of a catalogue under the root: one Parquet file a match, sorted by query and rank."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crawl.source import Found, Query
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from moodarchive.tables.schemas import CANDIDATES

FOLDER = "crawl/matches"
ANSWERS = "answers.parquet"
FIELDS = (
    "source_id", "url", "landing_url", "title", "alt_text", "creator", "creator_url", "licence", "licence_url",
    "width", "height", "mature", "retrieved_on",
)  # fmt: skip
"""Columns of an answer's rows, as ``Found`` has them; before them come ``query`` (its digest) and ``rank``."""


def query_digest(query: Query) -> str:
    """Names a query among the answers: what it looks for, whoever wrote it."""
    return digest([query.source, query.emotion, query.context, query.phrase, query.results, query.release])


def read_answer(store: Store, folder: str, query: Query) -> Iterator[Found]:
    """The query's rows in the order of their ranks; none when nothing fitted."""
    wanted = query_digest(query)
    with store.open_for_arrow(f"{folder}/{ANSWERS}") as file:
        parquet = pq.ParquetFile(file, pre_buffer=False)
        column = parquet.schema_arrow.get_field_index("query")
        for group in range(parquet.num_row_groups):
            statistics = parquet.metadata.row_group(group).column(column).statistics
            if statistics is None or statistics.min <= wanted <= statistics.max:
                rows = parquet.read_row_group(group)
                rows = rows.filter(pc.equal(rows["query"], wanted))
                for row in rows.select(FIELDS).to_pylist():
                    yield Found(**row)


def forget_matches(store: Store) -> None:
    """Removes every match: a list tells of images that were taken down, too; what is still asked is matched anew."""
    for path in store.files(FOLDER):
        store.remove(path)


def answers_schema() -> pa.Schema:
    """Of the file of answers."""
    described = [CANDIDATES.schema.field(name).remove_metadata() for name in FIELDS]
    return pa.schema([pa.field("query", pa.string()), pa.field("rank", pa.int32()), *described])
