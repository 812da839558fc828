"""Eerie things: spider, mask, carved pumpkin and old lantern."""

import math
import random
from itertools import pairwise

from pipelines.demo.scenes.palette import BLACK, darken, jitter, lighten
from pipelines.demo.scenes.pen import Pen


def draw_spider_on_web(pen: Pen, rng: random.Random) -> None:
    """Draw a web of local radius 4 with a spider of about 1 local unit on it."""
    spokes, start = rng.randint(9, 13), rng.uniform(0, 1)
    turns = [2 * math.pi * (i + start) / spokes for i in range(spokes + 1)]
    for turn in turns:
        pen.stroke([(0, 0), (5 * math.cos(turn), 5 * math.sin(turn))], 0.025, (190, 196, 206, 150))
    for ring in range(1, 8):
        reach = 0.6 * ring
        for first, last in pairwise(turns):
            middle = (first + last) / 2
            pen.curve(
                (reach * math.cos(first), reach * math.sin(first)),
                (reach * 0.84 * math.cos(middle), reach * 0.84 * math.sin(middle)),
                (reach * math.cos(last), reach * math.sin(last)),
                0.02,
                (190, 196, 206, 130),
            )
    body = pen.at(rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0.8, 1.3), rng.uniform(0, 360))
    for side in (-1, 1):
        for leg in range(4):
            lean = -0.9 + 0.55 * leg
            body.stroke(
                [(side * 0.2, -0.3 + 0.1 * leg), (side * 0.85, lean - 0.25), (side * 1.25, lean + 0.45)],
                0.1,
                (8, 6, 10),
            )
    body.oval(0, 0.35, 0.5, 0.65, (14, 10, 16))
    body.disc(0, -0.4, 0.32, (20, 14, 22))
    body.shape([(-0.18, 0.2), (0.18, 0.2), (0, 0.4), (0.18, 0.62), (-0.18, 0.62), (0, 0.4)], (200, 30, 30))
    for side in (-1, 1):
        body.disc(side * 0.11, -0.58, 0.06, (255, 60, 50))


def draw_eerie_mask(pen: Pen, rng: random.Random) -> None:
    """Draw a pale mask with hollow eyes and a jagged mouth, 2 local units wide."""
    bone = jitter(rng, (222, 216, 200), 8)
    pen.shape(
        [
            (-0.95, -0.8),
            (-0.6, -1.25),
            (0.6, -1.25),
            (0.95, -0.8),
            (0.9, 0.2),
            (0.45, 1.2),
            (0, 1.4),
            (-0.45, 1.2),
            (-0.9, 0.2),
        ],
        bone,
    )
    pen.shape(
        [(0.2, -1.25), (0.6, -1.25), (0.95, -0.8), (0.9, 0.2), (0.45, 1.2), (0, 1.4), (0.35, 0.2)], darken(bone, 0.18)
    )
    glint = rng.random() < 0.5
    for side in (-1, 1):
        pen.shape(
            [(side * 0.12, -0.12), (side * 0.3, -0.5), (side * 0.78, -0.62), (side * 0.7, -0.1), (side * 0.4, 0.05)],
            BLACK,
        )
        if glint:
            pen.disc(side * 0.45, -0.25, 0.08, (220, 40, 30))
    pen.shape([(0, 0.1), (0.12, 0.4), (-0.12, 0.4)], (30, 24, 26))
    teeth = [(-0.6 + 0.15 * i, 0.62 + (0.14 if i % 2 else 0.0)) for i in range(9)]
    pen.shape([*teeth, (0.45, 1.0), (0, 1.1), (-0.45, 1.0)], BLACK)
    pen.stroke([(-0.2, -1.2), (-0.1, -0.9), (-0.25, -0.7)], 0.03, (70, 60, 60))


def draw_old_lantern(foot: Pen, rng: random.Random) -> None:
    """Draw an old lantern about 2.6 local units tall, standing at the origin."""
    iron = (24, 22, 26)
    foot.arc(0, -2.2, 0.45, 180, 360, 0.07, iron)
    foot.shape([(-0.75, -1.75), (0.75, -1.75), (0.35, -2.25), (-0.35, -2.25)], iron)
    foot.box(-0.6, -1.75, 0.6, -0.2, (250, 190, 90))
    foot.oval(0, -0.9, 0.42, 0.62, (255, 220, 130))
    foot.oval(0, -0.8, 0.14, rng.uniform(0.3, 0.45), (255, 250, 214))
    for x in (-0.6, -0.2, 0.2, 0.6):
        foot.box(x - 0.04, -1.75, x + 0.04, -0.2, iron)
    foot.box(-0.75, -0.25, 0.75, 0, iron)


def draw_carved_pumpkin(foot: Pen, rng: random.Random) -> None:
    """Draw a glowing carved pumpkin, 2 local units wide, standing at the origin."""
    rind, glow = jitter(rng, (206, 96, 24), 12), (255, 214, 90)
    foot.shape([(-0.1, -1.4), (0.02, -1.95), (0.22, -1.9), (0.14, -1.4)], (70, 84, 40))
    for x, half, shade in (
        (-0.62, 0.42, 0.25),
        (0.62, 0.42, 0.25),
        (-0.32, 0.46, 0.12),
        (0.32, 0.46, 0.12),
        (0, 0.44, 0.0),
    ):
        foot.oval(x, -0.75, half, 0.76, darken(rind, shade))
    for side in (-1, 1):
        foot.shape([(side * 0.18, -0.85), (side * 0.62, -0.85), (side * 0.44, -1.2)], glow)
    foot.shape([(-0.1, -0.62), (0.1, -0.62), (0, -0.82)], glow)
    teeth = [(-0.66 + 0.22 * i, -0.5 + (0.12 if i % 2 else 0.0)) for i in range(7)]
    foot.shape([*teeth, (0.4, -0.16), (0.16, -0.24), (0, -0.1), (-0.16, -0.24), (-0.4, -0.16)], lighten(glow, 0.2))
