"""Landscapes of surprise: glowing waves under an aurora, meteors over a peak, a leaping whale."""

import math
import random

from pipelines.demo.scenes.canvas import Canvas
from pipelines.demo.scenes.depiction import Depiction
from pipelines.demo.scenes.land import draw_pine, draw_ridge, draw_water
from pipelines.demo.scenes.palette import WHITE, Colour, darken, jitter, translucent
from pipelines.demo.scenes.pen import Point, smooth
from pipelines.demo.scenes.weather import (
    draw_clouds,
    draw_stars,
)


def draw_rare_sight(canvas: Canvas, rng: random.Random) -> Depiction:
    """Draw an aurora, a shower of meteors or a leaping whale (surprise)."""
    return rng.choice((_aurora, _meteors, _whale))(canvas, rng)


def _snowy_ground(canvas: Canvas, rng: random.Random, level: float) -> None:
    draw_ridge(canvas, rng, level - 0.05, 0.06, (60, 80, 120), 0.06)
    line = draw_ridge(canvas, rng, level + 0.05, 0.03, (150, 176, 206))
    for _ in range(rng.randint(2, 8)):
        x = rng.uniform(0, canvas.width)
        draw_pine(canvas.pen(x, line(x) + rng.uniform(0.01, 0.1), rng.uniform(0.12, 0.3)), (24, 50, 60))


def _aurora(canvas: Canvas, rng: random.Random) -> Depiction:
    w, h = canvas.width, canvas.height
    level = h * rng.uniform(0.62, 0.8)
    canvas.gradient([jitter(rng, c, 6) for c in ((8, 12, 44), (20, 44, 90), (40, 90, 120))])
    draw_stars(canvas, rng, h * 0.7, 70)
    for _ in range(rng.randint(2, 4)):
        tone: Colour = rng.choice(((70, 255, 160), (120, 255, 120), (190, 100, 255), (80, 240, 230)))
        height, rate, start = h * rng.uniform(0.2, 0.42), rng.uniform(2, 5), rng.uniform(0, 6)
        for i in range(26):
            x = w * i / 25
            canvas.glow(
                x, height + 0.09 * math.sin(rate * x + start), 0.08, tone, rng.uniform(0.35, 0.6), rng.uniform(2.0, 3.4)
            )
    draw_ridge(canvas, rng, level - 0.08, 0.06, (40, 56, 100), 0.06)
    draw_water(canvas, rng, level, ((14, 40, 90), (6, 14, 44)), (140, 220, 255), 25)
    for row in range(rng.randint(2, 4)):
        y, start = level + (h - level) * (0.15 + 0.25 * row), rng.uniform(0, 6)
        crest = [(w * i / 24, y + 0.015 * (1 + row) * math.sin(i * 0.7 + start)) for i in range(25)]
        for x, y in crest:
            canvas.glow(x, y, 0.05 + 0.015 * row, (40, 200, 255), 0.6, 0.6)
        canvas.pen().stroke(crest, 0.008, (190, 250, 255))
    return Depiction(
        alt_text="Glowing blue plankton waves roll in at night under waving northern lights.",
        stimuli=("glowing blue waves", "waving northern lights", "a starry sky"),
        about=("plankton", "waves"),
        detail="northern lights above the sea",
    )


def _meteors(canvas: Canvas, rng: random.Random) -> Depiction:
    w, h = canvas.width, canvas.height
    canvas.gradient(
        [
            jitter(rng, c, 8)
            for c in rng.choice(
                (((14, 16, 60), (70, 60, 140), (230, 130, 150)), ((10, 20, 60), (30, 80, 150), (130, 190, 220)))
            )
        ]
    )
    draw_stars(canvas, rng, h * 0.75, 110)
    pen, lean = canvas.pen(), rng.uniform(0.35, 0.7)
    for _ in range(rng.randint(3, 8)):
        x, y, length = rng.uniform(0.0, 0.85) * w, rng.uniform(0.02, 0.4) * h, rng.uniform(0.15, 0.5)
        head, side = (x + length, y + length * lean), rng.uniform(0.006, 0.018)
        pen.shape(
            [(x, y), (head[0] + side * lean, head[1] - side), (head[0] - side * lean, head[1] + side)],
            (255, 244, 200, 200),
        )
        canvas.glow(*head, side * 5, (255, 240, 190), 0.9)
        pen.disc(*head, side * 1.2, WHITE)
    _peak_and_saucer(canvas, rng, rng.uniform(0.25, 0.75) * w, h * rng.uniform(0.45, 0.62))
    _snowy_ground(canvas, rng, h * rng.uniform(0.78, 0.9))
    return Depiction(
        alt_text="A saucer-shaped cloud hangs over a snowy peak while bright meteors fall at night.",
        stimuli=("a saucer-shaped cloud over a peak", "falling meteors", "a starry sky"),
        about=("saucer", "peak"),
        detail="meteors in the night sky",
    )


def _peak_and_saucer(canvas: Canvas, rng: random.Random, x: float, top: float) -> None:
    """Draw a mountain whose snowy top is at (x, top), with a stack of lens-shaped clouds over it."""
    pen, half = canvas.pen(x, top), rng.uniform(0.4, 0.7)
    pen.shape([(0, 0), (half, 0.6), (-half, 0.6)], (52, 66, 112))
    pen.shape(
        [(0, 0), (half * 0.3, 0.18), (half * 0.1, 0.14), (-half * 0.05, 0.2), (-half * 0.3, 0.18)], (226, 236, 250)
    )
    wide = rng.uniform(0.2, 0.34)
    for step in range(rng.randint(2, 4)):
        level, reach = -0.07 - 0.055 * step, wide * (1 - 0.18 * step)
        pen.oval(0.02 * step, level, reach, 0.045, (250, 214, 226))
        pen.oval(0.02 * step, level + 0.014, reach * 0.94, 0.03, (206, 160, 200))


def _whale(canvas: Canvas, rng: random.Random) -> Depiction:
    w, h = canvas.width, canvas.height
    level = h * rng.uniform(0.5, 0.68)
    canvas.gradient(
        [
            jitter(rng, c, 10)
            for c in rng.choice(
                (
                    ((110, 190, 240), (240, 250, 255)),
                    ((250, 200, 120), (255, 240, 210)),
                    ((70, 160, 210), (190, 236, 240)),
                )
            )
        ],
        0,
        level,
    )
    draw_clouds(canvas, rng, 0.03, level * 0.8, WHITE, rng.randint(1, 5), 0.8)
    draw_water(canvas, rng, level, ((40, 140, 180), (10, 60, 110)), (200, 236, 250), 40)
    x, y = rng.uniform(0.3, 0.7) * w, level + rng.uniform(0.06, 0.2)
    _leaping_whale(canvas, rng, (x, y))
    _kayak(canvas, rng, (x + rng.choice((-0.42, 0.42)), level + rng.uniform(0.1, 0.25)))
    return Depiction(
        alt_text="A huge whale leaps out of the blue sea in a burst of white spray beside a kayak.",
        stimuli=("a leaping whale", "a burst of white spray", "blue open sea"),
        about=("whale",),
        detail="a whale out of the blue",
    )


def _leaping_whale(canvas: Canvas, rng: random.Random, place: Point) -> None:
    """Draw a whale that rises from the water at `place` in white spray."""
    (x, base), size = place, rng.uniform(0.26, 0.4)
    pen = canvas.pen(x, base, size, rng.uniform(-8, 30), rng.random() < 0.5)
    skin = jitter(rng, (46, 62, 84), 10)
    pen.shape(
        smooth([(-0.6, 0.2), (-0.55, -0.7), (-0.35, -1.4), (0.05, -1.85), (0.35, -1.7), (0.55, -1.0), (0.6, 0.2)]), skin
    )
    pen.shape(smooth([(0.58, 0.18), (0.54, -0.9), (0.36, -1.62), (0.2, -1.1), (0.05, 0.18)]), (214, 222, 228))
    for i in range(4):
        pen.stroke([(0.2 + 0.07 * i, -1.0), (0.18 + 0.08 * i, 0.1)], 0.018, (150, 160, 172))
    pen.shape(smooth([(-0.3, -0.7), (-0.9, -1.0), (-1.35, -1.0), (-0.9, -0.5), (-0.3, -0.25)]), darken(skin, 0.2))
    pen.disc(0.12, -1.2, 0.05, (16, 16, 20))
    canvas.pen(x, base, size).oval(0, 0.16, 0.95, 0.14, (226, 242, 250))
    for _ in range(30):
        spread = rng.uniform(-1, 1)
        canvas.pen(x, base, size).disc(
            spread * 0.95,
            0.14 - rng.uniform(0, 0.55) * (1.1 - abs(spread)),
            rng.uniform(0.04, 0.15),
            translucent((240, 250, 255), 210),
        )


def _kayak(canvas: Canvas, rng: random.Random, place: Point) -> None:
    """Draw a paddler in a kayak at `place`."""
    boat = canvas.pen(*place, 0.11, rng.uniform(-6, 6))
    boat.shape([(-0.12, -0.1), (0.12, -0.1), (0.15, -0.7), (-0.15, -0.7)], (250, 200, 40))
    boat.disc(0, -0.88, 0.17, (120, 84, 64))
    boat.stroke([(-0.75, -0.85), (0.7, -0.25)], 0.07, (70, 50, 40))
    boat.shape(
        smooth([(-1.3, -0.3), (0, -0.12), (1.3, -0.3), (0.8, 0.12), (-0.8, 0.12)]),
        rng.choice(((226, 50, 50), (250, 130, 40), (250, 220, 60))),
    )
