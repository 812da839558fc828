"""Captions before and after an edit, with the picture that the first one is of."""

import hashlib
from pathlib import Path
from typing import Protocol

from PIL import Image

from moodarchive.errors import DatasetError, RowError
from moodarchive.language_edit.prompts import CaptionRequest
from moodarchive.language_edit.records import kept_records, read_records, request_of
from train.published.dataset import Located
from train.published.pictures import open_picture


class CaptionPairs(Protocol):
    """What a caption editor learns from; ``name`` names all of it: equal names mean equal rows."""

    name: str

    def __len__(self) -> int: ...

    def image(self, row: int) -> Image.Image:
        """The picture before the edit."""
        ...

    def request(self, row: int) -> CaptionRequest:
        """What is asked."""
        ...

    def edited_caption(self, row: int) -> str:
        """What is to be answered."""
        ...


class RecordedPairs:
    """The kept records of a split of L-AVC's JSON lines."""

    def __init__(self, path: Path, split: str = "train") -> None:
        """DatasetError where the file, a record or the split is none."""
        self._folder = path.parent
        self._records = list(kept_records(read_records(path), split))
        if not self._records:
            raise DatasetError(f"{path} holds no kept record of the split {split}; remedy: a set with some")
        self.name = f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}, {split}"

    def __len__(self) -> int:
        return len(self._records)

    def image(self, row: int) -> Image.Image:
        """See ``CaptionPairs``; DatasetError names a picture that cannot be read."""
        name = self._records[row]["image"]
        try:
            return open_picture(self._folder, Located(path=name))
        except RowError as error:
            raise DatasetError(f"{self._folder / name}: {error}; remedy: the set's pictures beside its file") from None

    def request(self, row: int) -> CaptionRequest:
        """See ``CaptionPairs``."""
        return request_of(self._records[row])

    def edited_caption(self, row: int) -> str:
        """See ``CaptionPairs``."""
        caption: str = self._records[row]["edited_caption"]
        return caption
