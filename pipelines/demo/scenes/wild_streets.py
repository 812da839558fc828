"""Street scenes of anger, fear and surprise: riot, dark alley, fireworks and giant balloon."""

import random

from pipelines.demo.scenes.buildings import StreetLook, draw_lamp, draw_street
from pipelines.demo.scenes.canvas import Canvas
from pipelines.demo.scenes.depiction import Depiction
from pipelines.demo.scenes.palette import (
    BRIGHT_COLOURS,
    WHITE,
    Colour,
    darken,
    jitter,
    lighten,
    translucent,
)
from pipelines.demo.scenes.people import draw_figure
from pipelines.demo.scenes.weather import (
    draw_firework,
    draw_flame,
    draw_smoke,
    draw_stars,
)


def draw_riot_street(canvas: Canvas, rng: random.Random) -> Depiction:
    """Draw a street of burning barrels, red smoke and broken windows (anger)."""
    w, h = canvas.width, canvas.height
    canvas.gradient(
        [
            jitter(rng, c, 8)
            for c in rng.choice(
                (((40, 12, 16), (150, 40, 24)), ((70, 20, 16), (210, 90, 40)), ((24, 18, 24), (120, 30, 30)))
            )
        ]
    )
    for _ in range(rng.randint(1, 2)):
        draw_smoke(canvas, rng, rng.uniform(0.1, 0.9) * w, h * 0.6, -0.05, (120, 30, 28), 0.45)
    walls = tuple(darken(c, 0.35) for c in ((120, 70, 60), (96, 60, 60), (110, 80, 70)))
    street = draw_street(
        canvas, rng, StreetLook(walls=walls, road=(58, 46, 46), lit=(255, 120, 40), lit_share=0.15, broken_share=0.6)
    )
    for _ in range(rng.randint(2, 4)):
        x, y, size = rng.uniform(0.1, 0.9) * w, rng.uniform(street.ground, h * 0.95), rng.uniform(0.1, 0.2)
        _burning_barrel(canvas, rng, x, y, size)
    for _ in range(rng.randint(8, 20)):
        x, y = rng.uniform(0, w), rng.uniform(street.ground, h)
        canvas.pen(x, y, rng.uniform(0.01, 0.03), rng.uniform(0, 360)).shape(
            [(-1, 0.4), (0.2, -0.7), (1, 0.5)], jitter(rng, (92, 70, 66), 20)
        )
    return Depiction(
        alt_text="Barrels burn in a wrecked street with broken windows under red smoke.",
        stimuli=("burning barrels", "red smoke", "broken windows"),
        about=("burning", "smashed"),
        detail="fires in a wrecked street",
    )


def _burning_barrel(canvas: Canvas, rng: random.Random, x: float, y: float, size: float) -> None:
    canvas.glow(x, y - size * 1.4, size * 3.2, (255, 110, 30), 0.75)
    draw_smoke(canvas, rng, x, y - size * 2, y - size * 5, (150, 36, 30), size * 1.6)
    barrel = canvas.pen(x, y, size)
    for lean in (-0.28, 0.28, 0.0):
        draw_flame(barrel.at(lean, -1.1, rng.uniform(0.9, 1.6)), rng, 1.0)
    barrel.box(-0.42, -1.15, 0.42, 0, (64, 44, 42))
    barrel.oval(0, 0, 0.42, 0.1, (64, 44, 42))
    for level in (-1.12, -0.75, -0.38):
        barrel.box(-0.45, level, 0.45, level + 0.08, (104, 62, 50))


def draw_dark_alley(canvas: Canvas, rng: random.Random) -> Depiction:
    """Draw a dark alley with one lamp and a long shadow (fear)."""
    w, h = canvas.width, canvas.height
    canvas.gradient(
        [
            jitter(rng, c, 4)
            for c in rng.choice((((4, 6, 14), (26, 30, 46)), ((8, 4, 14), (36, 26, 46)), ((4, 10, 10), (24, 38, 36))))
        ]
    )
    walls = ((22, 22, 30), (28, 24, 32), (18, 24, 28))
    street = draw_street(canvas, rng, StreetLook(walls=walls, road=(24, 24, 30), lit=(150, 140, 70), lit_share=0.02))
    x, y = rng.uniform(0.15, 0.85) * w, rng.uniform(street.ground, h * 0.9)
    tall = rng.uniform(0.4, 0.65)
    light = rng.choice(((255, 220, 130), (220, 230, 160), (255, 190, 110)))
    canvas.glow(x, y, rng.uniform(0.35, 0.6), light, 0.6, 0.35)
    canvas.glow(x, y - tall * 0.93, rng.uniform(0.25, 0.4), light, 0.65)
    draw_lamp(canvas.pen(x, y, tall), (10, 10, 14), lighten(light, 0.5))
    side = 1 if x < w / 2 else -1
    stand, foot = x + side * rng.uniform(0.15, 0.3), y + rng.uniform(-0.02, 0.05)
    size = rng.uniform(0.2, 0.32)
    shadow = canvas.pen()
    far_x, far_y = stand + side * rng.uniform(0.35, 0.6), foot + rng.uniform(0.12, 0.22)
    shadow.shape(
        [(stand - 0.02, foot), (stand + 0.03, foot), (far_x + 0.07, far_y), (far_x - 0.07, far_y + 0.04)],
        (0, 0, 0, 200),
    )
    shadow.oval(far_x + side * 0.04, far_y + 0.03, 0.09, 0.04, (0, 0, 0, 200), side * 25)
    draw_figure(canvas.pen(stand, foot, size), (4, 4, 8), (4, 4, 8), 0.1)
    canvas.veil(h * 0.5, h, (60, 66, 80), (0.0, rng.uniform(0.1, 0.3), 0.0))
    for corner in (0.0, w):
        canvas.glow(corner, rng.uniform(0.2, 0.9) * h, rng.uniform(0.3, 0.6), (0, 0, 4), 0.8, 1.4)
    return Depiction(
        alt_text="A dark figure casts a long shadow beside the only lamp in a dark alley.",
        stimuli=("a dark alley", "a single street lamp", "a long shadow of a dark figure"),
        about=("alley", "hooded"),
        detail="one lamp and a long shadow",
    )


def draw_firework_street(canvas: Canvas, rng: random.Random) -> Depiction:
    """Draw fireworks or a giant balloon suddenly over a street (surprise)."""
    if rng.random() < 0.6:
        _firework_night(canvas, rng)
        what, sky, detail = "fireworks bursting over the roofs", "a night sky full of light", "fireworks over the roofs"
    else:
        _balloon_day(canvas, rng)
        what, sky, detail = "a giant balloon over the street", "a wide open sky", "a giant balloon overhead"
    return Depiction(
        alt_text=f"People throw up their arms at {what}.",
        stimuli=(what, "people with raised arms", sky),
        about=("crowd",),
        detail=detail,
    )


def _firework_night(canvas: Canvas, rng: random.Random) -> None:
    w, h = canvas.width, canvas.height
    canvas.gradient([jitter(rng, c, 8) for c in ((14, 16, 56), (60, 50, 120))])
    draw_stars(canvas, rng, h * 0.6, 40)
    for _ in range(rng.randint(2, 5)):
        x, y = rng.uniform(0.1, 0.9) * w, rng.uniform(0.12, 0.42) * h
        draw_firework(canvas, rng, x, y, rng.uniform(0.14, 0.3), rng.choice(BRIGHT_COLOURS))
    walls = ((50, 50, 90), (60, 46, 96), (40, 60, 96))
    look = StreetLook(walls=walls, road=(56, 54, 84), lit=(255, 230, 140), lit_share=0.35)
    street = draw_street(canvas, rng, look)
    x, y = rng.uniform(0.25, 0.75) * w, rng.uniform(0.12, 0.28) * h
    draw_firework(canvas, rng, x, y, rng.uniform(0.18, 0.3), rng.choice(BRIGHT_COLOURS))
    _amazed_people(canvas, rng, street.ground, (60, 60, 90))


def _balloon_day(canvas: Canvas, rng: random.Random) -> None:
    canvas.gradient([jitter(rng, c, 8) for c in ((90, 200, 220), (236, 250, 230))])
    walls = ((150, 160, 180), (176, 166, 160), (140, 170, 176))
    look = StreetLook(walls=walls, road=(150, 150, 156), lit=(255, 230, 140), lit_share=0.05)
    street = draw_street(canvas, rng, look)
    _air_balloon(canvas, rng)
    _amazed_people(canvas, rng, street.ground, (200, 90, 80))


def _amazed_people(canvas: Canvas, rng: random.Random, ground: float, coat: Colour) -> None:
    """Draw people who throw up their arms."""
    for _ in range(rng.randint(2, 6)):
        x, y = rng.uniform(0.05, 0.95) * canvas.width, rng.uniform(ground + 0.03, canvas.height * 0.98)
        person, tone = canvas.pen(x, y, rng.uniform(0.16, 0.28)), jitter(rng, coat, 20)
        draw_figure(person, tone, (120, 90, 74))
        for side in (-1, 1):
            person.stroke([(side * 0.12, -0.7), (side * 0.28, -1.05)], 0.07, darken(tone, 0.15))


def _air_balloon(canvas: Canvas, rng: random.Random) -> None:
    """Draw a striped hot-air balloon that fills much of the sky."""
    size = rng.uniform(0.24, 0.36)
    pen = canvas.pen(
        rng.uniform(0.25, 0.75) * canvas.width, rng.uniform(0.3, 0.45) * canvas.height, size, rng.uniform(-8, 8)
    )
    tones = rng.sample(BRIGHT_COLOURS, 2)
    for index, across in enumerate((1.0, 0.72, 0.42, 0.14)):
        pen.oval(0, 0, across, 1.0, tones[index % 2])
    pen.shape([(-0.8, 0.6), (0.8, 0.6), (0.2, 1.3), (-0.2, 1.3)], tones[0])
    pen.shape([(-0.3, 0.65), (0.3, 0.65), (0.08, 1.3), (-0.08, 1.3)], tones[1])
    pen.oval(-0.35, -0.4, 0.2, 0.35, translucent(WHITE, 70), 20)
    for side in (-1, 1):
        pen.stroke([(side * 0.18, 1.3), (side * 0.14, 1.55)], 0.02, (70, 50, 40))
    pen.box(-0.16, 1.52, 0.16, 1.76, (130, 84, 50))
