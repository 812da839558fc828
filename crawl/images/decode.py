"""Fetched bytes become a plain JPEG of the archive's size, or a RowError that names what is wrong with them."""

import hashlib
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError

from crawl.images.jpeg import MOST_SCANS, SOI, copy_plain, has_too_many_scans
from crawl.images.phash import perceptual_hash
from moodarchive.errors import RowError
from moodarchive.images.colour import Conversion
from moodarchive.images.rendering import OpenedImage, open_image

Pixels = npt.NDArray[np.uint8]
"""RGB, (height, width, 3)."""

BLUR, LEAST_BLUR = 0.42, 0.1
"""Pixels of a Gaussian's sigma; the first was chosen on photographs, against Lanczos."""

# pictures are decoded side by side: more threads within one would only get into each other's way
cv2.setNumThreads(1)


@dataclass(frozen=True, kw_only=True)
class PictureLimits:
    """Pixels of the original; shortest side accepted, longest side kept (pixels); quality of the JPEG (1 to 95).

    The shortest side counts in the original and in what is kept of it.
    """

    max_pixels: int
    shortest_side: int
    longest_side: int
    jpeg_quality: int


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The columns of images/ that a successful download fills."""

    bytes: bytes
    sha256: str
    stored_sha256: str
    phash: int
    width: int
    height: int
    original_width: int
    original_height: int
    original_bytes: int
    original_type: str


def to_picture(served: bytes, limits: PictureLimits) -> Picture:
    """Judges by content, never by the announced type; limits are checked on the header, before any pixel is decoded.

    A small, upright, plain JPEG in sRGB keeps its coefficients and loses everything else; every other picture becomes
    sRGB and is encoded anew.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = _open(served)
        image = opened.image
        original_size = image.size
        _refuse_bad_size(original_size, limits)
        _refuse_slow(served, image)
        encoded, pixels = _copy_unchanged(opened, limits.longest_side)
        if pixels is None:
            pixels = _decode(opened, limits.longest_side)
    if encoded is None:
        encoded = simplejpeg.encode_jpeg(pixels, quality=limits.jpeg_quality, colorsubsampling="420")
    return Picture(
        bytes=encoded,
        sha256=hashlib.sha256(served).hexdigest(),
        stored_sha256=hashlib.sha256(encoded).hexdigest(),
        phash=perceptual_hash(pixels),
        width=pixels.shape[1],
        height=pixels.shape[0],
        original_width=original_size[0],
        original_height=original_size[1],
        original_bytes=len(served),
        original_type=str(image.format),
    )


def _open(served: bytes) -> OpenedImage:
    try:
        return open_image(served)
    except UnidentifiedImageError:
        raise RowError("not_an_image", f"starts with {served[:16]!r}") from None
    except Exception as error:  # noqa: BLE001  decoders raise anything on hostile bytes
        raise RowError("corrupt_image", f"{type(error).__name__}: {error}") from None


def _refuse_bad_size(size: tuple[int, int], limits: PictureLimits) -> None:
    if size[0] * size[1] > limits.max_pixels:
        raise RowError("too_many_pixels", f"{size[0]} x {size[1]}, limit {limits.max_pixels}")
    if min(size) < limits.shortest_side:
        raise RowError("too_small", f"{size[0]} x {size[1]}, shortest side {limits.shortest_side}")
    width, height = _fit_size(size, limits.longest_side)
    if min(width, height) < limits.shortest_side:
        raise RowError(
            "too_small",
            f"{size[0]} x {size[1]} would be kept as {width} x {height}, shortest side {limits.shortest_side}",
        )


def _refuse_slow(served: bytes, image: Image.Image) -> None:
    if image.info.get("progressive") and has_too_many_scans(served):
        raise RowError("too_many_scans", f"a JPEG of more than {MOST_SCANS} scans")


def _orientation(image: Image.Image) -> int:
    """How the stored picture lies, 1 to 8 as in EXIF; 1 when it does not say, or not legibly."""
    try:
        turn = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001  broken metadata make no broken picture
        return 1
    return turn if isinstance(turn, int) and 1 <= turn <= 8 else 1


def _copy_unchanged(opened: OpenedImage, longest_side: int) -> tuple[bytes | None, Pixels | None]:
    """The file without what is not the picture, and its pixels; (None, None) when it must be encoded anew."""
    served, image = opened.served, opened.image
    if not served.startswith(SOI) or max(image.size) > longest_side or _orientation(image) != 1:
        return None, None
    copy = copy_plain(served)
    if copy is None or opened.conversion(image.mode) is not None:
        return None, None
    try:
        return copy, simplejpeg.decode_jpeg(copy)  # strict: bytes that are no part of the picture are an error
    except ValueError:
        return None, None


def _decode(opened: OpenedImage, longest_side: int) -> Pixels:
    """Upright, in sRGB and at the archive's size. What libjpeg does not decode without complaint, Pillow judges."""
    served, image = opened.served, opened.image
    if served.startswith(SOI) and image.mode in ("RGB", "L"):
        size = _fit_size(image.size, longest_side)
        try:
            coarse = simplejpeg.decode_jpeg(served, **_coarsest_scale(image.size, size))
        except ValueError as error:
            # Pillow would paint the rest grey
            if "premature end of data" in str(error):
                raise RowError("truncated", str(error)) from None
        else:
            return _turn_upright(_convert(_shrink(coarse, size), opened.conversion(image.mode)), _orientation(image))
    return _decode_by_pillow(opened, longest_side)


def _convert(pixels: Pixels, conversion: Conversion | None) -> Pixels:
    if conversion is None:
        return pixels
    if conversion.mode == "L":  # libjpeg gave three equal channels
        pixels = np.ascontiguousarray(pixels[:, :, 0])
    return np.asarray(conversion.apply(Image.fromarray(pixels)))


def _fit_size(size: tuple[int, int], longest_side: int) -> tuple[int, int]:
    """The size that keeps the ratio within ``longest_side``; nothing is enlarged."""
    scale = min(1.0, longest_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _coarsest_scale(size: tuple[int, int], wanted: tuple[int, int]) -> dict[str, int]:
    """The smallest half, quarter or eighth that is no smaller than wanted, for libjpeg to decode at.

    libjpeg knows all eighths; those between the halves are slower than the next larger half, and look worse.
    """
    for part in (8, 4, 2):
        least = -(-size[0] // part), -(-size[1] // part)
        if least[0] >= wanted[0] and least[1] >= wanted[1]:
            return {"min_width": least[0], "min_height": least[1]}
    return {}


def _shrink(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """At ``size``: blurred just enough for the few points of a cubic; near Lanczos, in a fraction of its time."""
    ratio = max(pixels.shape[1] / size[0], pixels.shape[0] / size[1])
    if ratio == 1:
        return pixels
    if ratio >= 2:  # only where an eighth is still too large
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    sigma = BLUR * (ratio**2 - 1) ** 0.5
    soft = cv2.GaussianBlur(pixels, (3, 3), sigma) if sigma > LEAST_BLUR else pixels
    return np.asarray(cv2.resize(soft, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def _turn_upright(pixels: Pixels, turn: int) -> Pixels:
    """Upright pixels, from the eight ways of EXIF to lie."""
    if turn in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _decode_by_pillow(opened: OpenedImage, longest_side: int) -> Pixels:
    image = opened.image
    try:
        image.draft("RGB", (2 * longest_side, 2 * longest_side))
        pixels = opened.load()
        turn = _orientation(image)  # of a PNG, only known after its last byte
        pixels.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS, reducing_gap=3.0)
        return _turn_upright(np.asarray(opened.to_srgb(pixels)), turn)
    except OSError as error:
        kind = "truncated" if "truncated" in str(error).lower() else "corrupt_image"
        raise RowError(kind, str(error)) from None
    except Exception as error:  # noqa: BLE001  decoders raise anything on hostile bytes
        raise RowError("corrupt_image", f"{type(error).__name__}: {error}") from None
