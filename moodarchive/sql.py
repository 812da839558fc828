"""DuckDB over a table's Parquet parts, within a memory limit, on any store."""

import tempfile
from collections.abc import Iterable
from typing import Any

import duckdb

from moodarchive.parts import part_path
from moodarchive.schemas import Table
from moodarchive.store import Store

MEMORY_LIMIT = "3GB"


def connect(store: Store, *, memory_limit: str = MEMORY_LIMIT, threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """A connection that spills to a temporary folder of this machine and can read the store's files."""
    settings: dict[str, Any] = {
        "memory_limit": memory_limit,
        "preserve_insertion_order": "false",
        "temp_directory": f"{tempfile.gettempdir()}/moodarchive-duckdb",  # else .tmp in whatever folder one stands in
    }
    if threads:
        settings["threads"] = threads
    connection = duckdb.connect(":memory:", config=settings)
    if not store.is_local:
        connection.register_filesystem(store.fs)
    return connection


def location(store: Store, path: str) -> str:
    """The file's path as DuckDB reads it."""
    prefix = (
        ""
        if store.is_local
        else f"{store.fs.protocol[0] if isinstance(store.fs.protocol, tuple) else store.fs.protocol}://"
    )
    return prefix + store.path(path)


def locations(store: Store, table: Table, parts: Iterable[int]) -> list[str]:
    """The paths of the parts as DuckDB reads them; bind the list to ``read_parquet(?)``."""
    return [location(store, part_path(table, part)) for part in parts]


def view(
    connection: duckdb.DuckDBPyConnection, store: Store, table: Table, parts: Iterable[int], columns: str = "*"
) -> None:
    """Makes the parts readable as a view of the table's name; without parts, an empty one of the same columns."""
    paths = locations(store, table, parts)
    if paths:
        quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        connection.execute(f"CREATE OR REPLACE VIEW {table.name} AS SELECT {columns} FROM read_parquet([{quoted}])")
        return
    connection.register(f"empty_{table.name}", table.schema.empty_table())
    connection.execute(f"CREATE OR REPLACE VIEW {table.name} AS SELECT {columns} FROM empty_{table.name}")
