"""L-AVC's records as PER learns from them: two pictures, the instruction, and the caption of the edited one."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from moodarchive.errors import DatasetError, RowError
from moodarchive.language_edit.records import kept_records, read_records
from train.diffusion.pair_latents import PicturePairs, Side
from train.published.dataset import Located
from train.published.pictures import open_picture


class Records(PicturePairs, Protocol):
    """With the words; equal names mean equal words, too."""

    @property
    def instructions(self) -> Sequence[str]:
        """x."""
        ...

    @property
    def captions(self) -> Sequence[str]:
        """c^, the true ones."""
        ...


class RecordsFile:
    """The kept records of a split in the file's order; pictures are read when they are needed."""

    def __init__(self, file: Path, *, split: str, size: int) -> None:
        """DatasetError where the file, a record or the split is none."""
        file = file.expanduser()
        self._rows = list(kept_records(read_records(file), split))
        if not self._rows:
            raise DatasetError(f"{file} holds no kept record of the split {split}; remedy: a set with some")
        self._folder, self._size = file.parent, size
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        self.name = f"L-AVC {digest[:16]}, {split}, {size} pixels"
        self.instructions = [str(row["instruction"]) for row in self._rows]
        self.captions = [str(row["edited_caption"]) for row in self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def pixels(self, side: Side, rows: Sequence[int]) -> Tensor:
        """See ``PicturePairs``; DatasetError for a picture that cannot be read."""
        return torch.stack(
            [self._open(self._rows[row]["image" if side == "source" else "edited_image"]) for row in rows]
        )

    def _open(self, path: str) -> Tensor:
        try:
            image = open_picture(self._folder, Located(path))
        except RowError as error:
            raise DatasetError(
                f"{self._folder / path} cannot be read ({error.kind}); remedy: the picture beside the records, or the "
                "record left out"
            ) from None
        if image.size != (self._size, self._size):
            image = image.resize((self._size, self._size), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)
