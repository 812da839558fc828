"""The perceptual hash: 64 bits of a picture's lowest frequencies; look-alikes differ in few."""

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

_SIDE, _KEPT = 32, 8
_COSINES = 2 * np.cos(np.pi / _SIDE * np.outer(np.arange(_KEPT), np.arange(_SIDE) + 0.5))
"""The first 8 rows of the DCT-II of 32 values."""
_LOBES, _BITS = 3, 22
"""Pillow's Lanczos, and the binary digits of its weights."""
_BAND = 8
"""Neighbouring outputs that are computed at once, from the few columns that they all need."""
_TALL = 100
"""Times as high as wide: of such pictures Pillow shrinks the height first."""
_UNSHARED = 1 << 18
"""Multiplications up to which OpenBLAS starts no threads, which would only spin beside the other pictures' work."""
_Floats = npt.NDArray[np.float64]


def perceptual_hash(pixels: npt.NDArray[np.uint8]) -> int:
    """Of RGB pixels: which of the 8 x 8 lowest DCT coefficients of 32 x 32 greys exceed their median.

    The bits are those of ImageHash's ``phash``, except where a picture has no structure and rounding would decide:
    coefficients are compared to six decimals, so that every machine gives plain grounds the same hash.
    """
    low = (_COSINES @ small_greys(pixels) @ _COSINES.T).round(6).ravel()
    middle = np.sort(low)[low.size // 2 - 1 : low.size // 2 + 1]
    return int.from_bytes(np.packbits(low > middle.sum() / 2).tobytes(), "big")


def small_greys(pixels: npt.NDArray[np.uint8]) -> _Floats:
    """RGB pixels as 32 x 32 greys, 0 to 255: value for value those of Pillow's Lanczos, in less than half its time.

    Pillow rounds its weights to whole numbers, as here; whole numbers below 2**53 add up exactly in any order.
    """
    height, width, _ = pixels.shape
    # four bytes a pixel are Pillow's own form, which it takes over without a copy
    own = Image.frombuffer("RGBX", (width, height), cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA), "raw", "RGBX", 0, 1)
    grey = np.asarray(own.convert("L")).astype(np.float64)
    if height > _TALL * width:
        return _across(_down(grey))
    return _down(_across(grey))


def _across(values: _Floats) -> _Floats:
    bands = _bands(values.shape[1])
    return _levels(np.hstack([_product(values[:, begin : begin + len(w)], w) for begin, w in bands]))


def _down(values: _Floats) -> _Floats:
    bands = _bands(values.shape[0])
    return _levels(np.vstack([_product(w.T, values[begin : begin + len(w)]) for begin, w in bands]))


def _product(left: _Floats, right: _Floats) -> _Floats:
    product = np.empty((len(left), right.shape[1]))
    rows = max(1, _UNSHARED // right.size)
    for start in range(0, len(left), rows):
        np.matmul(left[start : start + rows], right, out=product[start : start + rows])
    return product


def _levels(sums: _Floats) -> _Floats:
    return np.floor(sums * 2.0**-_BITS + 0.5).clip(0, 255)


@lru_cache(maxsize=128)
def _bands(length: int) -> tuple[tuple[int, _Floats], ...]:
    """How ``length`` values become 32: for each band of outputs its first input, and the weights (inputs, outputs)."""
    scale = length / _SIDE
    stretch = max(scale, 1.0)
    centres = (np.arange(_SIDE) + 0.5) * scale
    inputs = np.arange(length)[:, np.newaxis]
    first = np.trunc(centres - _LOBES * stretch + 0.5)
    last = np.trunc(centres + _LOBES * stretch + 0.5)
    at = (inputs - centres + 0.5) / stretch
    weights = np.sinc(at) * np.sinc(at / _LOBES)
    weights[(inputs < first) | (inputs >= last) | (at < -_LOBES) | (at >= _LOBES)] = 0.0
    weights /= weights.sum(axis=0)
    whole = np.trunc(weights * 2.0**_BITS + np.copysign(0.5, weights))
    bands = []
    for start in range(0, _SIDE, _BAND):
        band = whole[:, start : start + _BAND]
        used = np.flatnonzero(band.any(axis=1))
        bands.append((int(used[0]), np.ascontiguousarray(band[used[0] : used[-1] + 1])))
    return tuple(bands)
