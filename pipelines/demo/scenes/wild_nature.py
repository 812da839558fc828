"""Landscapes of anger and fear: fire, volcano and storm, night forest."""

import random

from pipelines.demo.scenes.canvas import Canvas
from pipelines.demo.scenes.depiction import Depiction
from pipelines.demo.scenes.land import draw_bare_tree, draw_bird, draw_pine, draw_ridge
from pipelines.demo.scenes.palette import Colour, jitter, lighten
from pipelines.demo.scenes.pen import Point, bezier
from pipelines.demo.scenes.weather import (
    draw_clouds,
    draw_flame,
    draw_lightning,
    draw_moon,
    draw_smoke,
)


def draw_raging_land(canvas: Canvas, rng: random.Random) -> Depiction:
    """Draw a wildfire, an erupting volcano or a red storm at sea (anger)."""
    return rng.choice((_wildfire, _volcano, _red_storm))(canvas, rng)


def _red_sky(canvas: Canvas, rng: random.Random, level: float) -> None:
    sky = rng.choice(
        (
            ((60, 14, 16), (200, 60, 20), (255, 150, 50)),
            ((40, 20, 24), (150, 30, 20), (240, 90, 30)),
            ((110, 30, 20), (230, 90, 30), (255, 180, 80)),
        )
    )
    canvas.gradient([jitter(rng, c, 10) for c in sky], 0, level)


def _wildfire(canvas: Canvas, rng: random.Random) -> Depiction:
    w, h = canvas.width, canvas.height
    level = h * rng.uniform(0.5, 0.75)
    _red_sky(canvas, rng, level + 0.1)
    for _ in range(rng.randint(1, 3)):
        draw_smoke(
            canvas, rng, rng.uniform(0.1, 0.9) * w, level, rng.uniform(-0.1, 0.15), (52, 40, 40), rng.uniform(0.35, 0.6)
        )
    draw_ridge(canvas, rng, level, 0.05, (70, 22, 16))
    for _ in range(rng.randint(5, 11)):
        x, y = rng.uniform(0, w), level + rng.uniform(0.0, 0.12)
        tall = rng.uniform(0.25, 0.5)
        draw_flame(canvas.pen(x, y, tall * rng.uniform(0.9, 1.25)), rng, 1.0)
        draw_pine(canvas.pen(x, y, tall * 0.85), (30, 16, 14))
        for aside in (-0.2, 0.22, 0.0):
            draw_flame(canvas.pen(x + aside * tall, y + 0.02, tall * rng.uniform(0.3, 0.6)), rng, 1.0)
    line = draw_ridge(canvas, rng, level + 0.16, 0.04, (40, 16, 14))
    for _ in range(rng.randint(6, 14)):
        x = rng.uniform(0, w)
        draw_flame(canvas.pen(x, line(x) + rng.uniform(0.0, 0.1), rng.uniform(0.08, 0.24)), rng, 1.0)
    pen = canvas.pen()
    for _ in range(40):
        pen.disc(rng.uniform(0, w), rng.uniform(0, level + 0.1), rng.uniform(0.002, 0.006), (255, 200, 90))
    return Depiction(
        alt_text="A wildfire burns through a forest under a glowing red sky full of smoke.",
        stimuli=("burning trees", "a glowing red sky", "a smoke column"),
        about=("wildfire",),
        detail="wildfire under a red sky",
    )


def _volcano(canvas: Canvas, rng: random.Random) -> Depiction:
    w, h = canvas.width, canvas.height
    base = h * rng.uniform(0.72, 0.85)
    _red_sky(canvas, rng, base)
    x, top, half = rng.uniform(0.25, 0.75) * w, h * rng.uniform(0.32, 0.5), rng.uniform(0.4, 0.65)
    draw_smoke(canvas, rng, x, top, -0.1, (48, 36, 38), rng.uniform(0.4, 0.6))
    canvas.glow(x, top, 0.4, (255, 120, 30), 0.9)
    pen = canvas.pen(x, top)
    for _ in range(rng.randint(9, 16)):
        reach = rng.uniform(-0.35, 0.35)
        pen.curve(
            (reach * 0.1, 0),
            (reach * 0.5, -rng.uniform(0.2, 0.5)),
            (reach, rng.uniform(-0.16, 0.12)),
            0.012,
            rng.choice(((255, 170, 50), (255, 90, 30))),
        )
    drop = base - top
    pen.shape(
        [
            (-0.07, 0),
            (0.07, 0),
            (half * 0.5, drop * 0.55),
            (half, drop + 0.02),
            (-half, drop + 0.02),
            (-half * 0.45, drop * 0.55),
        ],
        (56, 30, 30),
    )
    for _ in range(rng.randint(2, 4)):
        lean = rng.uniform(-0.6, 0.6) * half
        pen.curve((lean * 0.1, 0), (lean * 0.2, drop * 0.5), (lean, drop), 0.03, (255, 110, 30))
        pen.curve((lean * 0.1, 0), (lean * 0.2, drop * 0.5), (lean, drop), 0.012, (255, 220, 100))
    draw_ridge(canvas, rng, base + 0.04, 0.04, (30, 14, 16), 0.03)
    return Depiction(
        alt_text="A volcano erupts, throwing lava and dark smoke into a red sky.",
        stimuli=("streams of glowing lava", "a glowing red sky", "a smoke column"),
        about=("volcano",),
        detail="volcano under a red sky",
    )


def _red_storm(canvas: Canvas, rng: random.Random) -> Depiction:
    w, h = canvas.width, canvas.height
    level = h * rng.uniform(0.5, 0.68)
    _red_sky(canvas, rng, level)
    draw_clouds(canvas, rng, -0.02, level * 0.6, (50, 22, 26), rng.randint(6, 10), 0.8, 1.5)
    for _ in range(rng.randint(1, 3)):
        draw_lightning(canvas, rng, rng.uniform(0.1, 0.9) * w, level * rng.uniform(0.8, 1.0), (255, 180, 120))
    for row in range(5):
        _wave_row(
            canvas, rng, level + (h - level) * (row - 0.2) / 5, 0.14 + 0.08 * row, lighten((60, 22, 28), 0.05 * row)
        )
    return Depiction(
        alt_text="Waves crash under lightning and dark clouds in a blood-red storm sky.",
        stimuli=("crashing waves", "a blood-red sky", "lightning"),
        about=("storm", "thunderstorm"),
        detail="red storm at sea",
    )


def _wave_row(canvas: Canvas, rng: random.Random, y: float, width: float, water: Colour) -> None:
    """Draw one row of breaking waves, each `width` units long, and fill below it."""
    crests: list[Point] = []
    x = -rng.uniform(0, 1) * width
    while x < canvas.width + width:
        swell = rng.uniform(0.25, 0.5) * width
        rise = bezier((x, y + 0.02), (x + width * 0.62, y + 0.02), (x + width * 0.72, y - swell), 8)
        crests += [
            *rise,
            *bezier((x + width * 0.72, y - swell), (x + width * 0.7, y - swell * 0.2), (x + width, y + 0.02), 6),
        ]
        x += width
    pen = canvas.pen()
    pen.shape([*crests, (canvas.width + width, canvas.height), (0, canvas.height)], jitter(rng, water, 6))
    pen.stroke(crests, 0.003 + 0.01 * width, (240, 170, 140))


def draw_night_forest(canvas: Canvas, rng: random.Random) -> Depiction:
    """Draw a dark forest at night with lightning or watching eyes (fear)."""
    w, h = canvas.width, canvas.height
    sky = rng.choice((((6, 8, 20), (34, 40, 66)), ((10, 6, 20), (48, 34, 66)), ((4, 12, 16), (30, 50, 56))))
    canvas.gradient([jitter(rng, c, 6) for c in sky])
    bolt = rng.random() < 0.5
    if bolt:
        draw_lightning(canvas, rng, rng.uniform(0.15, 0.85) * w, h * rng.uniform(0.5, 0.7), (190, 200, 255))
    else:
        draw_moon(
            canvas,
            rng,
            rng.uniform(0.12, 0.88) * w,
            rng.uniform(0.12, 0.35) * h,
            rng.uniform(0.06, 0.12),
            (206, 214, 206),
        )
    draw_clouds(canvas, rng, 0, h * 0.45, (14, 14, 26), rng.randint(2, 5), 0.7, 1.3)
    level = h * rng.uniform(0.6, 0.8)
    for _ in range(rng.randint(5, 12)):
        draw_pine(canvas.pen(rng.uniform(0, w), level + 0.05, rng.uniform(0.3, 0.6)), (20, 24, 38))
    canvas.veil(level - 0.25, level + 0.1, (90, 100, 124), (0, rng.uniform(0.25, 0.6), 0.1))
    draw_ridge(canvas, rng, level + 0.05, 0.04, (8, 9, 14), 0.02)
    for _ in range(rng.randint(2, 4)):
        draw_bare_tree(
            canvas.pen(rng.uniform(0, w), h * rng.uniform(0.9, 1.02), rng.uniform(0.55, 1.15)), rng, (4, 4, 8)
        )
    _watching_eyes(canvas, rng, level)
    for _ in range(rng.randint(0, 4)):
        draw_bird(canvas.pen(rng.uniform(0, w), rng.uniform(0.1, 0.5) * h, rng.uniform(0.02, 0.04)), (4, 4, 10))
    light = "a flash of lightning" if bolt else "a pale full moon"
    return Depiction(
        alt_text=f"Glowing eyes watch from a dark forest at night under {light}.",
        stimuli=("a dark night forest", light, "glowing eyes between the trees"),
        about=("forest",),
        detail="night with lightning" if bolt else "night with a full moon",
    )


def _watching_eyes(canvas: Canvas, rng: random.Random, level: float) -> None:
    """Draw some pairs of glowing eyes near `level`."""
    for _ in range(rng.randint(2, 5)):
        x, y, size = rng.uniform(0.1, 0.9) * canvas.width, level + rng.uniform(-0.1, 0.12), rng.uniform(0.008, 0.016)
        for side in (-1, 1):
            canvas.glow(x + side * size * 1.6, y, size * 2.2, (255, 210, 60), 0.6)
            canvas.pen().oval(x + side * size * 1.6, y, size, size * 0.7, (255, 226, 110), side * 20)
