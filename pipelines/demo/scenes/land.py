"""Land and water: ridges of hills, trees, grass, lakes and sea."""

# Coordinates and sizes come in the one order that every drawer uses: naming each would bury the drawing.
# ruff: noqa: PLR0917

import math
import random
from collections.abc import Callable

from pipelines.demo.scenes.canvas import Canvas
from pipelines.demo.scenes.palette import Colour, darken, jitter, lighten, translucent
from pipelines.demo.scenes.pen import Pen


def draw_ridge(
    canvas: Canvas,
    rng: random.Random,
    level: float,
    swing: float,
    colour: Colour,
    rugged: float = 0.0,
) -> Callable[[float], float]:
    """Fill the ground below a hilly line near `level`; return the line's height at any x.

    `swing` is the hills' half height and `rugged` the size of sharp teeth on top of them.
    """
    waves = [(rng.uniform(1, 3) * (i + 1), rng.uniform(0, 6.28), swing / (i + 1)) for i in range(3)]

    def line(x: float) -> float:
        return level + sum(size * math.sin(rate * x + start) for rate, start, size in waves)

    points = []
    for i in range(49):
        x = canvas.width * i / 48
        points.append((x, line(x) - rng.uniform(0, rugged)))
    canvas.pen().shape([*points, (canvas.width, canvas.height), (0, canvas.height)], colour)
    return line


def draw_round_tree(foot: Pen, rng: random.Random, leaves: Colour) -> None:
    """Draw a leafy tree, about 1 local unit tall, rooted at the pen's origin."""
    foot.shape([(-0.05, 0), (-0.03, -0.5), (0.03, -0.5), (0.05, 0)], (96, 66, 44))
    for index in range(7):
        tone = jitter(rng, lighten(leaves, 0.05 * index), 8)
        foot.disc(rng.uniform(-0.2, 0.2), -0.66 + rng.uniform(-0.17, 0.14), rng.uniform(0.13, 0.2), tone)


def draw_pine(foot: Pen, colour: Colour) -> None:
    """Draw a fir, 1 local unit tall, rooted at the pen's origin."""
    foot.box(-0.03, -0.2, 0.03, 0, darken(colour, 0.4))
    for tier in range(4):
        base, half = -0.12 - tier * 0.21, 0.27 - tier * 0.05
        foot.shape([(-half, base), (0, base - 0.34), (half, base)], lighten(colour, 0.03 * tier))


def draw_bare_tree(foot: Pen, rng: random.Random, colour: Colour, depth: int = 5) -> None:
    """Draw a leafless tree, about 1 local unit tall, rooted at the pen's origin."""

    def branch(x: float, y: float, turn: float, length: float, left: int) -> None:
        end = (x + length * math.sin(turn), y - length * math.cos(turn))
        foot.stroke([(x, y), end], 0.012 * left**1.2, colour)
        if left > 1:
            for side in (-1, 1):
                branch(*end, turn + side * rng.uniform(0.25, 0.65), length * rng.uniform(0.62, 0.82), left - 1)

    branch(0, 0, rng.uniform(-0.12, 0.12), 0.32, depth)


def draw_flowers(
    canvas: Canvas,
    rng: random.Random,
    line: Callable[[float], float],
    colours: tuple[Colour, ...],
    count: int,
) -> None:
    """Scatter `count` flowers below a ridge's line, larger towards the viewer."""
    pen = canvas.pen()
    for _ in range(count):
        x = rng.uniform(0, canvas.width)
        top = line(x) + 0.02
        near = rng.random() ** 0.8
        y, size = top + (canvas.height - top) * near, 0.006 + 0.02 * near
        pen.stroke([(x, y), (x, y + size * 2.4)], size * 0.25, (52, 120, 50))
        tone = rng.choice(colours)
        for petal in range(5):
            turn = 1.2566 * petal
            pen.disc(x + size * 0.62 * math.cos(turn), y + size * 0.62 * math.sin(turn), size * 0.5, tone)
        pen.disc(x, y, size * 0.36, (250, 220, 90))


def draw_grass(canvas: Canvas, rng: random.Random, top: float, colour: Colour, count: int) -> None:
    """Draw `count` blades of grass below `top`."""
    pen = canvas.pen()
    for _ in range(count):
        x, near = rng.uniform(0, canvas.width), rng.random()
        y, tall = top + (canvas.height - top) * near, 0.02 + 0.05 * near
        pen.stroke([(x, y), (x + rng.uniform(-0.3, 0.3) * tall, y - tall)], 0.004, jitter(rng, colour, 20))


def draw_water(
    canvas: Canvas, rng: random.Random, level: float, colours: tuple[Colour, ...], shine: Colour, ripples: int
) -> None:
    """Fill the picture below `level` with water of `colours`, far to near, and light ripples."""
    canvas.gradient(colours, level)
    pen = canvas.pen()
    for _ in range(ripples):
        near = rng.random() ** 1.4
        y, half = level + (canvas.height - level) * near, 0.01 + 0.09 * near * rng.random()
        x = rng.uniform(0, canvas.width)
        pen.oval(x, y, half, 0.0015 + 0.004 * near, translucent(shine, rng.randint(50, 150)))


def draw_light_path(canvas: Canvas, rng: random.Random, x: float, level: float, colour: Colour) -> None:
    """Draw the broken reflection of a low light at `x` on water below `level`."""
    pen, y = canvas.pen(), level
    while y < canvas.height:
        half = 0.03 + 0.12 * (y - level) * rng.uniform(0.6, 1.2)
        pen.oval(x + rng.uniform(-0.02, 0.02), y, half, 0.005, translucent(colour, 150))
        y += rng.uniform(0.014, 0.03)


def draw_bird(pen: Pen, colour: Colour) -> None:
    """Draw a far bird in flight, 2 local units from tip to tip."""
    pen.curve((-1, -0.1), (-0.5, -0.6), (0, 0.1), 0.16, colour)
    pen.curve((0, 0.1), (0.5, -0.6), (1, -0.1), 0.16, colour)


def draw_butterfly(pen: Pen, wings: Colour) -> None:
    """Draw a butterfly, about 2 local units wide."""
    for side in (-1, 1):
        pen.oval(side * 0.5, -0.3, 0.5, 0.42, wings, side * -30)
        pen.oval(side * 0.4, 0.35, 0.34, 0.32, darken(wings, 0.12), side * 30)
        pen.disc(side * 0.55, -0.32, 0.16, lighten(wings, 0.55))
    pen.oval(0, 0, 0.08, 0.55, (50, 36, 32))


def draw_swan(pen: Pen, body: Colour) -> None:
    """Draw a swan facing right on water, about 2 local units long, waterline at y = 0."""
    pen.oval(-0.1, -0.28, 0.9, 0.36, body, -4)
    pen.shape([(-0.5, -0.3), (-1.25, -0.75), (-0.3, -0.62)], darken(body, 0.06))
    pen.oval(-0.25, -0.45, 0.6, 0.24, darken(body, 0.07), -14)
    pen.curve((0.62, -0.3), (1.15, -0.7), (0.78, -1.1), 0.2, body)
    pen.curve((0.78, -1.1), (0.6, -1.42), (0.98, -1.4), 0.18, body)
    pen.shape([(1.02, -1.47), (1.3, -1.3), (1.0, -1.3)], (240, 130, 40))
    pen.disc(1.0, -1.42, 0.035, (20, 20, 20))
