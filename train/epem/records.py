"""L-AVC's records as PER learns from them: two pictures, the instruction, and the caption of the edited one."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from moodarchive.errors import ConfigError, RowError
from train.diffusion.pair_latents import PicturePairs, Side
from train.published.dataset import Located
from train.published.pictures import open_picture

_TEXTS = ("image", "edited_image", "instruction", "edited_caption", "split")


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
    """The records of a split in the file's order; pictures are read when they are needed."""

    def __init__(self, file: Path, *, split: str, size: int) -> None:
        try:
            data = file.expanduser().read_bytes()
        except OSError as error:
            raise ConfigError(
                f"records = {str(file)!r} cannot be read: {error.strerror}; remedy: L-AVC's file of JSON lines"
            ) from None
        self._folder, self._size = file.expanduser().parent, size
        self.name = f"L-AVC {hashlib.sha256(data).hexdigest()[:16]}, {split}, {size} pixels"
        rows = [_read(line, f"{file}:{number}") for number, line in enumerate(data.splitlines(), 1) if line.strip()]
        self._rows = [row for row in rows if row["split"] == split and row.get("status", "kept") != "rejected"]
        if not self._rows:
            raise ConfigError(f"{file} has no records of {split}; remedy: another split, or a file that has some")
        self.instructions = [str(row["instruction"]) for row in self._rows]
        self.captions = [str(row["edited_caption"]) for row in self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def pixels(self, side: Side, rows: Sequence[int]) -> Tensor:
        """See ``PicturePairs``; ConfigError for a picture that cannot be read."""
        return torch.stack(
            [self._open(self._rows[row]["image" if side == "source" else "edited_image"]) for row in rows]
        )

    def _open(self, path: str) -> Tensor:
        try:
            image = open_picture(self._folder, Located(path))
        except RowError as error:
            raise ConfigError(
                f"{self._folder / path} cannot be read ({error.kind}); remedy: the picture beside the records, or the "
                "record left out"
            ) from None
        if image.size != (self._size, self._size):
            image = image.resize((self._size, self._size), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _read(line: bytes, origin: str) -> dict[str, Any]:
    """A record; ConfigError where a field that PER needs is missing, or a path leads out of the folder."""
    try:
        row = json.loads(line)
        lacking = [name for name in _TEXTS if not isinstance(row.get(name), str) or not row[name].strip()]
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"{origin} is no record: {str(error)[:100]}; remedy: a JSON object a line") from None
    if lacking:
        raise ConfigError(f"{origin} has no {', '.join(lacking)}; remedy: records as docs/epem.md describes them")
    for name in ("image", "edited_image"):
        path = PurePosixPath(row[name])
        if path.is_absolute() or ".." in path.parts:
            raise ConfigError(f"{origin}: {name} = {row[name]!r} leads out of the records' folder")
    return dict(row)
