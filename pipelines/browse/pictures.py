"""One picture by its row's number, out of a shard or out of images/, and its thumbnail, kept outside the root."""

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import cv2
import pyarrow.parquet as pq
import simplejpeg

from crawl.images.jpeg import has_too_many_scans
from moodarchive.storage.store import Store
from moodarchive.tables.parts import part_path
from moodarchive.tables.schemas import IMAGES
from moodarchive.tables.spans import Span
from pipelines.browse.index import Index, name_key, pictured

SIDE = 256
"""Pixels of a thumbnail's longest side."""
QUALITY = 82
MOST_PIXELS = 120_000_000
"""As downloads have it: a picture that says it has more is not decoded."""
MOST_BYTES = 64 << 20
_GROUPS_KEPT = 6
"""Row groups of images/ in memory, a hundred pictures each: the pictures of one wall are neighbours."""
_LOOK_EVERY = 500


class Pictures:
    """Reads pictures of one root; safe for threads."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store, self._index = store, index
        self._lock = threading.Lock()
        self._groups: OrderedDict[tuple[int, int], dict[str, bytes | None]] = OrderedDict()

    def read(self, number: int) -> bytes | None:
        """The stored JPEG; None where there is none any more, or not yet."""
        row = pictured(self._index, number)
        if row is None:
            return None
        try:
            if row["set"] is not None:
                path = f"shards/{row['set']}/{row['part']:05d}.tar"
                with self._store.open_read(path) as file:
                    return Span(row["jpg_offset"], min(row["jpg_size"], MOST_BYTES)).read(file)
            return self._read_from_images(row) if row["stored"] else None
        except FileNotFoundError:
            return None

    def _read_from_images(self, row: dict[str, Any]) -> bytes | None:
        key = name_key(row["key"])
        with self._lock:
            for (part, _), pictures in self._groups.items():
                if part == row["part"] and key in pictures:
                    return pictures[key]
            with self._store.open_read(part_path(IMAGES, row["part"])) as file:
                parquet = pq.ParquetFile(file, pre_buffer=False)
                group = _group_at(parquet, row["place"])
                rows = parquet.read_row_group(group, columns=["key", "bytes"], use_threads=False)
            pictures = dict(zip(rows["key"].to_pylist(), rows["bytes"].to_pylist(), strict=True))
            self._groups[row["part"], group] = pictures
            if len(self._groups) > _GROUPS_KEPT:
                self._groups.popitem(last=False)
            return pictures.get(key)


def _group_at(parquet: pq.ParquetFile, place: int) -> int:
    """The row group that holds the row at ``place`` of the file."""
    first = 0
    for group in range(parquet.num_row_groups):
        first += parquet.metadata.row_group(group).num_rows
        if place < first:
            return group
    raise FileNotFoundError("the part has fewer rows than its index says")


def shrink(jpeg: bytes, side: int = SIDE) -> bytes | None:
    """A JPEG of ``side`` pixels at most, decoded no larger than needed; None for a picture that cannot be decoded."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
        if width * height > MOST_PIXELS or has_too_many_scans(jpeg):
            return None
        scale = min(1.0, side / max(width, height))
        wanted = max(1, round(width * scale)), max(1, round(height * scale))
        least = {} if scale == 1 else {"min_width": wanted[0], "min_height": wanted[1]}
        pixels = simplejpeg.decode_jpeg(jpeg, colorspace="RGB", **least)
        if (pixels.shape[1], pixels.shape[0]) != wanted:
            pixels = cv2.resize(pixels, wanted, interpolation=cv2.INTER_AREA)
        return bytes(simplejpeg.encode_jpeg(pixels, quality=QUALITY, colorsubsampling="420"))
    except ValueError:
        return None


class Thumbnails:
    """Thumbnails in a folder of at most ``most_bytes``; the ones that were made first go first."""

    def __init__(self, pictures: Pictures, folder: Path, most_bytes: int) -> None:
        self._pictures, self._folder, self._most = pictures, folder, most_bytes
        self._lock = threading.Lock()
        self._made = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._keep_within()

    def read(self, number: int, key: str) -> bytes | None:
        """The thumbnail; None where there is no picture that can be decoded."""
        path = self._folder / key[:2] / f"{key}.jpg"
        try:
            return path.read_bytes()
        except FileNotFoundError:
            pass
        jpeg = self._pictures.read(number)
        small = shrink(jpeg) if jpeg else None
        if small is None:
            return None
        path.parent.mkdir(exist_ok=True)
        draft = path.with_suffix(f".{threading.get_ident()}")
        draft.write_bytes(small)
        draft.replace(path)
        with self._lock:
            self._made += 1
            if self._made % _LOOK_EVERY == 0:
                self._keep_within()
        return small

    def _keep_within(self) -> None:
        files = [(path.stat(), path) for path in self._folder.glob("*/*.jpg")]
        total = sum(status.st_size for status, _ in files)
        for status, path in sorted(files, key=lambda file: file[0].st_mtime_ns):
            if total <= self._most:
                return
            path.unlink(missing_ok=True)
            total -= status.st_size
