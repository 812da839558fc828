"""Things that are struck, broken, wilted or burnt down, for anger and sadness."""

import math
import random

from pipelines.demo.scenes.palette import WHITE, Colour, darken, jitter, lighten, translucent
from pipelines.demo.scenes.pen import Pen


def draw_shattered_plate(pen: Pen, rng: random.Random, glaze: Colour) -> None:
    """Draw a plate of local radius 1 broken into flying shards, with cracks in the table."""
    count, start = rng.randint(6, 9), rng.uniform(0, 6)
    for i in range(count):
        turn = start + 2 * math.pi * i / count
        pen.stroke(
            [
                (0, 0),
                (1.3 * math.cos(turn), 1.3 * math.sin(turn)),
                (1.7 * math.cos(turn + 0.2), 1.7 * math.sin(turn + 0.2)),
            ],
            0.03,
            (20, 10, 10),
        )
    for i in range(count):
        first, last = start + 2 * math.pi * i / count, start + 2 * math.pi * (i + 0.93) / count
        middle, push = (first + last) / 2, rng.uniform(0.08, 0.4)
        shard = pen.at(push * math.cos(middle), push * math.sin(middle), 1, rng.uniform(-14, 14))
        rim = [(r * math.cos(t), r * math.sin(t)) for r, t in ((1, first), (1, middle), (1, last))]
        shard.shape([(0.04, 0.05), *[(x + 0.04, y + 0.06) for x, y in rim]], (10, 6, 6, 130))
        shard.shape([(0, 0), *rim], glaze)
        shard.stroke([(x * 0.8, y * 0.8) for x, y in rim], 0.06, (60, 90, 170))


def draw_boxing_glove(pen: Pen, leather: Colour) -> None:
    """Draw a boxing glove about 2 local units tall, fist up."""
    pen.shape([(-0.55, 0.45), (0.5, 0.45), (0.58, 1.1), (-0.6, 1.1)], darken(leather, 0.35))
    pen.box(-0.6, 0.62, 0.58, 0.78, (240, 230, 220))
    pen.oval(0, -0.15, 0.85, 0.82, leather)
    pen.oval(0.1, -0.4, 0.68, 0.5, lighten(leather, 0.1))
    pen.oval(-0.72, 0.05, 0.3, 0.5, darken(leather, 0.14), 20)
    pen.oval(0.2, -0.62, 0.3, 0.14, translucent(WHITE, 80), -14)
    pen.curve((-0.5, 0.3), (0, 0.42), (0.6, 0.24), 0.05, darken(leather, 0.4))


def draw_hammer_blow(pen: Pen, rng: random.Random) -> None:
    """Draw a hammer, about 3 local units long, striking cracks and sparks from a surface."""
    pen.star(0, 0, rng.uniform(0.7, 0.95), (14, 8, 8), 11, 0.65)
    for _ in range(9):
        turn = rng.uniform(0, 6.28)
        bend = turn + rng.uniform(-0.4, 0.4)
        reach = rng.uniform(0.8, 1.9)
        pen.stroke(
            [
                (0, 0),
                (reach * 0.5 * math.cos(turn), reach * 0.5 * math.sin(turn)),
                (reach * math.cos(bend), reach * math.sin(bend)),
            ],
            0.05,
            (16, 8, 8),
        )
    for _ in range(12):
        turn, reach = rng.uniform(3.3, 6.1), rng.uniform(0.7, 1.6)
        pen.star(reach * math.cos(turn), reach * math.sin(turn), rng.uniform(0.06, 0.14), (255, 200, 70), 4, 0.35)
    tool = pen.at(0, 0, 1, rng.uniform(20, 50))
    tool.box(-0.11, -2.8, 0.11, -0.5, (150, 94, 52))
    tool.box(-0.75, -0.75, 0.62, -0.05, (98, 100, 110))
    tool.box(-0.75, -0.75, -0.45, -0.05, (70, 72, 80))
    tool.box(-0.75, -0.75, 0.62, -0.6, (140, 142, 152))


def draw_wilted_flower(foot: Pen, rng: random.Random, petals: Colour) -> None:
    """Draw a drooping flower in a vase, about 3 local units tall, standing at the origin."""
    for reach, head in ((rng.uniform(0.9, 1.3), True), (-rng.uniform(0.6, 1.0), rng.random() < 0.5)):
        foot.curve((0, -1.2), (reach * 0.35, -3.5), (reach, -1.75), 0.08, (98, 104, 64))
        if head:
            for i in range(6):
                turn = math.radians(30 + 24 * i)
                foot.oval(
                    reach + 0.24 * math.cos(turn),
                    -1.6 + 0.26 * math.sin(turn),
                    0.13,
                    0.26,
                    jitter(rng, petals, 12),
                    30 + 24 * i - 90,
                )
            foot.disc(reach, -1.66, 0.16, (84, 62, 46))
        else:
            foot.oval(reach, -1.6, 0.12, 0.32, (112, 104, 66), 20)
    foot.shape(
        [(-0.32, -1.35), (0.32, -1.35), (0.24, -1.1), (0.5, -0.5), (0.36, 0), (-0.36, 0), (-0.5, -0.5), (-0.24, -1.1)],
        (120, 134, 150),
    )
    foot.oval(-0.2, -0.55, 0.07, 0.3, translucent(WHITE, 70))
    for _ in range(rng.randint(3, 7)):
        foot.oval(
            rng.uniform(-1.6, 1.8), rng.uniform(0.0, 0.35), 0.17, 0.07, jitter(rng, petals, 14), rng.uniform(-40, 40)
        )


def draw_broken_bear(foot: Pen, rng: random.Random, fur: Colour) -> None:
    """Draw a torn teddy bear with one arm off, about 3 local units tall, sitting at the origin."""
    dark = darken(fur, 0.18)
    for side in (-1, 1):
        foot.oval(side * 0.6, -0.25, 0.4, 0.28, dark, side * 20)
        foot.disc(side * 0.48, -2.5, 0.25, dark)
    foot.oval(0, -0.8, 0.68, 0.8, fur)
    foot.oval(0, -0.7, 0.42, 0.5, lighten(fur, 0.18))
    foot.oval(-0.72, -0.95, 0.2, 0.46, dark, 24)
    foot.star(0.6, -1.15, 0.24, (236, 234, 228), 7, 0.55)
    foot.oval(1.5, -0.1, 0.48, 0.2, dark, rng.uniform(-20, 20))
    foot.star(1.1, -0.1, 0.2, (236, 234, 228), 7, 0.55)
    head = foot.at(0, -1.95, 1, rng.uniform(8, 24))
    head.oval(0, 0, 0.7, 0.6, fur)
    head.oval(0, 0.2, 0.3, 0.22, lighten(fur, 0.25))
    head.oval(0, 0.1, 0.1, 0.07, (50, 40, 40))
    head.disc(-0.25, -0.12, 0.08, (30, 26, 28))
    for angle in (45, 135):
        head.at(0.25, -0.12, 1, angle).box(-0.1, -0.02, 0.1, 0.02, (30, 26, 28))
    head.curve((-0.15, 0.36), (0, 0.24), (0.15, 0.36), 0.035, (50, 40, 40))
    foot.stroke([(-0.15, -0.9), (0.15, -0.45)], 0.03, (60, 50, 50))
    for y in (-0.8, -0.68, -0.56):
        foot.stroke([(-0.12, y + 0.06), (0.14, y - 0.06)], 0.025, (60, 50, 50))


def draw_melted_candle(foot: Pen, rng: random.Random, wax: Colour) -> None:
    """Draw a burnt-down candle with a wisp of smoke, about 2 local units wide."""
    foot.oval(0, 0.05, 1.1, 0.22, (92, 84, 80))
    foot.oval(0, 0, 0.95, 0.2, darken(wax, 0.1))
    foot.shape([(-0.4, 0), (-0.46, -0.7), (-0.2, -0.9), (0.1, -0.75), (0.42, -0.95), (0.44, 0)], wax)
    for _ in range(6):
        x = rng.uniform(-0.42, 0.42)
        foot.oval(x, rng.uniform(-0.5, -0.1), 0.09, rng.uniform(0.2, 0.45), lighten(wax, 0.12))
    foot.oval(0, -0.8, 0.4, 0.1, darken(wax, 0.16))
    foot.curve((0, -0.8), (0.05, -0.95), (0.1, -1.05), 0.05, (36, 32, 32))
    foot.curve((0.1, -1.1), (0.5, -1.6), (0.0, -2.0), 0.07, (220, 224, 230, 110))
    foot.curve((0.0, -2.0), (-0.5, -2.5), (0.1, -3.1), 0.1, (220, 224, 230, 70))
