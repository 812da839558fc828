"""Cheerful and surprising small things: balloons, gifts, cake, boxes that spring open."""

import random

from pipelines.demo.scenes.palette import BRIGHT_COLOURS, WHITE, Colour, darken, lighten, translucent
from pipelines.demo.scenes.pen import Pen


def draw_balloon(pen: Pen, colour: Colour, string: float = 2.2) -> None:
    """Draw a balloon of local radius 1 with a string `string` local units long."""
    pen.curve((0, 1.2), (0.3, 1.2 + string * 0.4), (-0.1, 1.2 + string), 0.05, (120, 110, 110))
    pen.oval(0, 0, 0.9, 1.12, colour)
    pen.shape([(-0.14, 1.28), (0.14, 1.28), (0, 1.05)], darken(colour, 0.15))
    pen.oval(-0.32, -0.42, 0.18, 0.32, translucent(WHITE, 120), 25)


def draw_gift(foot: Pen, paper: Colour, ribbon: Colour) -> None:
    """Draw a wrapped gift 2 local units wide, standing at the pen's origin."""
    foot.box(-1, -1.5, 1, 0, paper)
    foot.box(0.55, -1.5, 1, 0, darken(paper, 0.12))
    foot.box(-1.08, -1.75, 1.08, -1.35, lighten(paper, 0.12))
    foot.box(-0.16, -1.75, 0.16, 0, ribbon)
    for side in (-1, 1):
        foot.oval(side * 0.36, -1.98, 0.4, 0.22, ribbon, side * -28)
        foot.oval(side * 0.36, -1.98, 0.2, 0.09, darken(ribbon, 0.3), side * -28)
    foot.disc(0, -1.84, 0.16, darken(ribbon, 0.12))


def draw_cake(foot: Pen, rng: random.Random, icing: Colour) -> None:
    """Draw a layered birthday cake with lit candles, 2 local units wide."""
    foot.oval(0, 0.02, 1.35, 0.16, (236, 236, 240))
    tiers = rng.randint(1, 3)
    for tier in range(tiers):
        half, top = 1.0 - 0.26 * tier, -0.6 * (tier + 1)
        foot.box(-half, top, half, top + 0.62, (236, 196, 140) if tier % 2 else (190, 120, 80))
        foot.oval(0, top, half, 0.1, icing)
        for i in range(9):
            x = -half + half * 0.25 * i
            foot.oval(x, top + 0.1, half * 0.14, rng.uniform(0.1, 0.2), icing)
    half, top = 1.0 - 0.26 * (tiers - 1), -0.6 * tiers
    for i in range(5):
        x = half * (-0.7 + 0.35 * i)
        foot.box(x - 0.035, top - 0.38, x + 0.035, top, BRIGHT_COLOURS[i])
        foot.oval(x, top - 0.48, 0.06, 0.13, (255, 170, 40))
        foot.oval(x, top - 0.46, 0.03, 0.07, (255, 246, 180))


def draw_confetti(pen: Pen, rng: random.Random, count: int, reach: float) -> None:
    """Scatter `count` bits of confetti in a fan above the pen's origin, `reach` units high."""
    for _ in range(count):
        up = rng.uniform(0.1, 1.0) * reach
        bit = pen.at(rng.uniform(-0.75, 0.75) * (up + 0.4), -up, 1, rng.uniform(0, 180))
        bit.box(-0.09, -0.04, 0.09, 0.04, rng.choice(BRIGHT_COLOURS))


def _open_box(foot: Pen, paper: Colour) -> None:
    """Draw the back half of an open box and its thrown-back lid; the front follows the content."""
    lid = foot.at(1.25, -1.9, 1, 48)
    lid.box(-1.05, -0.2, 1.05, 0.2, lighten(paper, 0.15))
    lid.box(-0.16, -0.2, 0.16, 0.2, (255, 236, 140))
    foot.oval(0, -1.4, 1.0, 0.22, darken(paper, 0.55))


def _box_front(foot: Pen, paper: Colour) -> None:
    foot.shape([(-1, -1.4), (-0.6, -1.24), (0, -1.18), (0.6, -1.24), (1, -1.4), (1, 0), (-1, 0)], paper)
    foot.shape([(0.6, -1.24), (1, -1.4), (1, 0), (0.6, 0)], darken(paper, 0.14))
    foot.shape([(-0.15, -1.19), (0.15, -1.19), (0.15, 0), (-0.15, 0)], (255, 236, 140))


def draw_bursting_gift(foot: Pen, rng: random.Random, paper: Colour) -> None:
    """Draw an open gift box, 2 local units wide, with confetti and stars springing out."""
    _open_box(foot, paper)
    for side in (-1, 0, 1):
        foot.curve(
            (side * 0.3, -1.3),
            (side * 0.4, -2.2),
            (side * 1.2, -2.7 + 0.3 * abs(side)),
            0.09,
            rng.choice(BRIGHT_COLOURS),
        )
    draw_confetti(foot.at(0, -1.4), rng, 60, 2.6)
    for _ in range(6):
        foot.star(rng.uniform(-1.4, 1.4), -rng.uniform(1.9, 3.6), rng.uniform(0.12, 0.26), rng.choice(BRIGHT_COLOURS))
    _box_front(foot, paper)


def draw_jack_in_the_box(foot: Pen, rng: random.Random, paper: Colour) -> None:
    """Draw a clown puppet on a spring leaping from a box, 2 local units wide."""
    _open_box(foot, paper)
    lean = rng.uniform(-0.35, 0.35)
    for i in range(6):
        x, y = lean * i / 5, -1.35 - 0.24 * i
        foot.stroke([(x - 0.3, y), (x + 0.3, y - 0.12)], 0.07, (150, 154, 164))
        foot.stroke([(x + 0.3, y - 0.12), (x - 0.25 + lean / 5, y - 0.24)], 0.05, (110, 114, 124))
    head = foot.at(lean, -3.1, 0.55, lean * 30)
    tones = rng.sample(BRIGHT_COLOURS, 3)
    head.shape([(-1.2, 1.5), (-0.5, 0.7), (0.5, 0.7), (1.2, 1.5), (0.4, 1.25), (0, 1.7), (-0.4, 1.25)], tones[0])
    head.shape([(-0.85, -0.5), (-1.6, -1.5), (0, -1.0), (1.6, -1.5), (0.85, -0.5)], tones[1])
    for side in (-1, 1):
        head.disc(side * 1.6, -1.5, 0.18, (255, 230, 110))
    head.oval(0, 0, 0.9, 0.95, (250, 240, 232))
    for side in (-1, 1):
        head.oval(side * 0.34, -0.2, 0.2, 0.26, (40, 40, 60))
        head.disc(side * 0.34, -0.2, 0.1, WHITE)
        head.disc(side * 0.55, 0.25, 0.16, (255, 150, 160))
    head.disc(0, 0.1, 0.2, (230, 40, 50))
    head.oval(0, 0.52, 0.24, 0.26, (120, 20, 40))
    _box_front(foot, paper)
    for i in range(3):
        foot.star(-0.65 + 0.65 * i, -0.6, 0.2, tones[2])


def draw_magic_hat(foot: Pen, rng: random.Random, band: Colour) -> None:
    """Draw a rabbit popping out of a magician's hat, 2 local units wide."""
    fur = rng.choice((WHITE, (230, 220, 214), (214, 190, 170)))
    for side in (-1, 1):
        foot.oval(side * 0.28, -2.75, 0.16, 0.6, fur, side * 10)
        foot.oval(side * 0.28, -2.7, 0.08, 0.44, (250, 180, 190), side * 10)
        foot.oval(side * 0.5, -1.35, 0.18, 0.26, fur)
    foot.oval(0, -1.8, 0.56, 0.56, fur)
    for side in (-1, 1):
        foot.disc(side * 0.2, -1.9, 0.1, (40, 30, 40))
        foot.disc(side * 0.2 - 0.03, -1.94, 0.03, WHITE)
    foot.oval(0, -1.68, 0.08, 0.05, (240, 130, 150))
    foot.shape([(-0.78, -1.3), (0.78, -1.3), (0.62, 0), (-0.62, 0)], (34, 32, 42))
    foot.shape([(-0.71, -0.75), (0.71, -0.75), (0.66, -0.4), (-0.66, -0.4)], band)
    foot.oval(0, -1.3, 1.1, 0.16, (48, 46, 58))
    foot.oval(0, -1.3, 0.74, 0.09, (14, 12, 20))
    foot.oval(0, -1.36, 0.5, 0.1, fur)
    for _ in range(7):
        foot.star(rng.uniform(-1.7, 1.7), -rng.uniform(1.6, 3.4), rng.uniform(0.1, 0.22), (255, 224, 90), 4, 0.3)
