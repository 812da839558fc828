"""A mask at every resolution of the model, by the area rule."""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from editor.edit import Mask


def layer_weights(
    mask: Mask | None, size: tuple[int, int], shapes: list[tuple[int, int]], feather: int
) -> list[Tensor]:
    """How far each cell may change, float32 [h, w] in [0, 1] for each (h, w) of ``shapes``.

    Hard (``feather`` = 0): 1 wherever any of the cell's area has a mask above 0, else 0. Otherwise the mask fades in
    over so many pixels of the working picture, ``size`` = (height, width), from its edge inwards, so that what lies
    outside stays outside; a cell's weight is the mean over its area.
    """
    if mask is None:
        return [torch.ones(shape) for shape in shapes]
    if not feather:
        touched = torch.from_numpy((mask > 0).astype(np.float32))[None]
        return [(adaptive_avg_pool2d(touched, shape)[0] > 0).float() for shape in shapes]
    faded = torch.from_numpy(_fade(mask, size, feather))[None]
    return [adaptive_avg_pool2d(faded, shape)[0] for shape in shapes]


def _fade(mask: Mask, size: tuple[int, int], feather: int) -> Mask:
    """float32 [height, width] of the working picture; its own edge is no edge of the mask."""
    touched = torch.from_numpy((mask > 0).astype(np.float32))[None]
    inside = (adaptive_avg_pool2d(touched, size)[0] > 0).numpy().astype(np.uint8)
    if inside.all():
        return inside.astype(np.float32)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.clip(np.asarray(distance, np.float32) / np.float32(feather + 1), 0, 1)


def blend(source: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """(1 - w) source + w target; exactly one of the two where w is 0 or 1."""
    return (1 - weights) * source + weights * target
