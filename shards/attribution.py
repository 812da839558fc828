"""Whose pictures the archive holds: ATTRIBUTION.parquet, one row a kept image, which every copy must carry along."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from moodarchive.storage.store import Store
from moodarchive.tables.parquet import row_groups
from moodarchive.tables.parts import read_part
from moodarchive.tables.schemas import ITEMS, SELECTION

ATTRIBUTION_PATH = "ATTRIBUTION.parquet"
COLUMNS = ("key", "title", "creator", "creator_url", "licence", "licence_url", "landing_url")
SCHEMA = pa.schema([ITEMS.schema.field(name) for name in COLUMNS])
ROWS_PER_GROUP = 20_000
_BATCH_ROWS = 10_000


def write_attribution(store: Store, parts: Sequence[int]) -> str:
    """Writes the file from the kept rows, part by part; returns its sha256. Memory: one row group, one part's keys."""
    with store.draft(ATTRIBUTION_PATH) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for group in row_groups(SCHEMA, ROWS_PER_GROUP, _kept_rows(store, parts)):
            writer.write_table(group)
    return file.sha256


def _kept_rows(store: Store, parts: Sequence[int]) -> Iterator[pa.Table]:
    for part in parts:
        verdicts = pa.Table.from_batches(
            read_part(store, SELECTION, part, columns=("key", "kept")),
            pa.schema([SELECTION.schema.field("key"), SELECTION.schema.field("kept")]),
        )
        # by key, not by place: verify is to name tables that do not agree, and it needs a seal to do so
        kept = verdicts.filter(verdicts["kept"])["key"]
        for images in read_part(store, ITEMS, part, columns=COLUMNS, batch_rows=_BATCH_ROWS):
            rows = pa.Table.from_batches([images]).select(COLUMNS).cast(SCHEMA)
            yield rows.filter(pc.is_in(rows["key"], value_set=kept.combine_chunks()))
