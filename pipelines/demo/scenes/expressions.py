"""Facial expressions: the brows, eyes, mouth and cheeks by which each emotion is shown."""

# Coordinates and sizes come in the one order that every drawer uses: naming each would bury the drawing.
# ruff: noqa: PLR0917

import random
from dataclasses import dataclass

from pipelines.demo.scenes.palette import BLACK, WHITE, Colour, darken, mix, translucent
from pipelines.demo.scenes.pen import Pen, bezier

_LIP: Colour = (172, 62, 66)
_MOUTH: Colour = (96, 22, 30)


@dataclass(frozen=True, kw_only=True)
class Expression:
    """How a face is set. Lengths are in half face heights, y down."""

    brow_inner: float
    """How far the inner brow ends sit below (+) or above (-) their rest."""
    brow_outer: float
    """The same for the outer ends."""
    brow_width: float
    eyes: str
    """One of 'crescent', 'narrow', 'downcast', 'wide', 'closed', 'round'."""
    mouth: str
    """One of 'grin', 'press', 'snarl', 'frown', 'stretch', 'smile', 'ring'."""
    flush: tuple[Colour, int]
    """Cheek colour and opacity (0 to 255)."""
    tint: tuple[Colour, float]
    """Colour that the whole skin takes on, and how much of it (0 to 1)."""


EXPRESSIONS: dict[str, Expression] = {
    "joy": Expression(
        brow_inner=-0.04,
        brow_outer=-0.02,
        brow_width=0.055,
        eyes="crescent",
        mouth="grin",
        flush=((255, 120, 100), 80),
        tint=((255, 214, 150), 0.06),
    ),
    "anger": Expression(
        brow_inner=0.2,
        brow_outer=-0.1,
        brow_width=0.1,
        eyes="narrow",
        mouth="press",
        flush=((220, 30, 20), 110),
        tint=((226, 60, 44), 0.32),
    ),
    "sadness": Expression(
        brow_inner=-0.15,
        brow_outer=0.1,
        brow_width=0.055,
        eyes="downcast",
        mouth="frown",
        flush=((190, 120, 140), 40),
        tint=((130, 150, 180), 0.14),
    ),
    "fear": Expression(
        brow_inner=-0.2,
        brow_outer=-0.02,
        brow_width=0.05,
        eyes="wide",
        mouth="stretch",
        flush=((150, 170, 190), 30),
        tint=((206, 216, 226), 0.4),
    ),
    "love": Expression(
        brow_inner=-0.04,
        brow_outer=0.0,
        brow_width=0.05,
        eyes="closed",
        mouth="smile",
        flush=((250, 80, 120), 150),
        tint=((255, 190, 190), 0.08),
    ),
    "surprise": Expression(
        brow_inner=-0.2,
        brow_outer=-0.16,
        brow_width=0.055,
        eyes="round",
        mouth="ring",
        flush=((255, 140, 120), 50),
        tint=((255, 230, 200), 0.08),
    ),
}


def draw_brows(face: Pen, expression: Expression, colour: Colour) -> None:
    """Draw both eyebrows."""
    for side in (-1, 1):
        inner = (side * 0.13, -0.36 + expression.brow_inner)
        outer = (side * 0.52, -0.34 + expression.brow_outer)
        lift = 0.03 if expression.mouth in ("press", "snarl") else 0.14
        bend = (side * 0.34, min(inner[1], outer[1]) - lift)
        face.curve(inner, bend, outer, expression.brow_width, colour)


def draw_eyes(face: Pen, expression: Expression, iris: Colour, skin: Colour) -> None:
    """Draw both eyes."""
    line = (44, 28, 26)
    for side in (-1, 1):
        eye = face.at(side * 0.32, -0.1)
        if expression.eyes == "crescent":
            eye.curve((-0.17, 0.06), (0, -0.2), (0.17, 0.06), 0.065, line)
            eye.curve((-0.13, 0.15), (0, 0.1), (0.13, 0.15), 0.025, darken(skin, 0.22))
        elif expression.eyes == "closed":
            eye.curve((-0.17, -0.03), (0, 0.17), (0.17, -0.03), 0.05, line)
            for lash in (-0.11, 0.0, 0.11):
                eye.stroke([(lash, 0.06), (lash * 1.35, 0.14)], 0.025, line)
        elif expression.eyes == "narrow":
            _open_eye(eye, 0.17, 0.085, iris, 0.075)
            eye.shape([(-0.2, -0.14), (0.2, -0.14), (0.2, -0.06 - side * 0.04), (-0.2, -0.06 + side * 0.04)], skin)
            eye.stroke([(-0.19, -0.05 + side * 0.045), (0.19, -0.05 - side * 0.045)], 0.045, line)
        elif expression.eyes == "downcast":
            _open_eye(eye, 0.16, 0.1, iris, 0.08, look=0.05)
            eye.shape([(-0.19, -0.13), (0.19, -0.13), (0.19, 0.0), (-0.19, 0.0)], skin)
            eye.stroke([(-0.17, 0.0 - side * 0.03), (0.17, 0.0 + side * 0.03)], 0.04, line)
        else:
            wide = expression.eyes == "wide"
            _open_eye(eye, 0.19, 0.2 if wide else 0.17, iris, 0.07 if wide else 0.1)


def _open_eye(eye: Pen, across: float, down: float, iris: Colour, size: float, look: float = 0.0) -> None:
    """Draw an eyeball with its iris of radius `size`, looking `look` down."""
    eye.oval(0, 0, across + 0.025, down + 0.025, (60, 40, 40))
    eye.oval(0, 0, across, down, (252, 250, 246))
    eye.disc(0, look, size, iris)
    eye.disc(0, look, size * 0.55, BLACK)
    eye.disc(-size * 0.35, look - size * 0.35, size * 0.28, WHITE)


def draw_mouth(face: Pen, rng: random.Random, expression: Expression) -> None:
    """Draw the mouth."""
    mouth = face.at(0, 0.5, rng.uniform(0.92, 1.1))
    kind = expression.mouth
    if kind == "grin":
        lower = bezier((0.4, -0.1), (0.0, rng.uniform(0.6, 0.75)), (-0.4, -0.1), 20)
        mouth.shape([*bezier((-0.4, -0.1), (0, 0.04), (0.4, -0.1)), *lower], _MOUTH)
        mouth.shape(
            [*bezier((-0.37, -0.085), (0, 0.04), (0.37, -0.085)), *bezier((0.32, 0.02), (0, 0.17), (-0.32, 0.02))],
            WHITE,
        )
        mouth.oval(0, 0.2, 0.13, 0.05, (226, 96, 104))
    elif kind == "press":
        mouth.curve((-0.27, 0.06), (0, -0.06), (0.27, 0.06), 0.075, darken(_LIP, 0.4))
        mouth.curve((-0.12, 0.17), (0, 0.13), (0.12, 0.17), 0.03, darken(_LIP, 0.3))
    elif kind == "snarl":
        mouth.shape([(-0.24, -0.08), (0.24, -0.08), (0.34, 0.16), (-0.34, 0.16)], _MOUTH)
        mouth.shape([(-0.2, -0.04), (0.2, -0.04), (0.28, 0.12), (-0.28, 0.12)], (250, 246, 236))
        for x in (-0.16, -0.08, 0.0, 0.08, 0.16):
            mouth.stroke([(x, -0.04), (x * 1.3, 0.12)], 0.015, (120, 90, 90))
        mouth.stroke([(-0.27, 0.04), (0.27, 0.04)], 0.015, (120, 90, 90))
    elif kind == "frown":
        mouth.curve((-0.26, 0.14), (0, -0.17), (0.26, 0.14), 0.06, darken(_LIP, 0.25))
        mouth.curve((-0.1, 0.17), (0, 0.11), (0.1, 0.17), 0.03, darken(_LIP, 0.15))
    elif kind == "smile":
        mouth.curve((-0.25, -0.04), (0, 0.2), (0.25, -0.04), 0.06, _LIP)
    elif kind == "stretch":
        deep = rng.uniform(0.16, 0.26)
        outline = [*bezier((-0.33, 0.1), (0, -0.24), (0.33, 0.1)), *bezier((0.33, 0.1), (0.0, deep * 2), (-0.33, 0.1))]
        mouth.shape(outline, _MOUTH)
        mouth.shape([(-0.2, -0.03), (0.2, -0.03), (0.16, 0.03), (-0.16, 0.03)], (240, 238, 230))
        mouth.stroke([*outline, outline[0]], 0.03, mix(_LIP, (120, 110, 140), 0.5))
    else:
        mouth.oval(0, 0.06, 0.19, rng.uniform(0.23, 0.3), _LIP)
        mouth.oval(0, 0.07, 0.14, rng.uniform(0.18, 0.23), _MOUTH)


def draw_flush(face: Pen, expression: Expression) -> None:
    """Colour both cheeks, in three rings that fade outwards; strong redness swells a vein."""
    colour, opacity = expression.flush
    if expression.tint[1] > 0.3 and expression.eyes == "narrow":
        face.curve((0.3, -0.66), (0.38, -0.56), (0.48, -0.58), 0.04, (150, 20, 20))
        face.curve((0.38, -0.74), (0.4, -0.6), (0.36, -0.5), 0.04, (150, 20, 20))
    for side in (-1, 1):
        for ring in (1.0, 0.75, 0.5):
            face.oval(side * 0.48, 0.2, 0.23 * ring, 0.17 * ring, translucent(colour, opacity // 3))
