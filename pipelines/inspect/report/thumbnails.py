"""Small copies of the picked pictures, as they stand in the page; only the row groups that hold them are read."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.parquet as pq
from PIL import Image

from moodarchive.storage.store import Store
from moodarchive.tables.parts import part_path
from moodarchive.tables.schemas import IMAGES
from moodarchive.tables.spans import Span
from pipelines.inspect.report.tables import Tables

LONGEST_SIDE = 320
QUALITY = 80


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A JPEG as a data address, and its size in pixels."""

    address: str
    width: int
    height: int


def thumbnails(tables: Tables, side: int = LONGEST_SIDE) -> dict[str, Thumbnail]:
    """Key → thumbnail of each image in ``picked``, ``side`` pixels at most; what is missing or damaged is left out."""
    copies: dict[str, Thumbnail] = {}
    for key, data in pictures(tables):
        if data and (copy := small(data, side)):
            copies[key] = copy
    return copies


def pictures(tables: Tables) -> Iterator[tuple[str, bytes | None]]:
    """Key and JPEG of each image in ``picked``, from images/ or, once that is pruned, from the shards."""
    known: set[str] = set()
    for part, keys in _keys_of_parts_in_images(tables).items():
        for key, data in _of_part(tables.store, part, keys):
            if data:
                known.add(key)
                yield key, data
    # pruning has taken images/ away, but the shards hold the same bytes
    for key, name, part, offset, size in tables.rows(
        "SELECT key, set_name, part, jpg_offset, jpg_size FROM packed JOIN picked USING (key) ORDER BY key"
    ):
        if key not in known:
            yield key, _read_span(tables.store, f"shards/{name}/{part:05d}.tar", Span(offset, size))


def _keys_of_parts_in_images(tables: Tables) -> dict[int, set[str]]:
    rows = tables.rows("SELECT part, key FROM images JOIN picked USING (key) ORDER BY part")
    keys_of_parts: dict[int, set[str]] = {}
    for part, key in rows:
        keys_of_parts.setdefault(part, set()).add(key)
    return keys_of_parts


def _of_part(store: Store, part: int, keys: set[str]) -> Iterator[tuple[str, bytes | None]]:
    with store.open_read(part_path(IMAGES, part)) as file:
        parquet = pq.ParquetFile(file, pre_buffer=False)
        column = parquet.schema_arrow.get_field_index("key")
        for group in range(parquet.num_row_groups):
            span = parquet.metadata.row_group(group).column(column).statistics
            if span and span.has_min_max and not any(span.min <= key <= span.max for key in keys):
                continue
            rows = parquet.read_row_group(group, columns=["key", "bytes"])
            for row, key in enumerate(rows["key"].to_pylist()):
                if key in keys:
                    yield key, rows["bytes"][row].as_py()


def _read_span(store: Store, path: str, span: Span) -> bytes | None:
    try:
        with store.open_read(path) as file:
            return span.read(file)
    except OSError:
        return None


def small(data: bytes, side: int = LONGEST_SIDE) -> Thumbnail | None:
    """The picture's small copy; None when it is damaged."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            picture.draft("RGB", (2 * side, 2 * side))
            copy = picture.convert("RGB")
    except (OSError, Image.DecompressionBombError):
        return None
    copy.thumbnail((side, side), Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    copy.save(sink, "JPEG", quality=QUALITY, optimize=True)
    address = "data:image/jpeg;base64," + base64.b64encode(sink.getvalue()).decode()
    return Thumbnail(address=address, width=copy.width, height=copy.height)
