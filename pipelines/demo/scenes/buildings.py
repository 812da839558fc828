"""Rows of houses, road and street furniture that every street scene stands on."""

# Coordinates and sizes come in the one order that every drawer uses: naming each would bury the drawing.
# ruff: noqa: PLR0917

import random
from dataclasses import dataclass

from pipelines.demo.scenes.canvas import Canvas
from pipelines.demo.scenes.palette import Colour, darken, jitter, lighten, mix
from pipelines.demo.scenes.pen import Pen


@dataclass(frozen=True, kw_only=True)
class StreetLook:
    """The colours of a street and the state of its windows."""

    walls: tuple[Colour, ...]
    road: Colour
    lit: Colour
    """Colour of a lit window."""
    lit_share: float
    """Share of windows that are lit, 0 to 1."""
    broken_share: float = 0.0
    """Share of windows that are broken, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Street:
    """Where things can stand in a drawn street, in units of the picture."""

    ground: float
    """Height of the foot of the houses."""
    roof: float
    """Height of the lowest roof."""


def draw_street(canvas: Canvas, rng: random.Random, look: StreetLook) -> Street:
    """Draw houses seen from across the road or down both sides of it."""
    if rng.random() < 0.4:
        return _draw_canyon(canvas, rng, look)
    ground = canvas.height * rng.uniform(0.62, 0.8)
    x, roof = -rng.uniform(0, 0.2), 0.0
    while x < canvas.width:
        width = rng.uniform(0.22, 0.45)
        top = ground - rng.uniform(0.28, 0.58)
        roof = max(roof, top)
        _draw_house(canvas, rng, look, (x, top, x + width, ground))
        x += width
    _draw_road(canvas, rng, look, ground)
    return Street(ground=ground, roof=roof)


def _draw_house(canvas: Canvas, rng: random.Random, look: StreetLook, box: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = box
    pen, wall = canvas.pen(), jitter(rng, rng.choice(look.walls), 10)
    pen.box(left, top, right, bottom + 0.01, wall)
    if rng.random() < 0.4:
        peak = rng.uniform(0.08, 0.16)
        pen.shape([(left - 0.01, top), ((left + right) / 2, top - peak), (right + 0.01, top)], darken(wall, 0.35))
    else:
        pen.box(left - 0.005, top - 0.012, right + 0.005, top + 0.012, darken(wall, 0.3))
    columns, rows = rng.randint(2, 4), max(1, int((bottom - top) / 0.14))
    cell = (right - left) / columns
    for row in range(rows):
        for column in range(columns):
            x, y = left + cell * (column + 0.5), top + 0.08 + row * 0.135
            if y + 0.05 < bottom - 0.02:
                _draw_window(pen.at(x, y), rng, look, wall, (cell * 0.27, 0.042))
    middle = rng.uniform(left + 0.07, right - 0.07)
    pen.box(middle - 0.035, bottom - 0.13, middle + 0.035, bottom, darken(wall, 0.5))


def _draw_window(pen: Pen, rng: random.Random, look: StreetLook, wall: Colour, half: tuple[float, float]) -> None:
    across, down = half
    pane = look.lit if rng.random() < look.lit_share else darken(mix(wall, (60, 80, 110), 0.5), 0.4)
    pen.box(-across - 0.006, -down - 0.006, across + 0.006, down + 0.006, lighten(wall, 0.25))
    pen.box(-across, -down, across, down, pane)
    if rng.random() < look.broken_share:
        pen.star(rng.uniform(-0.3, 0.3) * across, rng.uniform(-0.3, 0.3) * down, down * 0.95, (6, 4, 6), 7, 0.5)
        pen.stroke([(-across, -down), (across * 0.6, down)], 0.003, (210, 210, 214))
        pen.stroke([(across, -down * 0.7), (-across * 0.5, down)], 0.003, (210, 210, 214))
    else:
        pen.stroke([(0, -down), (0, down)], 0.005, lighten(wall, 0.2))


def _draw_road(canvas: Canvas, rng: random.Random, look: StreetLook, ground: float) -> None:
    road = jitter(rng, look.road, 8)
    canvas.gradient((lighten(road, 0.1), darken(road, 0.15)), ground)
    pen = canvas.pen()
    pen.box(0, ground, canvas.width, ground + 0.025, lighten(road, 0.25))
    middle, x = ground + (canvas.height - ground) * 0.6, -rng.uniform(0, 0.2)
    while x < canvas.width:
        pen.box(x, middle, x + 0.1, middle + 0.012, lighten(road, 0.35))
        x += 0.22


def _draw_canyon(canvas: Canvas, rng: random.Random, look: StreetLook) -> Street:
    """Draw a street that runs away from the viewer between two rows of houses."""
    w, h = canvas.width, canvas.height
    far_x, far_y = w * rng.uniform(0.35, 0.65), h * rng.uniform(0.45, 0.58)
    road, pen = jitter(rng, look.road, 8), canvas.pen()
    canvas.gradient((lighten(road, 0.15), darken(road, 0.15)), far_y)
    pen.shape(
        [(far_x - 0.006, far_y), (far_x + 0.006, far_y), (far_x + 0.035, h), (far_x - 0.035, h)], lighten(road, 0.3)
    )
    for side in (-1, 1):
        edge = 0.0 if side < 0 else w
        reach = abs(edge - far_x)
        shares = [1.25, 0.85, 0.55, 0.34, 0.2]
        tall = [rng.uniform(0.75, 1.15) for _ in shares]
        for index in range(len(shares) - 2, -1, -1):
            near, away, high = shares[index], shares[index + 1], tall[index]
            _draw_receding_house(pen, rng, look, (far_x, far_y), side * reach, (near, away, high))
    return Street(ground=h * 0.8, roof=far_y - 0.15)


def _draw_receding_house(
    pen: Pen,
    rng: random.Random,
    look: StreetLook,
    far: tuple[float, float],
    reach: float,
    span: tuple[float, float, float],
) -> None:
    """Draw one house side in perspective; `span` is its near and far end and its height."""
    near, away, high = span
    wall = jitter(rng, rng.choice(look.walls), 10)

    def spot(share: float, level: float) -> tuple[float, float]:
        depth = near + (away - near) * share
        return far[0] + reach * depth, far[1] + depth * (0.5 - level * (0.5 + high * 0.62))

    pen.shape([spot(0, 0), spot(0, 1), spot(1, 1), spot(1, 0)], wall)
    pen.shape([spot(0, 1), spot(0, 1.05), spot(1, 1.05), spot(1, 1)], darken(wall, 0.35))
    for row in range(3):
        for column in range(3):
            s, t = 0.12 + 0.29 * column, 0.3 + 0.23 * row
            pane = look.lit if rng.random() < look.lit_share else darken(mix(wall, (60, 80, 110), 0.5), 0.4)
            corners = [spot(s, t), spot(s, t + 0.13), spot(s + 0.18, t + 0.13), spot(s + 0.18, t)]
            pen.shape(corners, pane)
            if rng.random() < look.broken_share:
                pen.shape([corners[0], spot(s + 0.09, t + 0.12), corners[3], spot(s + 0.09, t + 0.03)], (6, 4, 6))
                pen.stroke([corners[1], corners[3]], 0.003, (210, 210, 214))


def draw_lamp(foot: Pen, colour: Colour, light: Colour) -> None:
    """Draw a street lamp, 1 local unit tall, standing at the pen's origin."""
    foot.box(-0.02, -0.9, 0.02, 0, colour)
    foot.box(-0.05, -0.04, 0.05, 0, colour)
    foot.shape([(-0.07, -0.99), (0.07, -0.99), (0.05, -0.86), (-0.05, -0.86)], light)
    foot.shape([(-0.1, -0.98), (0.1, -0.98), (0, -1.06)], colour)


def draw_bench(foot: Pen, colour: Colour) -> None:
    """Draw a bench about 1.2 local units wide, its feet at the pen's origin."""
    for y in (-0.5, -0.4, -0.24):
        foot.box(-0.6, y, 0.6, y + 0.06, colour)
    for x in (-0.5, 0.46):
        foot.box(x, -0.5, x + 0.05, 0, darken(colour, 0.4))
