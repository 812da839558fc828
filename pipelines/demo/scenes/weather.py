"""Sky and weather: sun, moon, stars, clouds, rain, lightning, smoke, fire and fireworks."""

# Coordinates and sizes come in the one order that every drawer uses: naming each would bury the drawing.
# ruff: noqa: PLR0917

import math
import random

from pipelines.demo.scenes.canvas import Canvas
from pipelines.demo.scenes.palette import Colour, lighten, translucent
from pipelines.demo.scenes.pen import Pen, smooth


def draw_rain(canvas: Canvas, rng: random.Random, colour: Colour, count: int, slant: float | None = None) -> None:
    """Draw `count` streaks of rain, all leaning `slant` (drawn at random if None)."""
    pen = canvas.pen()
    slant = rng.uniform(-0.35, 0.35) if slant is None else slant
    for _ in range(count):
        x, y = rng.uniform(-0.1, canvas.width + 0.1), rng.uniform(-0.1, canvas.height)
        length = rng.uniform(0.05, 0.13)
        pen.stroke([(x, y), (x + slant * length, y + length)], 0.004, colour)


def draw_sun(canvas: Canvas, x: float, y: float, radius: float, colour: Colour, halo: float = 4.0) -> None:
    """Draw a sun with a glow `halo` times its radius."""
    canvas.glow(x, y, radius * halo, colour, 0.75)
    canvas.pen().disc(x, y, radius, lighten(colour, 0.35))


def draw_moon(canvas: Canvas, rng: random.Random, x: float, y: float, radius: float, colour: Colour) -> None:
    """Draw a full moon with craters and a halo."""
    canvas.glow(x, y, radius * 3.2, colour, 0.45)
    pen = canvas.pen(x, y, radius)
    pen.disc(0, 0, 1, colour)
    for _ in range(5):
        pen.disc(rng.uniform(-0.55, 0.55), rng.uniform(-0.55, 0.55), rng.uniform(0.08, 0.2), (0, 0, 20, 26))


def draw_stars(canvas: Canvas, rng: random.Random, bottom: float, count: int) -> None:
    """Scatter `count` stars above `bottom`."""
    pen = canvas.pen()
    for _ in range(count):
        pen.disc(
            rng.uniform(0, canvas.width),
            rng.uniform(0, bottom),
            rng.uniform(0.0015, 0.005),
            (255, 255, 240, rng.randint(120, 255)),
        )


def draw_clouds(
    canvas: Canvas,
    rng: random.Random,
    top: float,
    bottom: float,
    colour: Colour,
    count: int,
    opacity: float = 0.85,
    size: float = 1.0,
) -> None:
    """Scatter `count` soft clouds between heights `top` and `bottom`."""
    for _ in range(count):
        width = rng.uniform(0.3, 0.75) * size
        canvas.puff(
            rng,
            rng.uniform(-0.05, canvas.width + 0.05),
            rng.uniform(top, bottom),
            width,
            width * rng.uniform(0.35, 0.55),
            colour,
            opacity,
            rng.randint(4, 7),
        )


def draw_lightning(canvas: Canvas, rng: random.Random, x: float, bottom: float, colour: Colour) -> None:
    """Draw a forked bolt from the top of the picture at `x` down to `bottom`."""
    canvas.glow(x, bottom * 0.3, 0.5, colour, 0.45)
    pen, points = canvas.pen(), [(x, -0.02)]
    while points[-1][1] < bottom:
        last = points[-1]
        points.append((last[0] + rng.uniform(-0.07, 0.07), last[1] + rng.uniform(0.04, 0.1)))
        if rng.random() < 0.3:
            side = rng.choice((-1, 1))
            pen.stroke(
                [
                    points[-1],
                    (points[-1][0] + side * 0.08, points[-1][1] + 0.06),
                    (points[-1][0] + side * 0.11, points[-1][1] + 0.15),
                ],
                0.006,
                colour,
            )
    pen.stroke(points, 0.022, translucent(colour, 90))
    pen.stroke(points, 0.011, lighten(colour, 0.6))


def draw_smoke(
    canvas: Canvas,
    rng: random.Random,
    x: float,
    bottom: float,
    top: float,
    colour: Colour,
    spread: float = 0.3,
) -> None:
    """Draw a widening smoke column that rises from `bottom` to `top` and drifts."""
    drift, steps = rng.uniform(-0.25, 0.25), 7
    for step in range(steps, -1, -1):
        share = step / steps
        size = spread * (0.35 + share) * rng.uniform(0.9, 1.2)
        tone = lighten(colour, 0.1 * rng.random())
        canvas.puff(rng, x + drift * share, bottom + (top - bottom) * share, size, size * 0.8, tone, 0.72, 5)


def draw_flame(foot: Pen, rng: random.Random, height: float) -> None:
    """Draw one flame `height` local units tall from the pen's origin, in three tongues."""
    for share, colour in ((1.0, (226, 60, 20)), (0.72, (252, 140, 28)), (0.42, (255, 224, 96))):
        tall, wide, lean = height * share, height * 0.3 * share**0.6, rng.uniform(-0.12, 0.12) * height
        outline = [
            (-wide * 0.6, height * 0.03),
            (-wide * 1.3, -tall * 0.3),
            (-wide * 0.3, -tall * 0.45),
            (-wide * 0.7, -tall * 0.75),
            (lean, -tall * 1.1),
            (wide * 0.5, -tall * 0.6),
            (wide * 0.55, -tall * 0.4),
            (wide * 1.3, -tall * 0.42),
            (wide * 1.1, -tall * 0.1),
            (wide * 0.6, height * 0.03),
        ]
        foot.shape(smooth(outline), colour)


def draw_firework(canvas: Canvas, rng: random.Random, x: float, y: float, radius: float, colour: Colour) -> None:
    """Draw a bursting firework of `radius` units."""
    canvas.glow(x, y, radius * 1.3, colour, 0.5)
    pen, spokes = canvas.pen(x, y, radius), rng.randint(14, 24)
    for spoke in range(spokes):
        turn = 2 * math.pi * spoke / spokes
        reach = rng.uniform(0.75, 1.0)
        c, s = math.cos(turn), math.sin(turn)
        pen.stroke([(0.25 * c, 0.25 * s), (reach * c, reach * s + 0.08)], 0.025, colour)
        pen.disc(reach * c, reach * s + 0.08, 0.045, lighten(colour, 0.5))


def draw_rainbow(canvas: Canvas, x: float, y: float, radius: float, alpha: int = 150) -> None:
    """Draw a rainbow centred on (x, y) whose outer band has `radius` units."""
    bands = ((230, 60, 60), (246, 150, 50), (250, 226, 80), (90, 190, 90), (70, 130, 220), (140, 90, 200))
    pen, width = canvas.pen(), radius * 0.045
    for index, band in enumerate(bands):
        pen.arc(x, y, radius - index * width, 180, 360, width * 1.1, translucent(band, alpha))
