"""Heads and shoulders: skin, hair, clothes and the figures seen small in a street."""

import math
import random
from dataclasses import replace

from pipelines.demo.scenes.expressions import EXPRESSIONS, draw_brows, draw_eyes, draw_flush, draw_mouth
from pipelines.demo.scenes.palette import (
    BRIGHT_COLOURS,
    DULL_COLOURS,
    HAIR_COLOURS,
    PASTEL_COLOURS,
    SKIN_TONES,
    Colour,
    darken,
    jitter,
    mix,
)
from pipelines.demo.scenes.pen import Pen

HAIR_STYLES = ("short", "long", "bun", "curly", "bald", "cap", "scarf", "bob", "spiky")
COVERED_STYLES = ("cap", "scarf")
IRIS_COLOURS: tuple[Colour, ...] = ((70, 44, 30), (60, 90, 120), (64, 100, 70), (40, 30, 28))


def _crown(width: float, height: float, fringe: float) -> list[tuple[float, float]]:
    """Return the outline of hair over the top of a head, down to `fringe` at the sides."""
    limit = math.asin(max(-1.0, min(1.0, -fringe / height)))
    turns = [math.pi + limit + (math.pi - 2 * limit) * i / 18 for i in range(19)]
    return [(width * math.cos(t), height * math.sin(t)) for t in turns]


def draw_hair_behind(head: Pen, style: str, colour: Colour) -> None:
    if style == "long":
        head.oval(0, -0.15, 0.98, 1.05, colour)
        head.shape([(-0.98, -0.15), (0.98, -0.15), (1.05, 1.45), (-1.05, 1.45)], colour)
    elif style == "bob":
        head.oval(0, -0.05, 1.02, 1.08, colour)
        head.box(-1.02, 0, 1.02, 0.62, colour)
    elif style == "curly":
        for i in range(14):
            turn = math.pi * (0.9 + 1.2 * i / 13)
            head.disc(0.82 * math.cos(turn), -0.1 + 0.92 * math.sin(turn), 0.34, colour)
    elif style == "bun":
        head.disc(0, -1.2, 0.34, darken(colour, 0.1))
    elif style == "scarf":
        head.oval(0, 0.0, 0.98, 1.16, colour)
        head.shape([(-0.9, 0.2), (0.9, 0.2), (0.8, 1.5), (-0.8, 1.5)], colour)


def draw_hair_above(head: Pen, rng: random.Random, style: str, colour: Colour, face_width: float) -> None:
    if style == "bald":
        return
    width = face_width + 0.06
    part = rng.uniform(-0.4, 0.4)
    if style == "scarf":
        head.shape([*_crown(width + 0.08, 1.1, -0.4), (0.45, -0.66), (0.0, -0.74), (-0.45, -0.66)], colour)
        return
    if style == "cap":
        head.shape([*_crown(width + 0.05, 1.12, -0.5), (0.0, -0.62)], colour)
        head.shape([(-0.75, -0.55), (0.1, -0.66), (1.25, -0.5), (1.2, -0.42), (0.0, -0.54)], darken(colour, 0.25))
        return
    head.shape(
        [*_crown(width, 1.08, -0.28), (face_width * 0.86, -0.5), (part, -0.74), (-face_width * 0.86, -0.5)], colour
    )
    if style == "spiky":
        for i in range(9):
            x = -0.72 + i * 0.18
            top = -1.02 + 0.5 * x * x
            head.shape([(x - 0.16, top + 0.2), (x + rng.uniform(-0.1, 0.1), top - 0.26), (x + 0.16, top + 0.2)], colour)
    if style in ("long", "bob"):
        for side in (-1, 1):
            head.shape(
                [
                    (side * width, -0.3),
                    (side * (width - 0.16), -0.45),
                    (side * (width - 0.1), 0.45),
                    (side * (width + 0.1), 0.5),
                ],
                colour,
            )


def draw_shoulders(head: Pen, colour: Colour, trim: Colour) -> None:
    """Draw covered shoulders and a high collar, so that little skin is seen."""
    head.shape(
        [
            (-0.42, 0.98),
            (-1.1, 1.22),
            (-1.6, 1.6),
            (-1.9, 2.6),
            (-2.1, 6),
            (2.1, 6),
            (1.9, 2.6),
            (1.6, 1.6),
            (1.1, 1.22),
            (0.42, 0.98),
        ],
        colour,
    )
    head.shape([(-0.5, 0.9), (0.5, 0.9), (0.56, 1.24), (-0.56, 1.24)], trim)


def _clothes(rng: random.Random, emotion: str) -> Colour:
    wardrobe = {
        "joy": BRIGHT_COLOURS,
        "surprise": BRIGHT_COLOURS,
        "love": PASTEL_COLOURS,
        "anger": ((44, 40, 46), (96, 30, 30), (60, 60, 66), (30, 44, 70)),
    }
    return jitter(rng, rng.choice(wardrobe.get(emotion, DULL_COLOURS)))


def draw_skull(head: Pen, skin: Colour, width: float) -> None:
    """Draw the bare head: ears, face and nose."""
    for side in (-1, 1):
        head.oval(side * width, 0.02, 0.12, 0.2, darken(skin, 0.08))
    head.oval(0, 0, width, 1.0, skin)
    head.oval(0, 0.3, width * 0.88, 0.7, skin)
    head.curve((0.0, -0.02), (0.12, 0.24), (-0.04, 0.24), 0.035, darken(skin, 0.26))


def draw_head(head: Pen, rng: random.Random, emotion: str) -> None:
    """Draw a person showing `emotion`, in clothes that cover the shoulders.

    The pen's origin is the middle of the face and its unit is half the face's height.
    """
    expression = EXPRESSIONS[emotion]
    if emotion == "anger" and rng.random() < 0.4:
        expression = replace(expression, mouth="snarl")
    skin = mix(jitter(rng, rng.choice(SKIN_TONES), 6), *expression.tint)
    style, clothes = rng.choice(HAIR_STYLES), _clothes(rng, emotion)
    hair = jitter(rng, rng.choice(HAIR_COLOURS), 8)
    covering = darken(clothes, 0.2) if style in COVERED_STYLES else hair
    width = rng.uniform(0.72, 0.84)
    draw_hair_behind(head, style, covering)
    draw_shoulders(head, clothes, darken(clothes, 0.18))
    draw_skull(head, skin, width)
    draw_flush(head, expression)
    draw_eyes(head, expression, rng.choice(IRIS_COLOURS), skin)
    draw_brows(head, expression, darken(hair, 0.25 if sum(hair) < 420 else 0.45))
    draw_mouth(head, rng, expression)
    draw_hair_above(head, rng, style, covering, width)
    if rng.random() < 0.16:
        draw_glasses(head, (40, 36, 40))


def draw_glasses(head: Pen, colour: Colour) -> None:
    for side in (-1, 1):
        head.arc(side * 0.32, -0.08, 0.26, 0, 360, 0.035, colour)
    head.stroke([(-0.06, -0.1), (0.06, -0.1)], 0.035, colour)


def draw_figure(feet: Pen, coat: Colour, skin: Colour = (70, 54, 46), stride: float = 0.12) -> None:
    """Draw a small standing person, 1 local unit tall, feet at the pen's origin."""
    dark = darken(coat, 0.45)
    feet.stroke([(-stride * 0.7, 0), (0, -0.42)], 0.1, dark)
    feet.stroke([(stride * 0.7, 0), (0, -0.42)], 0.1, dark)
    feet.shape([(-0.13, -0.76), (0.13, -0.76), (0.19, -0.32), (-0.19, -0.32)], coat)
    feet.stroke([(-0.12, -0.7), (-0.2, -0.44)], 0.075, darken(coat, 0.15))
    feet.stroke([(0.12, -0.7), (0.2, -0.44)], 0.075, darken(coat, 0.15))
    feet.disc(0, -0.88, 0.105, skin)
    feet.oval(0, -0.92, 0.11, 0.08, (40, 30, 28))
