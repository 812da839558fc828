"""Fetched bytes become a plain JPEG of the archive's size, or a RowError that names what is wrong with them."""

import hashlib
import io
import warnings
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from moodarchive.errors import RowError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")

# the pixel limit is ours, read from the header; Pillow's own would only warn
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, kw_only=True)
class PictureLimits:
    """Pixels of the original; shortest side accepted, longest side kept (pixels); quality of the JPEG (1 to 95)."""

    max_pixels: int
    shortest_side: int
    longest_side: int
    jpeg_quality: int


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The columns of images/ that a successful download fills."""

    bytes: bytes
    sha256: str
    phash: int
    width: int
    height: int
    original_width: int
    original_height: int
    original_bytes: int
    original_type: str


def to_picture(served: bytes, limits: PictureLimits) -> Picture:
    """Judges by content, never by the announced type; limits are checked on the header, before any pixel is decoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = _opened(served)
        original_size = image.size
        _refuse_bad_size(original_size, limits)
        pixels = _decoded(image, limits.longest_side)
    pixels.info.clear()  # Pillow writes a comment that it has read
    encoded = io.BytesIO()
    pixels.save(encoded, "JPEG", quality=limits.jpeg_quality, subsampling="4:2:0", optimize=True)
    return Picture(
        bytes=encoded.getvalue(),
        sha256=hashlib.sha256(served).hexdigest(),
        phash=perceptual_hash(pixels),
        width=pixels.width,
        height=pixels.height,
        original_width=original_size[0],
        original_height=original_size[1],
        original_bytes=len(served),
        original_type=str(image.format),
    )


def perceptual_hash(image: Image.Image) -> int:
    """64-bit DCT hash: pictures that look alike differ in few bits."""
    bits = imagehash.phash(image).hash.flatten()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _opened(served: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(served), formats=FORMATS)
    except UnidentifiedImageError:
        raise RowError("not_an_image", f"starts with {served[:16]!r}") from None
    except Exception as error:  # noqa: BLE001  decoders raise anything on hostile bytes
        raise RowError("corrupt_image", f"{type(error).__name__}: {error}") from None


def _refuse_bad_size(size: tuple[int, int], limits: PictureLimits) -> None:
    if size[0] * size[1] > limits.max_pixels:
        raise RowError("too_many_pixels", f"{size[0]} x {size[1]}, limit {limits.max_pixels}")
    if min(size) < limits.shortest_side:
        raise RowError("too_small", f"{size[0]} x {size[1]}, shortest side {limits.shortest_side}")


def _decoded(image: Image.Image, longest_side: int) -> Image.Image:
    try:
        image.draft("RGB", (2 * longest_side, 2 * longest_side))
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ("1", "P", "PA"):  # Pillow would pick pixels of these, not average them
            upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
        upright.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS, reducing_gap=3.0)
        return _rgb(upright)
    except OSError as error:
        kind = "truncated" if "truncated" in str(error).lower() else "corrupt_image"
        raise RowError(kind, str(error)) from None
    except Exception as error:  # noqa: BLE001  decoders raise anything on hostile bytes
        raise RowError("corrupt_image", f"{type(error).__name__}: {error}") from None


def _rgb(image: Image.Image) -> Image.Image:
    """Transparency over white; 16-bit greys scaled, where Pillow's own conversion would clip them."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float32)
        brightest = 65535.0 if image.mode.startswith("I;16") else max(float(values.max(initial=0.0)), 255.0)
        scale = 255.0 / brightest
        return Image.fromarray((values * scale).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        with_alpha = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), with_alpha).convert("RGB")
    return image.convert("RGB")
