"""Portraits: one or two faces that show an emotion, on a background of its mood."""

import math
import random
from collections.abc import Callable

from pipelines.demo.scenes.canvas import Canvas
from pipelines.demo.scenes.depiction import Depiction
from pipelines.demo.scenes.palette import (
    BRIGHT_COLOURS,
    PASTEL_COLOURS,
    WHITE,
    Colour,
    darken,
    jitter,
    lighten,
    translucent,
)
from pipelines.demo.scenes.pen import Pen, Point
from pipelines.demo.scenes.people import draw_head
from pipelines.demo.scenes.weather import draw_rain

BACKGROUNDS: dict[str, tuple[tuple[Colour, Colour], ...]] = {
    "joy": (((255, 226, 120), (255, 186, 84)), ((150, 214, 250), (240, 250, 214)), ((190, 236, 160), (255, 244, 170))),
    "anger": (((120, 16, 18), (44, 8, 12)), ((190, 50, 24), (70, 14, 14)), ((70, 26, 28), (160, 34, 24))),
    "sadness": (((96, 112, 134), (56, 66, 86)), ((130, 142, 154), (84, 96, 112)), ((60, 74, 100), (108, 122, 140))),
    "fear": (((16, 16, 32), (40, 34, 60)), ((8, 14, 22), (30, 48, 52)), ((30, 18, 42), (10, 8, 16))),
    "love": (
        ((255, 206, 216), (250, 160, 186)),
        ((255, 224, 206), (248, 176, 190)),
        ((240, 190, 226), (255, 216, 214)),
    ),
    "surprise": (((60, 206, 214), (30, 140, 196)), ((255, 214, 40), (250, 140, 60)), ((150, 96, 220), (70, 180, 230))),
}
STIMULI: dict[str, tuple[str, str, str]] = {
    "joy": ("a broad smile", "raised cheeks", "bright confetti"),
    "anger": ("lowered brows", "a tense mouth", "steam beside a flushed face"),
    "sadness": ("falling tears", "a downturned mouth", "rain in front of a grey wall"),
    "fear": ("wide eyes", "a pale face with an open mouth", "deep shadow"),
    "love": ("closed smiling eyes", "blushing cheeks", "small floating hearts"),
    "surprise": ("raised eyebrows", "a round open mouth", "lines of astonishment around the head"),
}
_ABOUT: dict[str, tuple[str, ...]] = {
    "joy": ("radiant", "blissful", "crinkled", "cheerful"),
    "anger": ("furrowed", "glaring", "clenched", "veins"),
    "sadness": ("tear", "tears", "teary", "frown"),
    "fear": ("wide", "sweat", "mouth", "pale"),
    "love": ("smitten", "shy"),
    "surprise": ("eyebrows", "round", "jaw"),
}
FACE_WORDS: dict[str, str] = {
    "joy": "smiling broadly with raised cheeks",
    "anger": "glaring with lowered brows and a tense mouth",
    "sadness": "crying with a downturned mouth",
    "fear": "staring with wide eyes and an open mouth, pale",
    "love": "blushing with closed eyes and a soft smile",
    "surprise": "with raised eyebrows and a round open mouth",
}


def _backdrop(canvas: Canvas, rng: random.Random, emotion: str) -> None:
    """Paint the wall of light behind the head, with large shapes that differ by seed."""
    upper, lower = rng.choice(BACKGROUNDS[emotion])
    upper, lower = jitter(rng, upper, 14), jitter(rng, lower, 14)
    canvas.gradient((lower, upper) if rng.random() < 0.4 else (upper, lower))
    pen = canvas.pen()
    form = rng.randrange(4)
    shade = darken(lower, 0.18) if rng.random() < 0.5 else lighten(upper, 0.18)
    if form == 0:
        edge = rng.uniform(0.2, 0.8) * canvas.width
        lean = rng.uniform(-0.4, 0.4)
        far = rng.choice((-1.0, canvas.width + 1.0))
        pen.shape([(edge, 0), (edge + lean, canvas.height), (far, canvas.height), (far, 0)], shade)
    elif form == 1:
        level = rng.uniform(0.35, 0.75) * canvas.height
        pen.shape([(0, level), (canvas.width, level + rng.uniform(-0.2, 0.2)), (canvas.width, 9), (0, 9)], shade)
    elif form == 2:
        for _ in range(rng.randint(4, 9)):
            pen.disc(
                rng.uniform(0, canvas.width),
                rng.uniform(0, canvas.height),
                rng.uniform(0.06, 0.2),
                translucent(shade, rng.randint(90, 190)),
            )
    canvas.glow(
        rng.uniform(0, 1) * canvas.width,
        rng.uniform(0, 0.8) * canvas.height,
        rng.uniform(0.4, 0.9),
        lighten(upper, 0.45),
        rng.uniform(0.3, 0.8),
    )


def draw_rays(canvas: Canvas, rng: random.Random, x: float, y: float, colour: Colour) -> None:
    """Draw a burst of rays behind a head at (x, y)."""
    pen, count, start = canvas.pen(x, y), rng.randint(8, 15), rng.uniform(0, 1)
    for i in range(count):
        turn, half = 2 * math.pi * (i + start) / count, math.pi / count / 2
        pen.shape(
            [
                (0, 0),
                (3 * math.cos(turn - half), 3 * math.sin(turn - half)),
                (3 * math.cos(turn + half), 3 * math.sin(turn + half)),
            ],
            colour,
        )


def _clear_spot(canvas: Canvas, rng: random.Random, heads: list[Pen]) -> Point:
    """Return a point that no face covers, or after some tries any point near the top."""
    for _ in range(20):
        spot = (rng.uniform(0, canvas.width), rng.uniform(0, 0.85) * canvas.height)
        if all(math.dist(spot, head.place(0, 0)) > 1.3 * head.scale for head in heads):
            return spot
    return rng.uniform(0, canvas.width), rng.uniform(0, 0.12) * canvas.height


def _joy(canvas: Canvas, rng: random.Random, heads: list[Pen]) -> None:
    pen = canvas.pen()
    for _ in range(rng.randint(18, 45)):
        bit = pen.at(rng.uniform(0, canvas.width), rng.uniform(0, canvas.height), 1, rng.uniform(0, 180))
        bit.box(-0.018, -0.008, 0.018, 0.008, rng.choice(BRIGHT_COLOURS))


def _anger(canvas: Canvas, rng: random.Random, heads: list[Pen]) -> None:
    for head in heads:
        for side in (-1, 1):
            x, y = head.place(side * rng.uniform(1.15, 1.4), rng.uniform(-0.5, 0.0))
            for step in range(3):
                canvas.puff(
                    rng,
                    x + side * step * 0.07,
                    y - step * 0.05,
                    0.2 + 0.05 * step,
                    0.15 + 0.03 * step,
                    (236, 226, 222),
                    0.75 - 0.2 * step,
                )


def _sadness(canvas: Canvas, rng: random.Random, heads: list[Pen]) -> None:
    for head in heads:
        for side in (-1, 1):
            for step in range(rng.randint(1, 3)):
                drop = head.at(side * (0.34 + 0.03 * step), 0.12 + 0.24 * step + rng.uniform(0, 0.06))
                drop.shape([(0, -0.13), (0.07, 0.03), (-0.07, 0.03)], (150, 208, 250))
                drop.disc(0, 0.04, 0.075, (150, 208, 250))
                drop.disc(-0.02, 0.03, 0.025, WHITE)
    draw_rain(canvas, rng, (206, 220, 236, 110), rng.randint(40, 110))


def _fear(canvas: Canvas, rng: random.Random, heads: list[Pen]) -> None:
    for head in heads:
        for _ in range(rng.randint(2, 4)):
            drop = head.at(rng.uniform(-0.6, 0.6), rng.uniform(-0.72, -0.5))
            drop.oval(0, 0, 0.04, 0.07, (170, 214, 240))
        for side in (-1, 1):
            head.oval(side * 0.32, 0.12, 0.17, 0.05, (90, 90, 120, 90))
    edge, level = rng.choice((0.0, canvas.width)), rng.uniform(0.2, 0.9)
    canvas.glow(edge, level * canvas.height, rng.uniform(0.5, 0.7), (4, 4, 12), 0.9, 1.5)


def _love(canvas: Canvas, rng: random.Random, heads: list[Pen]) -> None:
    for _ in range(rng.randint(6, 13)):
        tone = jitter(rng, rng.choice(((232, 48, 88), (240, 92, 132), (214, 30, 62))))
        x, y = _clear_spot(canvas, rng, heads)
        canvas.pen().heart(x, y, rng.uniform(0.03, 0.075), tone, rng.uniform(-20, 20))


def _surprise(canvas: Canvas, rng: random.Random, heads: list[Pen]) -> None:
    for head in heads:
        start = rng.uniform(0, 0.5)
        for i in range(13):
            turn = math.pi * (1 + (i + start) / 13)
            near, far = rng.uniform(1.4, 1.5), rng.uniform(1.7, 1.95)
            head.stroke(
                [(near * math.cos(turn), near * math.sin(turn)), (far * math.cos(turn), far * math.sin(turn))],
                0.07,
                (255, 250, 220),
            )
    for _ in range(rng.randint(3, 8)):
        x, y = _clear_spot(canvas, rng, heads)
        canvas.pen().star(x, y, rng.uniform(0.03, 0.07), rng.choice(PASTEL_COLOURS))


_Extra = Callable[[Canvas, random.Random, list[Pen]], None]
EXTRAS_BEHIND: dict[str, _Extra] = {"joy": _joy, "anger": _anger, "surprise": _surprise}
EXTRAS_IN_FRONT: dict[str, _Extra] = {"sadness": _sadness, "fear": _fear, "love": _love}


def _pose(canvas: Canvas, rng: random.Random, count: int) -> list[Pen]:
    """Return a pen for each head: spread across the picture, near or far, tilted."""
    pens = []
    for index in range(count):
        middle = canvas.width * (index + 1) / (count + 1) + (0.0 if count == 1 else (index - 0.5) * 0.18)
        x = middle + rng.uniform(-0.16, 0.16) * canvas.width / count
        y = canvas.height * rng.uniform(0.4, 0.58)
        pens.append(canvas.pen(x, y, rng.uniform(0.25, 0.42) / count**0.45, rng.uniform(-16, 16)))
    return pens


def draw_face(canvas: Canvas, rng: random.Random, emotion: str) -> Depiction:
    """Draw a portrait showing `emotion` and return what it shows."""
    _backdrop(canvas, rng, emotion)
    heads = _pose(canvas, rng, 2 if rng.random() < 0.25 else 1)
    if emotion in ("joy", "anger", "surprise") and rng.random() < 0.55:
        draw_rays(canvas, rng, *heads[0].place(0, 0), (255, 255, 200, 60) if emotion != "anger" else (230, 60, 20, 70))
    if emotion in EXTRAS_BEHIND:
        EXTRAS_BEHIND[emotion](canvas, rng, heads)
    for head in heads:
        draw_head(head, rng, emotion)
    if emotion in EXTRAS_IN_FRONT:
        EXTRAS_IN_FRONT[emotion](canvas, rng, heads)
    who = "Two people" if len(heads) == 2 else "A person"
    return Depiction(
        alt_text=f"{who} {FACE_WORDS[emotion]}, with {STIMULI[emotion][2]}.",
        stimuli=STIMULI[emotion],
        about=_ABOUT[emotion],
        detail="two portraits" if len(heads) == 2 else rng.choice(("close portrait", "portrait", "head and shoulders")),
    )
