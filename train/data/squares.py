"""Pictures brought to squares of one side once, and kept on disk with a label each."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor

from moodarchive.tables.keys import digest

Fit = Literal["squash", "crop"]
"""Whether a picture is squashed to the square, or its middle is cut out."""


@dataclass(frozen=True, eq=False, kw_only=True)
class KeptSquares:
    """uint8 [N, side, side, 3], a memory map, with a label each."""

    values: npt.NDArray[np.uint8]
    labels: Sequence[Any]
    digest: str
    """Of pixels and labels."""
    left_out: Mapping[str, int]
    """Pictures that could not be had, by reason."""


def keep_squares(
    cache: Path, name: str, pictures: Iterable[tuple[Image.Image, Any] | str], *, most: int, side: int, fit: Fit
) -> KeptSquares:
    """Reads each picture once; what ``cache`` holds under the same name, side and fit is taken as it is.

    ``pictures`` are at most ``most`` pairs of an RGB picture and a label for JSON, or the reason why one is left out.
    """
    stem = digest([name, side, fit])
    path, mark = cache / f"{stem}.npy", cache / f"{stem}.json"
    if not (mark.is_file() and path.is_file()):
        cache.mkdir(parents=True, exist_ok=True)
        open_memmap: Any = np.lib.format.open_memmap
        values = open_memmap(path, mode="w+", dtype=np.uint8, shape=(max(1, most), side, side, 3))
        labels: list[Any] = []
        left_out: Counter[str] = Counter()
        content = hashlib.sha256()
        for one in pictures:
            if isinstance(one, str):
                left_out[one] += 1
                continue
            image, label = one
            values[len(labels)] = square = np.asarray(_square(image, side, fit))
            content.update(square.tobytes() + json.dumps(label).encode())
            labels.append(label)
        values.flush()
        draft = mark.with_suffix(".draft")
        draft.write_text(json.dumps({"labels": labels, "digest": content.hexdigest(), "left_out": left_out}))
        draft.replace(mark)  # last, and whole: a killed run reads the pictures again
    return KeptSquares(values=np.load(path, mmap_mode="r"), **json.loads(mark.read_text()))


def _square(image: Image.Image, side: int, fit: Fit) -> Image.Image:
    if fit == "crop":
        return ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
    return image.resize((side, side), Image.Resampling.BILINEAR)


def pixels_of_rows(values: npt.NDArray[np.uint8], rows: Sequence[int]) -> Tensor:
    """uint8 [rows, 3, side, side] of [N, side, side, 3]."""
    return torch.from_numpy(np.stack([values[row] for row in rows])).permute(0, 3, 1, 2)
