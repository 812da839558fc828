"""Names for colours: every RGB value gets the name of the nearest of some forty named colours."""

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

_NAMED: dict[str, tuple[int, int, int]] = {
    "black": (10, 10, 10),
    "charcoal": (45, 46, 50),
    "dark grey": (80, 80, 82),
    "grey": (128, 128, 128),
    "light grey": (190, 190, 190),
    "white": (250, 250, 250),
    "cream": (245, 235, 210),
    "beige": (215, 195, 160),
    "tan": (185, 145, 100),
    "brown": (125, 80, 45),
    "dark brown": (65, 42, 28),
    "rust": (165, 70, 30),
    "maroon": (90, 18, 24),
    "dark red": (140, 20, 20),
    "red": (210, 30, 35),
    "coral": (240, 120, 95),
    "pink": (235, 130, 165),
    "pale pink": (248, 205, 210),
    "magenta": (200, 40, 140),
    "orange": (245, 140, 35),
    "gold": (215, 165, 50),
    "yellow": (250, 220, 60),
    "pale yellow": (250, 240, 165),
    "olive": (115, 115, 50),
    "lime green": (150, 210, 60),
    "green": (60, 145, 60),
    "dark green": (25, 65, 35),
    "pale green": (185, 220, 175),
    "moss green": (85, 100, 65),
    "teal": (20, 120, 125),
    "turquoise": (70, 195, 190),
    "pale blue": (190, 215, 240),
    "sky blue": (115, 180, 235),
    "blue": (45, 95, 200),
    "navy blue": (20, 32, 85),
    "slate blue": (90, 108, 135),
    "lavender": (190, 175, 225),
    "purple": (120, 60, 160),
    "dark purple": (58, 28, 80),
}
NAMES: tuple[str, ...] = tuple(_NAMED)
_WARM = {
    "rust",
    "maroon",
    "dark red",
    "red",
    "coral",
    "orange",
    "gold",
    "yellow",
    "pale yellow",
    "tan",
    "brown",
    "cream",
}
_COOL = {"teal", "turquoise", "pale blue", "sky blue", "blue", "navy blue", "slate blue", "lavender", "purple"}


def names_of(pixels: Pixels) -> npt.NDArray[np.uint8]:
    """Index into NAMES for each RGB pixel of [height, width, 3]."""
    fifths = (pixels >> 3).astype(np.int32)
    return np.asarray(_table()[fifths[..., 0] << 10 | fifths[..., 1] << 5 | fifths[..., 2]], np.uint8)


def temperature(name: str) -> int:
    """1 for a warm colour, -1 for a cool one, 0 for neither."""
    return (name in _WARM) - (name in _COOL)


@cache
def _table() -> npt.NDArray[np.uint8]:
    """The nearest name, measured in CIELAB, for each of the 32³ coarse RGB values."""
    levels = np.arange(4, 256, 8, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    named = np.array(list(_NAMED.values()), dtype=np.uint8).reshape(-1, 1, 3)
    away = np.linalg.norm(_lab(grid)[:, None] - _lab(named)[None], axis=-1)
    return np.asarray(np.argmin(away, axis=1), np.uint8)


def _lab(colours: Pixels) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(colours.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32).reshape(-1, 3)
