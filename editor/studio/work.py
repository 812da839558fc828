"""The studio's work folder: sources, masks, edits and thumbnails, and the history that they make."""

import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from editor.edit import Mask
from editor.job import EditResult
from editor.pictures import SourcePicture
from editor.planning.regions import mask_picture
from editor.provenance import EditRecord, mask_digest, read_record, write_edit
from moodarchive.errors import EditError, StorageFullError
from moodarchive.storage.local_files import create_whole
from moodarchive.tables.keys import digest

SHOWN_SIDE = 1024
"""Longest side in pixels of what the page shows; files keep their own."""
THUMBNAIL_SIDE = 256
_SHA256 = re.compile("[0-9a-f]{64}")
_NAME = re.compile(r"[0-9a-f]{12}-[a-z]+-\d+-[0-9a-f]{16}\.png")


@dataclass(frozen=True, kw_only=True)
class Past:
    """One edit of the history."""

    path: Path
    record: EditRecord


@dataclass(frozen=True, kw_only=True)
class Work:
    """Everything lies under ``folder``; names are digests, never what a person called a file."""

    folder: Path

    @property
    def uploads(self) -> Path:
        """Where files arrive; each is removed once it is read."""
        return self.folder / "uploads"

    @property
    def edits(self) -> Path:
        """The finished pictures, each with its record."""
        return self.folder / "edits"

    @property
    def signed(self) -> Path:
        """Copies of edits that are signed, made when they are shown."""
        return self.folder / "signed"

    def make(self) -> None:
        """Makes the folders, for this person alone."""
        try:
            for name in ("uploads", "sources", "masks", "edits", "signed"):
                (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EditError(f"the work folder {self.folder} cannot be used: {error.strerror}") from None

    def keep_source(self, picture: SourcePicture) -> None:
        """Its pixels as PNG, under the digest of the file that they came from."""
        self._keep(self._source(picture.sha256), picture.image)

    def source(self, sha256: str) -> SourcePicture:
        """A picture that was kept; EditError when there is none."""
        path = self._source(sha256)
        if not path.is_file():
            raise EditError("the photo is no longer in the work folder; remedy: open it again")
        with Image.open(path, formats=("PNG",)) as image:
            return SourcePicture(image=image.convert("RGB"), sha256=sha256)

    def keep(self, edited: EditResult, mask: Mask | None) -> Path:
        """The edit's file; the same edit again has the same name and bytes."""
        if mask is not None:
            self._keep(self.folder / "masks" / f"{mask_digest(mask)}.png", mask_picture(mask))
        record = edited.record
        name = digest([record.prompt, record.mask_sha256, record.settings, record.base, record.model, record.method])
        path = self.edits / f"{record.source_sha256[:12]}-{record.emotion}-{record.seed}-{name}.png"
        write_edit(path, edited.image, record)
        return path

    def mask(self, record: EditRecord) -> Mask | None:
        """The region of a past edit; None for everywhere, or when it is gone."""
        if not _SHA256.fullmatch(record.mask_sha256):
            return None
        try:
            with Image.open(self.folder / "masks" / f"{record.mask_sha256}.png", formats=("PNG",)) as image:
                return np.asarray(image.convert("L"), np.float32) / np.float32(255)
        except OSError:
            return None

    def past(self, name: str) -> Past | None:
        """The edit of that file name; None where there is none."""
        path = self.edits / name
        record = read_record(path) if _NAME.fullmatch(name) and path.is_file() else None
        return None if record is None else Past(path=path, record=record)

    def history(self, most: int = 48) -> list[Past]:
        """The newest first; files that are no edits of ours are passed over."""
        paths = [path for path in self.edits.glob("*.png") if _NAME.fullmatch(path.name)]
        paths.sort(key=lambda path: (-path.stat().st_mtime_ns, path.name))
        return [past for path in paths[:most] if (past := self.past(path.name)) is not None]

    def _source(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise EditError("no photo is open; remedy: open one")
        return self.folder / "sources" / f"{sha256}.png"

    def _keep(self, path: Path, image: Image.Image) -> None:
        if path.exists():
            return
        held = io.BytesIO()
        image.save(held, "PNG", compress_level=1)
        self._create(path, held.getvalue())

    def keep_signed(self, path: Path, data: bytes) -> None:
        """A signed copy's whole file."""
        self._create(path, data)

    def _create(self, path: Path, data: bytes) -> None:
        try:
            create_whole(os.fspath(path), data, ".draft")
        except OSError as error:
            raise StorageFullError(f"{path.parent} cannot be written: {error.strerror}") from None


def shown(image: Image.Image, side: int = SHOWN_SIDE) -> Image.Image:
    """Small enough for a page."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return small


def tinted(image: Image.Image, mask: Mask | None) -> Image.Image:
    """The region as it is on the picture: what stays is dimmed, what may change is plain."""
    small = shown(image, 512)
    if mask is None:
        return small
    region = Image.fromarray(np.where(mask > 0, 255, 0).astype(np.uint8)).resize(small.size)
    dim = Image.blend(small, Image.new("RGB", small.size, "#1d1b2e"), 0.72)
    return Image.composite(small, dim, region)
