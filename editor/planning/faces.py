"""Finds frontal faces with OpenCV's own detector, for the fixed region of facial pictures."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from editor.planning.regions import Box

_LONGEST = 640
LEAST_HEIGHT = 0.2
"""Faces lower than this share of the shorter side are bystanders: the picture is not about them."""
GROWTH = 1.2
"""The detector's square ends at the brows and the lower lip; an expression reaches further."""
_NEIGHBOURS = 7


def face_boxes(image: Image.Image) -> tuple[Box, ...]:
    """The fixed region of a facial picture: its faces, the largest first; empty where none is large enough."""
    import cv2

    scale = min(1.0, _LONGEST / max(image.size))
    small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    grey = cv2.equalizeHist(cv2.cvtColor(np.asarray(small), cv2.COLOR_RGB2GRAY))
    least = max(24, round(LEAST_HEIGHT * min(small.size)))
    squares_found = _detector().detectMultiScale(
        grey, scaleFactor=1.1, minNeighbors=_NEIGHBOURS, minSize=(least, least)
    )
    squares = sorted((tuple(map(int, square)) for square in squares_found), key=lambda square: (-square[2], square))
    return tuple(
        Box(
            max(0.0, left / small.width),
            max(0.0, top / small.height),
            min(1.0, (left + width) / small.width),
            min(1.0, (top + height) / small.height),
        ).grown(GROWTH)
        for left, top, width, height in squares
    )


@cache
def _detector() -> Any:
    """The frontal cascade that ships with OpenCV's wheels: no file to download."""
    import cv2

    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"))
