"""``address_of(url)`` and ``creator_of(name)`` in DuckDB: equal to ``takedown.url_digest`` and ``creator_digest``."""

import duckdb
import pyarrow as pa
from duckdb.func import PythonUDFType

from moodarchive.archive.takedown import creator_digest
from moodarchive.tables.url_sql import define_normalised


def define_digests(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes both known to the connection; null of null."""
    define_normalised(connection)
    connection.execute("CREATE MACRO address_of(url) AS sha256(normalised(url))")
    connection.create_function("creator_of", _batch, ["VARCHAR"], "VARCHAR", type=PythonUDFType.ARROW)


def _batch(creators: pa.ChunkedArray) -> pa.Array:
    return pa.array([None if name is None else creator_digest(name) for name in creators.to_pylist()], pa.string())
