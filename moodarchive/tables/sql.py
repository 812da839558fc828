"""DuckDB over a table's Parquet parts, within a memory limit, on any store."""

import tempfile
from collections.abc import Iterable
from typing import Any

import duckdb
import pyarrow as pa

from moodarchive.storage.store import Store
from moodarchive.tables.parts import part_path
from moodarchive.tables.schemas import Table

MEMORY_LIMIT = "3GB"
PART = "parse_filename(filename, true)::INTEGER AS part"
"""The part that a row of a view's files lies in."""


def connect(store: Store, *, memory_limit: str = MEMORY_LIMIT, threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """A connection that spills to a temporary folder of this machine and can read the store's files."""
    settings: dict[str, Any] = {
        "memory_limit": memory_limit,
        "autoinstall_known_extensions": "false",  # nothing is downloaded while a pipeline runs
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


def view(
    connection: duckdb.DuckDBPyConnection, store: Store, table: Table, parts: Iterable[int], columns: str = "*"
) -> None:
    """Makes the parts readable as a view of the table's name; without parts, an empty one of the same columns.

    ``columns`` may use ``filename``, the path of a row's part.
    """
    paths = [store.path(part_path(table, part)) for part in parts]
    if paths and store.is_local:
        quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        rows = f"read_parquet([{quoted}])"
    else:
        rows = f'"rows of {table.name}"'
        connection.register(rows.strip('"'), _read_by_arrow(store, table, paths))
        columns = "* EXCLUDE (filename)" if columns == "*" else columns
    connection.execute(f'CREATE OR REPLACE VIEW "{table.name}" AS SELECT {columns} FROM {rows}')


def _read_by_arrow(store: Store, table: Table, paths: list[str]) -> object:
    from moodarchive.tables.remote_tables import FILENAME, remote_dataset

    schema = table.schema.append(pa.field(FILENAME, pa.string()))
    if not paths:
        return schema.empty_table()
    sizes = {store.path(path): size for path, size in store.files(table.name).items()}
    return remote_dataset(store.fs, paths, sizes, schema)
