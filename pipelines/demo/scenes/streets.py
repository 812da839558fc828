"""Street scenes of joy, sadness and love: festival, rain and cafe lights."""

import random

from pipelines.demo.scenes.buildings import StreetLook, draw_bench, draw_lamp, draw_street
from pipelines.demo.scenes.canvas import Canvas
from pipelines.demo.scenes.depiction import Depiction
from pipelines.demo.scenes.palette import (
    BRIGHT_COLOURS,
    DULL_COLOURS,
    PASTEL_COLOURS,
    WHITE,
    darken,
    jitter,
    lighten,
)
from pipelines.demo.scenes.pen import Pen, bezier
from pipelines.demo.scenes.people import draw_figure
from pipelines.demo.scenes.toys import draw_balloon
from pipelines.demo.scenes.weather import (
    draw_clouds,
    draw_rain,
    draw_sun,
)


def draw_festival_street(canvas: Canvas, rng: random.Random) -> Depiction:
    """Draw a sunny street with bunting and balloons (joy)."""
    w, h = canvas.width, canvas.height
    canvas.gradient(
        [
            jitter(rng, c, 10)
            for c in rng.choice((((80, 170, 246), (210, 238, 255)), ((110, 200, 240), (255, 244, 206))))
        ]
    )
    draw_sun(canvas, rng.uniform(0.1, 0.9) * w, rng.uniform(0.06, 0.2) * h, rng.uniform(0.05, 0.09), (255, 228, 110))
    draw_clouds(canvas, rng, 0.02, h * 0.3, WHITE, rng.randint(0, 4))
    walls = tuple(lighten(c, 0.25) for c in BRIGHT_COLOURS) if rng.random() < 0.5 else PASTEL_COLOURS
    street = draw_street(canvas, rng, StreetLook(walls=walls, road=(196, 180, 158), lit=(255, 250, 220), lit_share=0.3))
    for _ in range(rng.randint(2, 4)):
        _bunting(canvas, rng, rng.uniform(0.12, 0.5) * h)
    for _ in range(rng.randint(2, 6)):
        coat = rng.choice(BRIGHT_COLOURS)
        x, y, tall = rng.uniform(0.05, 0.95) * w, rng.uniform(street.ground, h * 0.98), rng.uniform(0.18, 0.3)
        draw_figure(canvas.pen(x, y, tall), coat, (190, 140, 104))
        if rng.random() < 0.6:
            draw_balloon(canvas.pen(x + 0.06, y - tall - 0.18, 0.07), rng.choice(BRIGHT_COLOURS), 0.18 / 0.07)
    for _ in range(rng.randint(2, 6)):
        draw_balloon(
            canvas.pen(rng.uniform(0, w), rng.uniform(0.1, 0.6) * h, rng.uniform(0.04, 0.09)),
            rng.choice(BRIGHT_COLOURS),
        )
    return Depiction(
        alt_text="A sunny street decorated with colourful bunting, where people walk with balloons.",
        stimuli=("colourful bunting", "bright balloons", "a sunny street"),
        about=("balloon", "houses"),
        detail="bunting in the sunshine",
    )


def _bunting(canvas: Canvas, rng: random.Random, level: float) -> None:
    pen, w = canvas.pen(), canvas.width
    line = bezier(
        (-0.02, level + rng.uniform(-0.1, 0.1)),
        (w * rng.uniform(0.4, 0.6), level + rng.uniform(0.1, 0.25)),
        (w + 0.02, level + rng.uniform(-0.1, 0.1)),
        18,
    )
    pen.stroke(line, 0.005, (90, 80, 80))
    size = rng.uniform(0.028, 0.05)
    for index, (x, y) in enumerate(line):
        pen.shape([(x - size, y), (x + size, y), (x, y + size * 2)], BRIGHT_COLOURS[index % len(BRIGHT_COLOURS)])


def draw_rainy_street(canvas: Canvas, rng: random.Random) -> Depiction:
    """Draw an empty street in rain with one umbrella and puddles (sadness)."""
    w, h = canvas.width, canvas.height
    tone = jitter(rng, rng.choice(((120, 128, 138), (104, 114, 128), (136, 138, 142))), 12)
    canvas.gradient((darken(tone, 0.25), lighten(tone, 0.1)))
    draw_clouds(canvas, rng, 0, h * 0.3, darken(tone, 0.3), rng.randint(2, 5), 0.5, 1.3)
    street = draw_street(
        canvas, rng, StreetLook(walls=DULL_COLOURS, road=(84, 90, 100), lit=(200, 196, 170), lit_share=0.05)
    )
    pen = canvas.pen()
    for _ in range(rng.randint(3, 7)):
        x, y, half = rng.uniform(0, w), rng.uniform(street.ground + 0.05, h), rng.uniform(0.06, 0.2)
        pen.oval(x, y, half, half * 0.2, (150, 162, 176))
        pen.oval(x + half * 0.1, y + half * 0.03, half * 0.75, half * 0.12, (118, 130, 146))
    x, y, tall = rng.uniform(0.2, 0.8) * w, h * rng.uniform(0.84, 0.97), rng.uniform(0.25, 0.48)
    pen.oval(x, y, tall * 0.3, tall * 0.05, (30, 36, 46, 130))
    figure = canvas.pen(x, y, tall)
    draw_figure(figure, (52, 56, 66), (96, 80, 72), 0.06)
    figure.stroke([(0.14, -0.5), (0.14, -1.2)], 0.025, (30, 30, 34))
    dome = jitter(rng, rng.choice(((40, 44, 54), (120, 40, 46), (44, 66, 96))), 10)
    figure.shape(
        [
            (-0.42, -1.0),
            *bezier((-0.42, -1.0), (0.08, -1.75), (0.62, -1.0), 16),
            (0.36, -1.05),
            (0.1, -1.0),
            (-0.16, -1.05),
        ],
        dome,
    )
    canvas.veil(street.roof - 0.1, h, (150, 158, 168), (0.1, 0.35, 0.0))
    draw_rain(canvas, rng, (216, 224, 234, 120), rng.randint(80, 200))
    return Depiction(
        alt_text="One person with an umbrella stands in an empty grey street in the rain, among puddles.",
        stimuli=("steady rain", "a lone figure with an umbrella", "puddles on an empty street"),
        about=("rainy",),
        detail="one umbrella in the rain",
    )


def draw_cafe_street(canvas: Canvas, rng: random.Random) -> Depiction:
    """Draw a couple on a bench under strings of cafe lights at dusk (love)."""
    w, h = canvas.width, canvas.height
    canvas.gradient(
        [
            jitter(rng, c, 8)
            for c in rng.choice(
                (((70, 50, 110), (220, 110, 140), (255, 180, 150)), ((50, 60, 120), (180, 110, 160), (250, 170, 160)))
            )
        ],
        0,
        h * 0.8,
    )
    walls = ((150, 90, 110), (130, 84, 120), (170, 104, 104), (112, 80, 116))
    street = draw_street(canvas, rng, StreetLook(walls=walls, road=(124, 88, 106), lit=(255, 214, 130), lit_share=0.65))
    _strings_of_lights(canvas, rng)
    x, y, size = rng.uniform(0.3, 0.7) * w, h * rng.uniform(0.85, 0.97), rng.uniform(0.24, 0.42)
    canvas.glow(x, y - size * 0.3, size * 1.6, (255, 190, 130), 0.45)
    _couple(canvas.pen(x, y, size, 0, rng.random() < 0.5), rng)
    for _ in range(rng.randint(1, 4)):
        canvas.pen().heart(
            x + rng.uniform(-0.15, 0.15),
            y - size * rng.uniform(1.15, 1.5),
            size * rng.uniform(0.06, 0.12),
            (240, 60, 100),
            rng.uniform(-15, 15),
        )
    draw_lamp(canvas.pen(rng.choice((0.12, 0.88)) * w, street.ground + 0.06, 0.42), (50, 36, 50), (255, 236, 170))
    return Depiction(
        alt_text="A couple sits close together on a bench in a street at dusk under strings of warm lights.",
        stimuli=("a couple on a bench", "strings of warm lights", "a rosy evening sky"),
        about=("sweethearts", "bench"),
        detail="a couple at dusk",
    )


def _couple(bench: Pen, rng: random.Random) -> None:
    """Draw two people from behind, leaning together on a bench."""
    coats = rng.sample(((190, 50, 80), (60, 70, 120), (230, 150, 90), (90, 120, 110), (120, 60, 120)), 2)
    for side, coat in zip((-1, 1), coats, strict=True):
        body = bench.at(side * 0.17, -0.26, 1, side * -9)
        body.shape([(-0.14, -0.42), (0.14, -0.42), (0.19, 0.05), (-0.19, 0.05)], jitter(rng, coat, 12))
        body.disc(0, -0.54, 0.13, (50, 34, 30) if side < 0 else (120, 76, 44))
    draw_bench(bench, (110, 66, 50))


def _strings_of_lights(canvas: Canvas, rng: random.Random) -> None:
    """Hang strings of warm lights across the street."""
    w, h = canvas.width, canvas.height
    for _ in range(rng.randint(2, 4)):
        line = bezier(
            (-0.02, rng.uniform(0.08, 0.4) * h),
            (w * rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.6) * h),
            (w + 0.02, rng.uniform(0.08, 0.4) * h),
            16,
        )
        canvas.pen().stroke(line, 0.004, (60, 40, 60))
        for x, y in line:
            canvas.glow(x, y + 0.015, 0.04, (255, 210, 120), 0.8)
            canvas.pen().disc(x, y + 0.015, 0.01, (255, 244, 200))
