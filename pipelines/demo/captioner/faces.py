"""Finds faces that look at the camera, by the cascade that OpenCV brings along."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_CASCADE = "haarcascade_frontalface_alt2.xml"
_SMALLEST = 28
"""Pixels of the picture as measured; smaller faces are too few pixels to be told from noise."""
_NEIGHBOURS = 5
_AT_MOST = 6


@dataclass(frozen=True, kw_only=True)
class Face:
    """Where a face lies, and its share of the picture's area."""

    place: str
    share: float


def faces_of(grey: npt.NDArray[np.uint8], places: Sequence[Sequence[str]]) -> tuple[Face, ...]:
    """The faces, the largest first; none when OpenCV came without its cascades."""
    cascade = _cascade()
    if cascade is None or min(grey.shape) < 2 * _SMALLEST:
        return ()
    boxes = cascade.detectMultiScale(
        cv2.equalizeHist(grey), scaleFactor=1.25, minNeighbors=_NEIGHBOURS, minSize=(_SMALLEST, _SMALLEST)
    )
    height, width = grey.shape
    faces = []
    for left, top, across, down in sorted(([int(v) for v in box] for box in boxes), key=lambda box: (-box[2], box)):
        row, column = (top + down / 2) / height, (left + across / 2) / width
        faces.append(Face(place=places[int(row * 3)][int(column * 3)], share=across * down / (width * height)))
    return tuple(faces[:_AT_MOST])


@cache
def _cascade() -> Any | None:
    path = os.path.join(cv2.data.haarcascades, _CASCADE)  # type: ignore[attr-defined]
    cascade = cv2.CascadeClassifier(path) if os.path.exists(path) else None
    return None if cascade is None or cascade.empty() else cascade
