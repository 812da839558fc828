"""Sorted candidates become one row an image: its rows follow each other, and their queries become a list."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from moodarchive.tables.schemas import ITEMS

_QUERY = ("emotion", "context", "phrase", "rank")
_QUERIES = ITEMS.schema.field("queries").type


def merge_rows(sorted_rows: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """One row an image, in the order given: its first own row, with all its queries once each, in their order.

    The rows come sorted by the column ``image``, and within it by rank; ``own`` marks those of the image's own key.
    Memory: one batch and the rows of one image.
    """
    waiting: pa.Table | None = None
    for batch in sorted_rows:
        table = pa.Table.from_batches([batch])
        table = table if waiting is None else pa.concat_tables([waiting, table])
        # the last image of a batch may go on in the next one
        last = int(_starts(table)[-1]) if table.num_rows else 0
        if last:
            yield _one_row_each(table.slice(0, last).combine_chunks())
        waiting = table.slice(last)
    if waiting is not None and waiting.num_rows:
        yield _one_row_each(waiting.combine_chunks())


def _starts(table: pa.Table) -> npt.NDArray[np.int64]:
    """Where each image's rows begin."""
    image = table["image"].to_numpy()
    return np.flatnonzero(np.concatenate([[True], image[1:] != image[:-1]]))


def _one_row_each(table: pa.Table) -> pa.Table:
    starts = _starts(table)
    image_of = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, table.num_rows)))
    own = np.flatnonzero(table["own"].to_numpy())
    _, first = np.unique(image_of[own], return_index=True)
    described = table.take(pa.array(own[first]))
    fresh = _is_fresh(table, starts)
    asked = table.select(_QUERY).filter(pa.array(fresh)).combine_chunks()
    offsets = np.append(0, np.cumsum(np.add.reduceat(fresh.astype(np.int32), starts)))
    structs = pa.StructArray.from_arrays([_array(asked, name) for name in _QUERY], fields=list(_QUERIES.value_type))
    queries = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs, type=_QUERIES)
    return described.append_column("queries", queries)


def _is_fresh(table: pa.Table, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """False for a query that the row before has too: two keys of one image may come from one question."""
    repeated = np.ones(table.num_rows, bool)
    for name in _QUERY:
        column = table[name]
        repeated[1:] &= pc.equal(column.slice(1), column.slice(0, table.num_rows - 1)).to_numpy()
    repeated[starts] = False
    return ~repeated


def _array(table: pa.Table, name: str) -> pa.Array:
    chunks = table[name].chunks
    return chunks[0] if chunks else pa.array([], table.schema.field(name).type)
