"""A pair's files become frames of one size, or a RowError that says why not."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from editor.evaluation.pairs import Pair
from editor.pictures import MOST_BYTES, SourcePicture, read_mask, read_picture
from moodarchive.errors import PictureError, RowError
from moodarchive.tables.keys import digest

Pixels = npt.NDArray[np.uint8]
"""RGB, [height, width, 3]."""
LONGEST_SIDE = 512
"""Pixels at which pairs are measured: the papers' pictures have 512 x 512."""
RATIO_TOLERANCE = 0.02


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Source and edited picture at one size; ``mask`` [height, width] in [0, 1] is 1 where the edit was allowed.

    ``source_sha256`` names the source, so that what is known of it can be used again.
    """

    source: Pixels
    edited: Pixels
    mask: npt.NDArray[np.float32] | None
    source_sha256: str
    emotion: str
    prompt: str
    marked: npt.NDArray[np.float32] | None = None
    """Where people say that the source's emotion comes from"""
    truth: Pixels | None = None
    """The edit as it ought to be"""


def inputs_digest(folder: Path, pair: Pair) -> str:
    """Names all that the pair's scores depend on: the files' bytes, what was asked for, the size of measuring."""
    names = (pair.source, pair.edited, pair.mask, pair.marked, pair.truth)
    files = [_sha256(*_stamp(inside(folder, name))) if name else "" for name in names]
    return digest([*files, pair.emotion, pair.prompt, LONGEST_SIDE])


def read_frames(folder: Path, pair: Pair) -> Frames:
    """Both pictures at the source's size, shrunk (Lanczos) to ``LONGEST_SIDE`` pixels where they are larger.

    An edited picture of another size is brought to the source's (Lanczos) if the sides' ratio is the same within 2%.
    RowError: missing, outside, bad_picture, bad_mask, size_differs.
    """
    picture = open_picture(folder, pair.source)
    source, edited = picture.image, open_picture(folder, pair.edited).image
    refuse_other_shape(source.size, edited.size)
    mask, marked = (_mask(folder, name, source.size) for name in (pair.mask, pair.marked))
    truth = open_picture(folder, pair.truth).image if pair.truth else None
    if truth is not None:
        refuse_other_shape(source.size, truth.size)
    scale = min(1.0, LONGEST_SIDE / max(source.size))
    size = max(1, round(source.width * scale)), max(1, round(source.height * scale))
    return Frames(
        source=_at(source, size),
        edited=_at(edited, size),
        mask=None if mask is None else _mask_at(mask, size),
        source_sha256=picture.sha256,
        emotion=pair.emotion,
        prompt=pair.prompt,
        marked=None if marked is None else _mask_at(marked, size),
        truth=None if truth is None else _at(truth, size),
    )


def refuse_other_shape(source: tuple[int, int], edited: tuple[int, int]) -> None:
    """RowError unless the sides' ratios are the same within 2%: then pixels of the two cannot be compared."""
    across, down = source[0] * edited[1], source[1] * edited[0]
    if abs(across - down) > RATIO_TOLERANCE * max(across, down):
        raise RowError(
            "size_differs",
            f"the source is {source[0]} x {source[1]}, the edited picture {edited[0]} x {edited[1]}; remedy: undo the "
            "method's cropping or padding",
        )


def open_picture(folder: Path, name: str) -> SourcePicture:
    """The picture of a file below the folder; RowError names it by its path there, wherever the folder lies."""
    path = inside(folder, name)
    try:
        return read_picture(path)
    except PictureError as error:
        raise RowError("bad_picture", str(error).replace(str(path), name)) from None


def _mask(folder: Path, name: str, size: tuple[int, int]) -> npt.NDArray[np.float32] | None:
    if not name:
        return None
    path = inside(folder, name)
    try:
        return read_mask(path, size)
    except PictureError as error:
        raise RowError("bad_mask", str(error).replace(str(path), name)) from None


def inside(folder: Path, name: str) -> Path:
    """The file; RowError when it is not there, is no plain file, or a link leads out of the folder."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise RowError("outside", f"{name} leads out of the folder; remedy: a copy inside")
    if not path.is_file():
        raise RowError("missing", f"{name} is no file below the folder")
    if path.stat().st_size > MOST_BYTES:
        raise RowError("bad_picture", f"{name} has more than {MOST_BYTES:,} bytes")
    return path


def _stamp(path: Path) -> tuple[Path, int, int]:
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=1024)
def _sha256(path: Path, changed: int, size: int) -> str:  # a source stands in 27 rows
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _at(image: Image.Image, size: tuple[int, int]) -> Pixels:
    return np.array(image if image.size == size else image.resize(size, Image.Resampling.LANCZOS), np.uint8)


def _mask_at(mask: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    if mask.shape == (size[1], size[0]):
        return mask
    # what is partly inside the region counts so: means of areas
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.BOX), np.float32)
