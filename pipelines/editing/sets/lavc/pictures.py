"""The source pictures of an L-AVC set: drawn, read from EmoSet's folder, or from an archive's shards."""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from PIL import Image

from moodarchive.errors import PictureError, RowError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import SETS
from moodarchive.tables.parquet import read_table
from moodarchive.tables.spans import member_span
from pipelines.editing.sets.edits import draw_side, read_below

Row = dict[str, Any]
_QUALITY = 95


def read_archive_pictures(root: str, requests: Iterable[Row]) -> dict[str, bytes]:
    """Key → JPEG of the requests' pictures that the archive's shards hold; one look at the index of each part."""
    wanted: dict[int, set[str]] = {}
    for request in requests:
        recipe = json.loads(request["recipe"])
        if "archive" in recipe:
            wanted.setdefault(recipe["archive"], set()).add(recipe["key"])
    store = Store(root)
    return {key: jpeg for part, keys in wanted.items() for key, jpeg in _of_part(store, part, keys)}


def _of_part(store: Store, part: int, keys: set[str]) -> Iterator[tuple[str, bytes]]:
    for name in SETS:
        index = f"shards/{name}/{part:05d}.parquet"
        if not store.exists(index):
            continue
        with store.open_read(index) as file:
            rows = read_table(file, columns=["key", "jpg_offset", "jpg_size"]).to_pylist()
        with store.open_read(f"shards/{name}/{part:05d}.tar") as tar:
            for row in rows:
                if row["key"] in keys:
                    yield row["key"], member_span(row, "jpg").read(tar)


def source_picture(request: Row, folder: str, archived: Mapping[str, bytes]) -> Image.Image:
    """The picture that a request is of; RowError where it is missing or broken."""
    recipe = json.loads(request["recipe"])
    if "file" in recipe:
        return read_below(folder, recipe["file"])
    if "archive" in recipe:
        return _decode(recipe["key"], _archived(recipe["key"], archived))
    return draw_side(recipe, "source")


def source_jpeg(request: Row, folder: str, archived: Mapping[str, bytes]) -> bytes:
    """What the served model is shown."""
    recipe = json.loads(request["recipe"])
    if "archive" in recipe:
        return _archived(recipe["key"], archived)
    sink = io.BytesIO()
    source_picture(request, folder, archived).save(sink, "JPEG", quality=_QUALITY)
    return sink.getvalue()


def _archived(key: str, archived: Mapping[str, bytes]) -> bytes:
    if key not in archived:
        raise RowError("missing_picture", f"no shard of the archive holds {key}")
    return archived[key]


def _decode(key: str, jpeg: bytes) -> Image.Image:
    from editor.pictures import to_picture

    try:
        return to_picture(jpeg, key).image
    except PictureError as error:
        raise RowError("bad_picture", str(error)) from None
