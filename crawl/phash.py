"""The perceptual hash: 64 bits of a picture's lowest frequencies; look-alikes differ in few."""

import numpy as np
import numpy.typing as npt
from PIL import Image

_SIDE, _KEPT = 32, 8
_COSINES = 2 * np.cos(np.pi / _SIDE * np.outer(np.arange(_KEPT), np.arange(_SIDE) + 0.5))
"""The first 8 rows of the DCT-II of 32 values."""


def perceptual_hash(pixels: npt.NDArray[np.uint8]) -> int:
    """Of RGB pixels: which of the 8 x 8 lowest DCT coefficients of 32 x 32 greys exceed their median.

    The bits are those of ImageHash's ``phash``, except where a picture has no structure and rounding would decide:
    coefficients are compared to six decimals, so that every machine gives plain grounds the same hash.
    """
    grey = Image.fromarray(pixels).convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    low = (_COSINES @ np.asarray(grey, dtype=np.float64) @ _COSINES.T).round(6)
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")
