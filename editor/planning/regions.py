"""The region of an edit: boxes become a mask, and a mask's edge lets the source's own pixels back in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from PIL import Image

from editor.edit import Mask
from moodarchive.errors import EditError


@dataclass(frozen=True)
class Box:
    """Corners as shares of the picture's width and height, from the upper left; x0 < x1, y0 < y1, all in [0, 1]."""

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if not (0 <= self.x0 < self.x1 <= 1 and 0 <= self.y0 < self.y1 <= 1):
            raise EditError(
                f"the box {self.x0:g},{self.y0:g},{self.x1:g},{self.y1:g} is none: legal are x0,y0,x1,y1 as shares of "
                "width and height, 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``x0,y0,x1,y1``; EditError says what is legal."""
        try:
            x0, y0, x1, y1 = (float(each) for each in text.split(","))
        except ValueError:
            raise EditError(f"--box {text!r}: legal are four numbers x0,y0,x1,y1 from 0 to 1") from None
        return cls(x0, y0, x1, y1)

    @property
    def area(self) -> float:
        """Share of the picture."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    def grown(self, factor: float) -> "Box":
        """About its middle, within the picture."""
        wide, high = (self.x1 - self.x0) * (factor - 1) / 2, (self.y1 - self.y0) * (factor - 1) / 2
        return Box(
            max(0.0, self.x0 - wide), max(0.0, self.y0 - high), min(1.0, self.x1 + wide), min(1.0, self.y1 + high)
        )


def box_mask(boxes: Sequence[Box], size: tuple[int, int]) -> Mask:
    """The boxes' union at ``size`` (width, height), hard; every box has at least one pixel."""
    width, height = size
    mask: Mask = np.zeros((height, width), np.float32)
    for box in boxes:
        left, top = min(int(box.x0 * width), width - 1), min(int(box.y0 * height), height - 1)
        mask[top : max(top + 1, round(box.y1 * height)), left : max(left + 1, round(box.x1 * width))] = 1
    return mask


def with_own_surroundings(source: Image.Image, edited: Image.Image, mask: Mask | None) -> Image.Image:
    """The edit inside the mask, the source's own pixels outside, with a soft seam on the inner side of the edge.

    The diffusion model works at about 512 pixels and through an autoencoder: without this, all of a large photo would
    lose its detail for an edit of one corner. ``edited`` has the source's size.
    """
    if mask is None or mask.min() > 0:
        return edited
    import cv2

    depth = cv2.distanceTransform((mask > 0).astype(np.uint8), cv2.DIST_L2, 5)
    # a thin region still changes in its middle
    reach = max(1.0, min(min(source.size) / 128, float(depth.max()) / 2))
    seam = (depth / reach).clip(0, 1)
    blend = np.asarray(source, np.float32) * (1 - seam[..., None]) + np.asarray(edited, np.float32) * seam[..., None]
    return Image.fromarray(blend.round().astype(np.uint8))


def mask_picture(mask: Mask) -> Image.Image:
    """Grey, white where the picture may change."""
    return Image.fromarray((mask * 255).round().astype(np.uint8))
