"""The table and wall of a still life, where things stand on it and what may hang behind them."""

import random
from dataclasses import dataclass

from pipelines.demo.scenes.canvas import Canvas
from pipelines.demo.scenes.palette import Colour, darken, jitter, lighten, translucent
from pipelines.demo.scenes.pen import Pen, bezier

_WALLS: dict[str, tuple[tuple[Colour, Colour, Colour], ...]] = {
    "joy": (
        ((255, 240, 190), (255, 214, 140), (230, 160, 100)),
        ((196, 236, 255), (236, 250, 255), (250, 220, 170)),
        ((255, 224, 230), (255, 246, 220), (240, 190, 140)),
    ),
    "anger": (
        ((90, 16, 18), (150, 34, 26), (60, 26, 24)),
        ((40, 14, 18), (120, 24, 22), (80, 34, 26)),
        ((120, 40, 24), (60, 16, 18), (40, 22, 22)),
    ),
    "sadness": (
        ((110, 120, 134), (150, 158, 168), (104, 104, 108)),
        ((80, 92, 110), (120, 132, 148), (84, 80, 84)),
        ((140, 142, 146), (104, 112, 126), (92, 92, 98)),
    ),
    "fear": (
        ((8, 8, 18), (34, 34, 52), (16, 14, 20)),
        ((14, 8, 20), (44, 30, 54), (14, 10, 16)),
        ((4, 12, 14), (28, 44, 46), (10, 16, 16)),
    ),
    "love": (
        ((255, 216, 224), (255, 190, 204), (240, 160, 176)),
        ((255, 232, 220), (250, 200, 200), (220, 140, 150)),
        ((244, 200, 224), (255, 224, 226), (206, 130, 160)),
    ),
    "surprise": (
        ((90, 90, 210), (150, 120, 240), (70, 60, 150)),
        ((20, 160, 180), (90, 210, 210), (30, 110, 140)),
        ((200, 70, 170), (110, 80, 210), (80, 50, 140)),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Where a still life stands: the middle of its foot, its size and the table's edge."""

    x: float
    y: float
    size: float
    table: float


def set_table(canvas: Canvas, rng: random.Random, emotion: str) -> Spot:
    """Paint wall and table in a mood of `emotion` and return where the main thing stands."""
    upper, lower, board = (jitter(rng, c, 12) for c in rng.choice(_WALLS[emotion]))
    if rng.random() < 0.35:
        upper, lower = lower, upper
    table = canvas.height * rng.uniform(0.55, 0.8)
    canvas.gradient((upper, lower), 0, table)
    if rng.random() < 0.45:
        pen, width, x = canvas.pen(), rng.uniform(0.06, 0.2), 0.0
        while x < canvas.width:
            pen.box(x, 0, x + width / 2, table, translucent(darken(lower, 0.2), 60))
            x += width
    canvas.glow(
        rng.uniform(0, 1) * canvas.width,
        rng.uniform(0.1, 0.7) * canvas.height,
        rng.uniform(0.4, 0.8),
        lighten(lower, 0.4),
        0.25 if emotion == "fear" else rng.uniform(0.4, 0.8),
    )
    canvas.gradient((lighten(board, 0.12), darken(board, 0.2)), table)
    return Spot(
        x=canvas.width * rng.uniform(0.36, 0.64),
        y=table + (canvas.height - table) * rng.uniform(0.3, 0.75),
        size=rng.uniform(0.75, 1.3),
        table=table,
    )


def draw_shadow(canvas: Canvas, x: float, y: float, half: float) -> None:
    """Lay a soft shadow, `half` units to each side of (x, y), on the table."""
    canvas.glow(x, y, half, (0, 0, 0), 0.55, 0.28)


def stand_on_table(canvas: Canvas, rng: random.Random, spot: Spot, size: float, aside: float = 0.0) -> Pen:
    """Return a pen, `size` by the spot's own, for a thing `aside` units beside the spot; lay its shadow."""
    x, scale = spot.x + aside, size * spot.size
    draw_shadow(canvas, x, spot.y, scale * 1.7)
    return canvas.pen(x, spot.y, scale, rng.uniform(-3, 3), rng.random() < 0.5)


def draw_rainy_window(canvas: Canvas, rng: random.Random, spot: Spot) -> None:
    """Draw a window with rain on its panes in the wall behind the table."""
    x, half = rng.uniform(0.2, 0.8) * canvas.width, rng.uniform(0.2, 0.32)
    pen, top, bottom = canvas.pen(), rng.uniform(0.03, 0.12), spot.table - 0.1
    pen.box(x - half, top, x + half, bottom, (168, 182, 198))
    for _ in range(45):
        streak_x, streak_y = x + rng.uniform(-half, half), rng.uniform(top, bottom - 0.09)
        pen.stroke([(streak_x, streak_y), (streak_x, streak_y + rng.uniform(0.02, 0.09))], 0.004, (226, 236, 246, 160))
    frame = (74, 78, 86)
    for edge in (x - half, x, x + half):
        pen.box(edge - 0.012, top, edge + 0.012, bottom, frame)
    for level in (top, (top + bottom) / 2, bottom):
        pen.box(x - half - 0.012, level - 0.012, x + half + 0.012, level + 0.012, frame)


def draw_heart_garland(canvas: Canvas, rng: random.Random) -> None:
    """Hang a string of paper hearts across the top."""
    w, tones = canvas.width, ((220, 40, 80), (250, 150, 170), (255, 244, 240))
    line = bezier(
        (0, rng.uniform(-0.02, 0.12)),
        (w * rng.uniform(0.3, 0.7), rng.uniform(0.1, 0.3)),
        (w, rng.uniform(-0.02, 0.12)),
        rng.randint(7, 13),
    )
    canvas.pen().stroke(line, 0.005, (150, 90, 100))
    size = rng.uniform(0.03, 0.05)
    for index, (x, y) in enumerate(line):
        canvas.pen().heart(x, y + size, size, tones[index % 3], rng.uniform(-12, 12))
