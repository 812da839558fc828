"""Landscapes of joy, sadness and love: meadow, rain lake and rose-coloured sunset."""

import random

from pipelines.demo.scenes.canvas import Canvas
from pipelines.demo.scenes.depiction import Depiction
from pipelines.demo.scenes.land import (
    draw_bare_tree,
    draw_bird,
    draw_butterfly,
    draw_flowers,
    draw_grass,
    draw_light_path,
    draw_ridge,
    draw_round_tree,
    draw_swan,
    draw_water,
)
from pipelines.demo.scenes.palette import BRIGHT_COLOURS, WHITE, Colour, darken, jitter
from pipelines.demo.scenes.weather import draw_clouds, draw_rain, draw_rainbow, draw_sun


def draw_sunny_meadow(canvas: Canvas, rng: random.Random) -> Depiction:
    """Draw a flowering meadow in sunshine, often with a rainbow (joy)."""
    w, h = canvas.width, canvas.height
    level = h * rng.uniform(0.42, 0.68)
    sky = rng.choice(
        (((70, 160, 240), (196, 232, 255)), ((90, 190, 240), (255, 244, 200)), ((120, 186, 250), (236, 246, 255)))
    )
    canvas.gradient([jitter(rng, c, 10) for c in sky], 0, level + 0.15)
    draw_sun(canvas, rng.uniform(0.08, 0.92) * w, rng.uniform(0.1, 0.3) * h, rng.uniform(0.05, 0.11), (255, 226, 100))
    draw_clouds(canvas, rng, 0.05, level * 0.75, WHITE, rng.randint(1, 6), 0.9)
    rainbow = rng.random() < 0.45
    if rainbow:
        draw_rainbow(canvas, rng.uniform(0.2, 0.8) * w, level + 0.12, rng.uniform(0.45, 0.75))
    _meadow(canvas, rng, level)
    third = "a bright rainbow" if rainbow else "colourful butterflies"
    return Depiction(
        alt_text=f"A flowering green meadow under a sunny blue sky, with {third}.",
        stimuli=("a warm sun", "a meadow full of flowers", third),
        about=("rainbow",) if rainbow else ("butterflies",),
        detail="flowers in the sunshine" if rainbow else "sunshine and flowers",
    )


def _meadow(canvas: Canvas, rng: random.Random, level: float) -> None:
    """Draw green hills from `level` down, with trees, flowers and butterflies."""
    green = jitter(rng, rng.choice(((120, 196, 84), (150, 206, 80), (96, 184, 96))), 14)
    for step in range(rng.randint(1, 3)):
        shade = jitter(rng, darken(green, 0.24 - 0.08 * step), 10)
        draw_ridge(canvas, rng, level - 0.06 + 0.05 * step, rng.uniform(0.03, 0.1), shade)
    line = draw_ridge(canvas, rng, level + 0.1, rng.uniform(0.02, 0.07), green)
    for _ in range(rng.randint(0, 4)):
        x = rng.uniform(0, canvas.width)
        draw_round_tree(canvas.pen(x, line(x) + rng.uniform(0, 0.08), rng.uniform(0.15, 0.5)), rng, (66, 150, 66))
    draw_grass(canvas, rng, level + 0.12, darken(green, 0.12), 90)
    blooms = rng.choice((BRIGHT_COLOURS, BRIGHT_COLOURS[:3], (WHITE, (252, 212, 60))))
    draw_flowers(canvas, rng, line, blooms, rng.randint(35, 80))
    for _ in range(rng.randint(2, 6)):
        x, y = rng.uniform(0.08, 0.92) * canvas.width, rng.uniform(0.3, 0.85) * canvas.height
        draw_butterfly(canvas.pen(x, y, rng.uniform(0.025, 0.06), rng.uniform(-30, 30)), rng.choice(BRIGHT_COLOURS))


def draw_grey_lake(canvas: Canvas, rng: random.Random) -> Depiction:
    """Draw a bare tree by a grey lake in rain or fog (sadness)."""
    w, h = canvas.width, canvas.height
    level = h * rng.uniform(0.45, 0.66)
    tone = jitter(rng, rng.choice(((112, 122, 134), (126, 130, 134), (96, 110, 126))), 14)
    canvas.gradient((darken(tone, 0.3), tone), 0, level)
    draw_clouds(canvas, rng, 0.0, level * 0.6, darken(tone, 0.25), rng.randint(3, 6), 0.55, 1.4)
    for step in range(rng.randint(1, 3)):
        draw_ridge(canvas, rng, level - 0.07 + 0.03 * step, rng.uniform(0.02, 0.09), darken(tone, 0.12 + 0.1 * step))
    draw_water(canvas, rng, level, (tone, darken(tone, 0.4)), (190, 200, 210), rng.randint(15, 45))
    canvas.veil(level - 0.2, level + 0.14, (186, 192, 200), (0, rng.uniform(0.3, 0.8), 0))
    if boat := rng.random() < 0.4:
        _empty_boat(canvas, rng, rng.uniform(0.2, 0.8) * w, level + rng.uniform(0.08, 0.2))
    foot_x, foot_y = rng.uniform(0.12, 0.88) * w, h * rng.uniform(0.84, 1.0)
    bank = (46, 50, 52)
    canvas.pen().oval(foot_x, foot_y + 0.12, rng.uniform(0.3, 0.7), 0.15, bank)
    draw_bare_tree(canvas.pen(foot_x, foot_y + 0.01, rng.uniform(0.5, 0.9)), rng, (36, 34, 36))
    rain = rng.random() < 0.75
    if rain:
        draw_rain(canvas, rng, (214, 222, 232, 120), rng.randint(60, 170))
    else:
        canvas.veil(h * 0.3, h, (176, 182, 190), (0.0, 0.5, 0.25))
    second = "cold rain" if rain else "thick fog"
    return Depiction(
        alt_text=f"A leafless tree beside a still grey lake in {second}" + (", with an empty boat." if boat else "."),
        stimuli=("a bare tree", "a still grey lake", "an empty boat" if boat else second),
        about=("lake", "clouds"),
        detail=f"bare tree in {second}",
    )


def _empty_boat(canvas: Canvas, rng: random.Random, x: float, y: float) -> None:
    pen = canvas.pen(x, y, rng.uniform(0.08, 0.15), 0, rng.random() < 0.5)
    pen.oval(0, 0.3, 1.1, 0.12, (20, 26, 32, 110))
    pen.shape([(-1.1, -0.1), (1.15, -0.16), (0.8, 0.3), (-0.8, 0.3)], (64, 50, 44))
    pen.shape([(-1.0, -0.08), (1.05, -0.13), (0.9, 0.02), (-0.9, 0.04)], (38, 30, 28))


_SUNSETS: tuple[tuple[Colour, ...], ...] = (
    ((120, 90, 170), (244, 130, 160), (255, 196, 150)),
    ((170, 110, 190), (255, 160, 180), (255, 216, 190)),
    ((226, 120, 150), (255, 170, 150), (255, 220, 160)),
)


def draw_rose_sunset(canvas: Canvas, rng: random.Random) -> Depiction:
    """Draw a pink sunset with a pair of swans on water or of birds on a branch (love)."""
    w, h = canvas.width, canvas.height
    level = h * rng.uniform(0.45, 0.65)
    sky = [jitter(rng, c, 10) for c in rng.choice(_SUNSETS)]
    x = rng.uniform(0.2, 0.8) * w
    canvas.gradient(sky, 0, level)
    draw_sun(canvas, x, level - rng.uniform(0.0, 0.2), rng.uniform(0.07, 0.14), (255, 220, 150))
    draw_clouds(canvas, rng, 0.05, level * 0.8, (255, 190, 200), rng.randint(1, 5), 0.5, 1.2)
    draw_ridge(canvas, rng, level - 0.01, rng.uniform(0.01, 0.06), (150, 86, 140))
    draw_water(canvas, rng, level, (sky[2], sky[1], darken(sky[0], 0.15)), (255, 236, 220), rng.randint(25, 60))
    draw_light_path(canvas, rng, x, level + 0.01, (255, 236, 190))
    for _ in range(rng.randint(0, 5)):
        draw_bird(
            canvas.pen(rng.uniform(0, w), rng.uniform(0.05, 0.8) * level, rng.uniform(0.015, 0.03)), (110, 60, 110)
        )
    swans = rng.random() < 0.65
    if swans:
        _pair_of_swans(canvas, rng, level)
    else:
        _pair_on_branch(canvas, rng)
    pair = "two swans face to face" if swans else "two birds side by side on a branch"
    return Depiction(
        alt_text=f"{pair.capitalize()} before a pink sunset over calm water.",
        stimuli=(pair, "a pink sunset", "calm shining water"),
        about=("swans",) if swans else ("lovebirds",),
        detail="two swans at sunset" if swans else "two birds at sunset",
    )


def _pair_of_swans(canvas: Canvas, rng: random.Random, level: float) -> None:
    size = rng.uniform(0.09, 0.16)
    x, y = rng.uniform(0.32, 0.68) * canvas.width, level + (canvas.height - level) * rng.uniform(0.35, 0.8)
    for side in (-1, 1):
        pen = canvas.pen(x + side * size * 1.3, y, size, 0, side > 0)
        pen.oval(0, 0.1, 0.95, 0.16, (80, 40, 90, 90))
        draw_swan(pen, (255, 250, 248))
    canvas.pen().heart(x, y - size * 2.3, size * rng.uniform(0.25, 0.4), (232, 60, 100))


def _pair_on_branch(canvas: Canvas, rng: random.Random) -> None:
    x, y = rng.uniform(0.35, 0.65) * canvas.width, canvas.height * rng.uniform(0.45, 0.75)
    pen = canvas.pen(x, y, rng.uniform(0.1, 0.15), rng.uniform(-10, 10))
    pen.curve((-9, 1.3), (-3, 0.5), (5, 0.9), 0.28, (84, 50, 60))
    for _ in range(14):
        pen.disc(
            rng.uniform(-6, 4.5), 0.8 + rng.uniform(-0.5, 0.4), rng.uniform(0.16, 0.3), jitter(rng, (255, 170, 200), 12)
        )
    for side in (-1, 1):
        bird = pen.at(side * 0.75, 0.0, 1, 0, side > 0)
        tone = jitter(rng, (110, 50, 90) if side < 0 else (190, 60, 90), 14)
        bird.shape([(-0.5, 0.1), (-1.1, 1.1), (-0.75, 1.15), (-0.2, 0.5)], darken(tone, 0.2))
        bird.oval(-0.1, 0.1, 0.5, 0.68, tone, -18)
        bird.disc(0.14, -0.55, 0.36, tone)
        bird.shape([(0.42, -0.62), (0.72, -0.5), (0.42, -0.42)], (250, 180, 60))
        bird.disc(0.24, -0.6, 0.06, WHITE)
    pen.heart(0, -1.5, rng.uniform(0.3, 0.45), (232, 50, 90))
