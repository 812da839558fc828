"""Romantic things: roses, a heart-shaped box, rings and a letter."""

import math
import random

from pipelines.demo.scenes.palette import WHITE, Colour, darken, jitter, lighten, translucent
from pipelines.demo.scenes.pen import Pen, smooth


def draw_rose(pen: Pen, petals: Colour) -> None:
    """Draw the head of a rose of local radius 1."""
    for ring, count, size in ((0.62, 6, 0.5), (0.36, 5, 0.42)):
        for i in range(count):
            turn = 2 * math.pi * i / count + ring * 3
            pen.disc(ring * math.cos(turn), ring * math.sin(turn), size, darken(petals, 0.12 + 0.06 * (i % 3)))
    pen.disc(0, 0, 0.5, petals)
    for start, reach in ((200, 0.38), (20, 0.26), (120, 0.14)):
        pen.arc(0, 0, reach, start, start + 230, 0.09, darken(petals, 0.35))
    pen.oval(-0.2, -0.3, 0.16, 0.08, translucent(WHITE, 60), -30)


def draw_bouquet(foot: Pen, rng: random.Random, petals: Colour) -> None:
    """Draw a wrapped bouquet of roses about 2.6 local units tall, tip at the origin."""
    for _ in range(7):
        foot.oval(
            rng.uniform(-0.9, 0.9),
            -1.9 + rng.uniform(-0.5, 0.3),
            0.4,
            0.2,
            jitter(rng, (70, 140, 80), 12),
            rng.uniform(0, 180),
        )
    foot.shape([(-1.05, -1.6), (1.05, -1.6), (0.22, 0), (-0.22, 0)], (252, 236, 226))
    foot.shape([(-1.05, -1.6), (-0.1, -1.3), (0.22, 0), (-0.22, 0)], (240, 214, 210))
    for x, y in ((-0.75, -1.75), (0.75, -1.75), (-0.4, -2.2), (0.42, -2.2), (0, -1.8), (0.0, -2.55)):
        draw_rose(foot.at(x, y, rng.uniform(0.36, 0.46), rng.uniform(0, 360)), jitter(rng, petals, 12))
    for side in (-1, 1):
        foot.oval(side * 0.26, -0.48, 0.28, 0.14, petals, side * -20)


def draw_heart_box(pen: Pen, rng: random.Random, satin: Colour) -> None:
    """Draw a heart-shaped box of sweets with a bow, about 2 local units wide."""
    pen.heart(0.05, 0.12, 1.06, darken(satin, 0.45))
    pen.heart(0, 0, 1.05, darken(satin, 0.15))
    pen.heart(0, -0.02, 0.92, satin)
    pen.heart(-0.05, -0.1, 0.6, lighten(satin, 0.1))
    bow = rng.choice(((255, 226, 150), (255, 240, 240)))
    pen.stroke([(-0.95, 0.35), (0.75, -0.75)], 0.12, bow)
    for side in (-1, 1):
        pen.oval(side * 0.26 - 0.05, -0.2 + side * -0.16, 0.28, 0.15, bow, side * -30 - 33)
    pen.disc(-0.05, -0.2, 0.11, darken(bow, 0.15))


def draw_ring(pen: Pen, metal: Colour) -> None:
    """Draw a ring of local radius 1 with a sparkling stone."""
    pen.arc(0, 0, 1.0, 0, 360, 0.22, darken(metal, 0.18))
    pen.arc(0, 0, 1.03, 190, 300, 0.1, lighten(metal, 0.5))
    pen.shape([(-0.5, -1.45), (-0.28, -1.75), (0.28, -1.75), (0.5, -1.45), (0, -0.9)], (196, 232, 250))
    pen.shape([(-0.2, -1.45), (0.2, -1.45), (0, -0.9)], (236, 250, 255))
    pen.star(0.42, -1.9, 0.36, WHITE, 4, 0.22)


def draw_pillow(pen: Pen, satin: Colour) -> None:
    """Draw a satin pillow 2 local units wide."""
    outline = smooth([(-1.1, -0.5), (0, -0.4), (1.1, -0.5), (1.0, 0), (1.1, 0.5), (0, 0.42), (-1.1, 0.5), (-1.0, 0)])
    pen.shape([(x + 0.03, y + 0.08) for x, y in outline], (100, 40, 60, 90))
    pen.shape(outline, satin)
    pen.curve((-0.8, 0.3), (0, 0.1), (0.8, 0.3), 0.03, darken(satin, 0.1))


def draw_letter(pen: Pen, paper: Colour) -> None:
    """Draw an envelope sealed with a heart, 2.6 local units wide."""
    pen.box(-1.26, -0.82, 1.34, 0.9, (120, 60, 80, 90))
    pen.box(-1.3, -0.9, 1.3, 0.85, paper)
    pen.shape([(-1.3, -0.9), (1.3, -0.9), (0, 0.2)], darken(paper, 0.08))
    pen.stroke([(-1.3, -0.9), (0, 0.2), (1.3, -0.9)], 0.03, darken(paper, 0.22))
    pen.heart(0, 0.15, 0.3, (214, 30, 60))
