"""A file from outside becomes an upright RGB picture to be edited, or a message that says why not."""

import hashlib
import io
import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from editor.edit import Mask
from moodarchive.errors import PictureError
from moodarchive.images.rendering import FORMATS, OpenedImage, open_image

MOST_BYTES = 200_000_000
MOST_PIXELS = 100_000_000
SHORTEST_SIDE = 32
WIDEST_RATIO = 8.0
MOST_SCANS = 100
"""A progressive JPEG of thousands of scans is small on the disk and takes minutes to decode."""


@dataclass(frozen=True, kw_only=True)
class SourcePicture:
    """``image`` is RGB in sRGB and upright; ``notes`` say what of the file could not be kept."""

    image: Image.Image
    sha256: str
    notes: tuple[str, ...] = ()


def read_picture(path: str | Path) -> SourcePicture:
    """The picture of a file; PictureError names the file, what is wrong and the remedy."""
    return to_picture(_read(Path(path)), str(path))


def to_picture(served: bytes, name: str) -> SourcePicture:
    """The picture that the bytes hold, judged by content; limits are checked on the header before any pixel is decoded.

    Embedded colour profiles become sRGB, EXIF orientation is applied, 16 bits a channel become eight, transparency
    becomes white. PictureError for everything that is no single still picture.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = _open(served, name)
        image = opened.image
        refuse_shape(image, name)
        _refuse_frames(image, name)
        if image.info.get("progressive") and served.count(b"\xff\xda") > MOST_SCANS:
            raise PictureError(f"{name} is a JPEG of more than {MOST_SCANS} scans; remedy: save it anew")
        try:
            pixels = opened.load()
            notes = _notes(image)
            upright = _turn_upright(opened.to_srgb(pixels), image)
        except Exception as error:  # noqa: BLE001  decoders raise anything on hostile bytes
            raise PictureError(
                f"{name} is damaged ({type(error).__name__}: {str(error)[:120]}); remedy: take an undamaged copy"
            ) from None
    plain = Image.fromarray(np.asarray(upright))  # without the file's metadata
    return SourcePicture(image=plain, sha256=hashlib.sha256(served).hexdigest(), notes=notes)


def read_mask(path: str | Path, size: tuple[int, int]) -> Mask:
    """[H, W] in [0, 1] at ``size`` (width, height), 1 where the picture may change.

    White is 1; of a file with transparency its opacity counts. PictureError unless the mask has the picture's ratio.
    """
    served = _read(Path(path))
    mask = to_picture(served, str(path)).image
    if abs(mask.width * size[1] - mask.height * size[0]) > max(mask.width * size[1], mask.height * size[0]) * 0.02:
        raise PictureError(
            f"the mask {path} is {mask.width} x {mask.height}, the picture {size[0]} x {size[1]}; remedy: draw it on a "
            "copy of the picture"
        )
    image = Image.open(io.BytesIO(served), formats=FORMATS)
    if image.has_transparency_data:
        grey = ImageOps.exif_transpose(image.convert("RGBA")).getchannel("A")
        if grey.getextrema() == (255, 255):
            grey = mask.convert("L")
    else:
        grey = mask.convert("L")
    if grey.size != size:
        grey = grey.resize(size, Image.Resampling.BOX)
    return np.asarray(grey, dtype=np.float32) / np.float32(255)


def _read(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PictureError(f"{path} is no file; remedy: name a picture")
        if status.st_size > MOST_BYTES:
            raise PictureError(
                f"{path} has {status.st_size:,} bytes, the limit is {MOST_BYTES:,}; remedy: save it smaller"
            )
        with open(path, "rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {os.strerror(error.errno or 0)}") from None


def _open(served: bytes, name: str) -> OpenedImage:
    try:
        return open_image(served)
    except UnidentifiedImageError:
        raise PictureError(
            f"{name} is no picture of a known kind; remedy: save it with 8 bits a channel as {' or '.join(FORMATS)}"
        ) from None
    except Image.DecompressionBombError:
        raise PictureError(f"{name} has more than {MOST_PIXELS:,} pixels; remedy: make it smaller") from None
    except Exception as error:  # noqa: BLE001  decoders raise anything on hostile bytes
        raise PictureError(f"{name} is damaged ({type(error).__name__}); remedy: take an undamaged copy") from None


def refuse_shape(image: Image.Image, name: str) -> None:
    """PictureError for a picture that is too large, too small or a strip."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise PictureError(f"{name} is {width} x {height}, more than {MOST_PIXELS:,} pixels; remedy: make it smaller")
    if min(width, height) < SHORTEST_SIDE:
        raise PictureError(f"{name} is {width} x {height}; the shortest side must have {SHORTEST_SIDE} pixels")
    if max(width, height) > WIDEST_RATIO * min(width, height):
        raise PictureError(f"{name} is {width} x {height}, a strip; remedy: cut out the part to edit")


def _refuse_frames(image: Image.Image, name: str) -> None:
    if image.format == "MPO":  # a phone's JPEG with a second, smaller picture behind it
        return
    if (frames := getattr(image, "n_frames", 1)) > 1:
        raise PictureError(f"{name} holds {frames} pictures or frames; remedy: save the one to edit as a PNG")


def _notes(image: Image.Image) -> tuple[str, ...]:
    notes = []
    if image.has_transparency_data:
        notes.append("transparent parts stand on white")
    if image.mode.startswith("I") or image.mode == "F":
        notes.append("16 bits a channel became 8")
    if image.mode == "CMYK":
        notes.append("CMYK became RGB")
    return tuple(notes)


def _turn_upright(rgb: Image.Image, image: Image.Image) -> Image.Image:
    """As the file's EXIF says; broken metadata make no broken picture."""
    try:
        rgb.getexif()[ExifTags.Base.Orientation] = int(image.getexif().get(ExifTags.Base.Orientation, 1))
        return ImageOps.exif_transpose(rgb)
    except Exception:  # noqa: BLE001
        return rgb
