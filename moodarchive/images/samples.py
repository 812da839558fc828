"""Samples of any depth, byte order and sense become eight bits with white at 255; no profile is applied here."""

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

_BAND_VALUES = 1 << 22
"""Values that are scaled at once: a large picture is never held as floats."""
_UNIT_TOP = 2.0
"""Floats up to here run from 0 (black) to 1 (white), with some that overshoot."""
_WHITES = (255.0, 65535.0, 2.0**24 - 1, 2.0**31 - 1, 2.0**32 - 1)
"""Floats above, and whole numbers of 32 bits: the first that is no less than the brightest value is white."""
_PHOTOMETRIC, _BITS, _FORMAT = 262, 258, 339
_MIN_IS_WHITE, _UNSIGNED, _SIGNED, _FLOAT = 0, 1, 2, 3


def _register_grey_tiffs() -> None:
    """Greys that Pillow has readers for, but does not open, or opens in a byte order that its filters misread."""
    for prefix, order in ((b"II", ""), (b"MM", "B")):
        for photometric in (0, 1):
            for sample_format, bits, mode, reader in (
                (_UNSIGNED, 16, "I;16", f"I;16{order}"),
                (_SIGNED, 16, "I", f"I;16{order}S"),
                (_UNSIGNED, 32, "I", f"I;32{order}"),
                (_SIGNED, 32, "I", f"I;32{order}S"),
                (_FLOAT, 32, "F", f"F;32{order}F"),
                (_FLOAT, 64, "F", f"F;64{order}F"),
            ):
                key = prefix, photometric, (sample_format,), 1, (bits,), ()
                TiffImagePlugin.OPEN_INFO[key] = mode, reader


_register_grey_tiffs()


def load_samples(image: Image.Image) -> None:
    """Decodes the pixels. What libtiff unpacks has the machine's byte order, whatever the file's is."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tile and image.tile[0][0] == "libtiff":
        name, extents, offset, arguments = image.tile[0]
        assert isinstance(arguments, tuple)
        reader = str(arguments[0])
        if reader[:5] in ("I;16B", "I;32B", "F;32B", "F;64B"):
            native = reader.replace("B", "N")
            image.tile = [type(image.tile[0])(name, extents, offset, (native, *arguments[1:]))]
    image.load()


def to_eight_bits(image: Image.Image) -> Image.Image:
    """The picture in L, LA, RGB, RGBA, CMYK or LAB. Palettes become colours; deep greys are scaled, never clipped."""
    if image.mode.startswith(("I", "F")):
        return _scale_grey(image)
    if image.mode in ("L", "LA", "CMYK", "LAB"):
        return image.convert("LA") if image.mode == "L" and "transparency" in image.info else image
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "La":
        return image.convert("LA")
    wanted = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == wanted else image.convert(wanted)


def _scale_grey(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    sample_format = tags.get(_FORMAT, (_UNSIGNED,))[0]
    bits = tags.get(_BITS, (32 if image.mode in ("I", "F") else 16,))[0]
    if image.mode == "I" and sample_format == _UNSIGNED and bits == 32 and tags:
        values = values.view(np.uint32)
    white = _white_of(values, sample_format, bits)
    greys = np.empty(values.shape, np.uint8)
    rows = max(1, _BAND_VALUES // max(1, values.shape[1]))
    for start in range(0, len(values), rows):
        band = np.nan_to_num(values[start : start + rows].astype(np.float64), nan=0.0) / white
        if tags.get(_PHOTOMETRIC) == _MIN_IS_WHITE:
            band = 1 - band
        greys[start : start + rows] = (band * 255).clip(0, 255).round()
    picture = Image.fromarray(greys)
    if isinstance(clear := image.info.get("transparency"), int):
        picture.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return picture


def _white_of(values: npt.NDArray[np.generic], sample_format: int, bits: int) -> float:
    """Which value is white: that of the depth where it tells, else by the brightest."""
    if bits <= 16:
        return float(2 ** (bits - 1) - 1 if sample_format == _SIGNED else 2**bits - 1)
    top = float(np.max(values, initial=0, where=np.isfinite(values)))
    if values.dtype.kind == "f" and top <= _UNIT_TOP:
        return 1.0
    return next((white for white in _WHITES if top <= white), top)
