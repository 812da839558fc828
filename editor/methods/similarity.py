"""How like two pictures are: the mean SSIM of grey pixels (Wang et al. 2004), as EmoEditor's public code takes it."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
BoolMask = npt.NDArray[np.bool_]
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def grey_ssim(one: Pixels, other: Pixels, window: int, where: BoolMask | None = None) -> float:
    """Mean over all windows that lie inside the pictures, uint8 [height, width, 3]; uniform weights, sample covariance.

    A window that is even or larger than the picture is cut to the largest odd one that is not. Of ``where`` [height,
    width] only windows count whose middle is true; nan where none is.
    """
    side = min(window, *one.shape[:2])
    side -= 1 - side % 2
    x, y = (cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float64) for pixels in (one, other))
    unbiased = side**2 / (side**2 - 1) if side > 1 else 1.0
    mean_x, mean_y = _mean(x, side), _mean(y, side)
    variance_x = unbiased * (_mean(x * x, side) - mean_x**2)
    variance_y = unbiased * (_mean(y * y, side) - mean_y**2)
    covariance = unbiased * (_mean(x * y, side) - mean_x * mean_y)
    likeness = ((2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)) / (
        (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    )
    if where is not None:
        border = side // 2
        likeness = likeness[where[border : where.shape[0] - border, border : where.shape[1] - border]]
    return float(likeness.mean()) if likeness.size else float("nan")


def _mean(values: npt.NDArray[np.float64], side: int) -> Any:
    """The means of all windows that lie inside."""
    border = side // 2
    means = cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT)
    return means[border : means.shape[0] - border, border : means.shape[1] - border]
