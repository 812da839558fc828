"""DuckDB over a table's Parquet parts, within a memory limit, on any store."""

import os
import re
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

import duckdb
import pyarrow as pa
from duckdb.func import PythonUDFType

from moodarchive.storage.store import Store
from moodarchive.tables.keys import TRACKING, normalise_url
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
        "temp_directory": spill_folder(),
    }
    if threads:
        settings["threads"] = threads
    connection = duckdb.connect(":memory:", config=settings)
    if not store.is_local:
        connection.register_filesystem(store.fs)
    return connection


def spill_folder() -> str:
    """Where DuckDB may spill: else it would take the working directory, which may be read-only or somebody else's."""
    return f"{tempfile.gettempdir()}/moodarchive-duckdb-{os.getuid()}"


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

    ``columns`` may use ``filename``, the path of a row's part. A column that came later is null where a part lacks it.
    """
    paths = [store.path(part_path(table, part)) for part in parts]
    if paths and store.is_local:
        quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        rows = f"read_parquet([{quoted}])"
        # every part's footer is read to unite them, so only where a later column is asked for
        if {"*", *table.later} & set(re.findall(r"\w+|\*", columns)) and table.later:
            rows = _unite_columns(connection, table, quoted)
            columns = re.sub(r"\*", ", ".join(f'"{name}"' for name in table.schema.names), columns)
    else:
        rows = f'"rows of {table.name}"'
        connection.register(rows.strip('"'), _read_by_arrow(store, table, paths))
        columns = "* EXCLUDE (filename)" if columns == "*" else columns
    connection.execute(f'CREATE OR REPLACE VIEW "{table.name}" AS SELECT {columns} FROM {rows}')


def _unite_columns(connection: duckdb.DuckDBPyConnection, table: Table, quoted: str) -> str:
    """The rows of parts that may lack the table's later columns; no part need have them."""
    columns = f'"columns of {table.name}"'
    connection.register(columns.strip('"'), _without_half_floats(table.schema).empty_table())
    united = f"SELECT *, filename FROM read_parquet([{quoted}], union_by_name = true)"
    return f"({united} UNION ALL BY NAME FROM {columns})"


def _without_half_floats(schema: pa.Schema) -> pa.Schema:
    """DuckDB takes no half floats from Arrow; from Parquet it reads them as floats."""
    half, whole = pa.list_(pa.float16()), pa.list_(pa.float32())
    return pa.schema([field.with_type(whole) if field.type == half else field for field in schema])


def _read_by_arrow(store: Store, table: Table, paths: list[str]) -> object:
    from moodarchive.tables.remote_tables import FILENAME, remote_dataset

    schema = _without_half_floats(table.schema).append(pa.field(FILENAME, pa.string()))
    if not paths:
        return schema.empty_table()
    sizes = {store.path(path): size for path, size in store.files(table.name).items()}
    return remote_dataset(store.fs, paths, sizes, schema)


# Addresses: plain ones are normalised in SQL, the others in Python; equal to ``keys.normalise_url`` (tested).
_LETTER = "[A-Za-z0-9_~!$()*,:@=;+-]"
_ESCAPE = "%([89A-F][0-9A-F]|20|25|2F)"
# no upper-case scheme, port, fragment, user, blank or foreign letter; no dot at the host's end or a segment's begin; no
# escape but those that stay; in the query nothing that is encoded anew
_PLAIN = rf"https?://[A-Za-z0-9.-]*[A-Za-z0-9-](/(({_LETTER}|{_ESCAPE})({_LETTER}|[.]|{_ESCAPE})*)?)*"
_PAIR = r"[A-Za-z0-9._~+-]*(=[A-Za-z0-9._~+-]*)?"
_PLAIN_QUERY = rf"{_PLAIN}\?{_PAIR}(&{_PAIR})*"
_TRACKED = " OR ".join(f"starts_with(pair, '{prefix}')" for prefix in TRACKING)
# pairs are sorted by name, then by value: the smallest character stands between the two, so that a name comes before
# the longer ones that begin with it
_QUERY = f"""replace(list_aggregate(list_sort(list_transform(
    list_filter(string_split(split_part(url, '?', 2), '&'), lambda pair: pair <> '' AND NOT ({_TRACKED})),
    lambda pair: CASE WHEN contains(pair, '=') THEN replace(pair, '=', chr(1)) ELSE pair || chr(1) END)),
    'string_agg', '&'), chr(1), '=')"""
_PATH = """(lower(regexp_extract(url, '^https?:(//[^/?]+)', 1))
    || coalesce(nullif(regexp_extract(split_part(url, '?', 1), '^https?://[^/]+(/.*)$', 1), ''), '/'))"""
_MACRO = f"""
CREATE MACRO normalised(url) AS CASE
    WHEN regexp_full_match(url, '{_PLAIN}') THEN {_PATH}
    WHEN regexp_full_match(url, '{_PLAIN_QUERY}') THEN {_PATH} || coalesce('?' || nullif({_QUERY}, ''), '')
    ELSE normalised_in_python(url) END
"""


def define_normalised(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes ``normalised(url)`` known to the connection: equal to ``keys.normalise_url``."""
    define_text_function(connection, "normalised_in_python", normalise_url)
    connection.execute(_MACRO)


def define_text_function(connection: duckdb.DuckDBPyConnection, name: str, function: Callable[[str], str]) -> None:
    """Makes a Python function of one text known to SQL under ``name``; null of null."""

    def of_batch(texts: pa.ChunkedArray) -> pa.Array:
        return pa.array([None if text is None else function(text) for text in texts.to_pylist()], pa.string())

    connection.create_function(name, of_batch, ["VARCHAR"], "VARCHAR", type=PythonUDFType.ARROW)
