"""Parquet files: small ones read whole, and rows cut into row groups that do not depend on how they came."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def read_table(source: Any, columns: Sequence[str] | None = None) -> pa.Table:
    """The file's rows; ``source`` is an open file, a buffer or a local path.

    ``pyarrow.parquet.read_table`` on an open file leaves threads of its dataset scanner behind: with pyarrow 26 every
    second process that ended right after it was aborted ("terminate called without an active exception").
    Arrow's own pools, whose threads may just be starting when a short program ends, abort one in some hundreds on a
    busy machine: they are not used here either.
    """
    with pq.ParquetFile(source, pre_buffer=False) as file:
        return file.read(columns=list(columns) if columns else None, use_threads=False)


def read_column_names(source: Any) -> list[str]:
    """The file's columns; ``source`` is an open file or a local path."""
    with pq.ParquetFile(source, pre_buffer=False) as file:
        return list(file.schema_arrow.names)


def row_groups(schema: pa.Schema, rows: int, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Groups of exactly so many rows, and one of what is left; however the rows came, equal ones give equal groups."""
    waiting = schema.empty_table()
    for table in tables:
        waiting = pa.concat_tables([waiting, table])
        while waiting.num_rows >= rows:
            yield waiting.slice(0, rows).combine_chunks()
            waiting = waiting.slice(rows)
    if waiting.num_rows:
        yield waiting.combine_chunks()
