"""A root's finished tables as DuckDB views, and how much of each is there."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from moodarchive.storage.store import Store
from moodarchive.tables.parts import Sidecar, finished_parts, part_path
from moodarchive.tables.schemas import (
    CANDIDATES,
    CAPTIONS,
    DESCRIPTORS,
    IMAGES,
    ITEMS,
    OPTIONAL,
    REDISCOVERED,
    SHARD_INDEX,
    TABLES,
    Table,
)
from moodarchive.tables.sql import PART, connect, view

_PACKED = """
CREATE TEMP TABLE packed
    (key VARCHAR, set_name VARCHAR, part INTEGER, jpg_offset BIGINT, jpg_size BIGINT)
"""
_ADD_SET = """
INSERT INTO packed
SELECT key, ?, part, jpg_offset, jpg_size FROM "{index}"
"""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How much of a table is there. ``expected`` is None where nothing fixes the number of its parts."""

    name: str
    says: str
    parts: int
    expected: int | None
    rows: int

    @property
    def whole(self) -> bool:
        """True when every part that the merged images call for is there."""
        return self.parts > 0 and (self.expected is None or self.parts >= self.expected)


@dataclass(frozen=True, kw_only=True)
class Tables:
    """An open root: one view a table, and ``packed`` for the samples in the shards."""

    store: Store
    sql: duckdb.DuckDBPyConnection
    coverage: tuple[Coverage, ...]
    caption_parts: tuple[Sidecar, ...]

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The query's whole answer."""
        return self.sql.execute(query, list(values)).fetchall()

    def numbers(self, query: str) -> tuple[int, ...]:
        """The single row of a query that counts; null counts as 0."""
        return tuple(int(value or 0) for value in self.rows(query)[0])

    def has(self, table: Table) -> bool:
        """True when the table has rows."""
        return any(coverage.name == table.name and coverage.rows for coverage in self.coverage)


@contextmanager
def open_tables(store: Store) -> Iterator[Tables]:
    """The root's finished parts; a table that is not there yet is an empty view."""
    sidecars = {table: _readable(store, table) for table in TABLES}
    with connect(store) as connection:
        for table in TABLES:
            if table is not SHARD_INDEX:
                columns = f"key, status, error, {PART}" if table is IMAGES else "*"  # never the pictures themselves
                view(connection, store, table, sidecars[table], columns)
        _collect_packed(connection, store, sidecars[SHARD_INDEX].values())
        yield Tables(
            store=store,
            sql=connection,
            coverage=tuple(_coverage(table, sidecars) for table in TABLES if table not in OPTIONAL or sidecars[table]),
            caption_parts=tuple(sidecars[CAPTIONS].values()),
        )


def _readable(store: Store, table: Table) -> dict[int, Sidecar]:
    done = finished_parts(store, table)
    if table is SHARD_INDEX:
        return done
    # pruning takes the pictures away and may leave the record that they were there
    files = store.files(table.name) if done else {}
    return {part: sidecar for part, sidecar in done.items() if part_path(table, part) in files}


def _collect_packed(connection: duckdb.DuckDBPyConnection, store: Store, shards: Iterable[Sidecar]) -> None:
    connection.execute(_PACKED)
    parts: dict[str, list[int]] = {}
    for sidecar in shards:
        for name in sidecar.sets:
            parts.setdefault(name, []).append(sidecar.part)
    for name, of_set in sorted(parts.items()):
        index = replace(SHARD_INDEX, name=f"{SHARD_INDEX.name}/{name}")
        view(connection, store, index, of_set, f"key, {PART}, jpg_offset, jpg_size")
        connection.execute(_ADD_SET.format(index=index.name), [name])


def _coverage(table: Table, sidecars: dict[Table, dict[int, Sidecar]]) -> Coverage:
    follows_items = table not in (DESCRIPTORS, CANDIDATES, ITEMS, REDISCOVERED)
    parts = sidecars[table]
    return Coverage(
        name=table.name,
        says=table.says,
        parts=len(parts),
        expected=len(sidecars[ITEMS]) if follows_items else None,
        rows=sum(sidecar.rows for sidecar in parts.values()),
    )
