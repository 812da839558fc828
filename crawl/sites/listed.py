"""Lists of images that lie on this machine, searched by the words of their descriptions with DuckDB."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from crawl.source import Found, Query
from moodarchive.tables.sql import spill_folder

COLUMNS = (
    "source_id", "url", "landing_url", "title", "alt_text", "creator", "creator_url", "licence", "licence_url",
    "width", "height", "mature",
)  # fmt: skip
KINDS = {
    **dict.fromkeys(COLUMNS, "VARCHAR"), "width": "INTEGER", "height": "INTEGER", "mature": "BOOLEAN",
    "searched": "VARCHAR",
}  # fmt: skip
"""Columns of the relation that is indexed, and DuckDB's types for them."""
_WORD = re.compile(r"[a-z0-9]+")
_STOP = frozenset(("the", "and", "with", "for", "into", "from", "its", "his", "her", "their", "over", "under"))
_INDEX = """
CREATE TABLE images AS
    SELECT *, list_distinct(list_transform(
        regexp_extract_all(lower(concat_ws(' ', title, alt_text, searched)), '[a-z0-9]+'),
        lambda word: regexp_replace(word, 's$', ''))) AS words
    FROM listed WHERE url IS NOT NULL AND source_id IS NOT NULL
"""
_SEARCH = f"""
SELECT {", ".join(COLUMNS)} FROM images
WHERE list_has_all(words, $words) ORDER BY len(words), source_id LIMIT $most
"""


def open_database() -> duckdb.DuckDBPyConnection:
    """A database in memory, for one source's list."""
    return duckdb.connect(":memory:", config={"memory_limit": "2GB", "temp_directory": spill_folder()})


def newest_day(paths: Iterable[Path]) -> str:
    """The day (UTC) on which the newest of the files was written: nobody knows better when the list was retrieved."""
    return datetime.fromtimestamp(max(path.stat().st_mtime for path in paths), UTC).date().isoformat()


def build_index(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Indexes the relation ``listed``: COLUMNS, and ``searched``, words that count but are not shown."""
    connection.execute(_INDEX)
    return connection


def search_words(phrase: str) -> list[str]:
    """The words that an image's description must hold, all of them, plurals aside."""
    words = (word.removesuffix("s") for word in _WORD.findall(phrase.lower()) if len(word) > 2 and word not in _STOP)
    return list(dict.fromkeys(words))


def search_index(connection: duckdb.DuckDBPyConnection, query: Query, day: str) -> Iterator[Found]:
    """At most ``query.results`` images whose words hold all of the phrase's, the shortest descriptions first."""
    if not (words := search_words(query.phrase)):
        return
    rows = connection.execute(_SEARCH, {"words": words, "most": query.results}).fetchall()
    for row in rows:
        yield Found(**dict(zip(COLUMNS, row, strict=True)), retrieved_on=day)
