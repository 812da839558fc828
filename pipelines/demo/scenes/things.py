"""Still lifes: the objects of each emotion on a table or before a wall of its mood."""

import random
from collections.abc import Callable

from pipelines.demo.scenes.broken_things import (
    draw_boxing_glove,
    draw_broken_bear,
    draw_hammer_blow,
    draw_melted_candle,
    draw_shattered_plate,
    draw_wilted_flower,
)
from pipelines.demo.scenes.canvas import Canvas
from pipelines.demo.scenes.depiction import Depiction
from pipelines.demo.scenes.eerie_things import (
    draw_carved_pumpkin,
    draw_eerie_mask,
    draw_old_lantern,
    draw_spider_on_web,
)
from pipelines.demo.scenes.love_things import (
    draw_bouquet,
    draw_heart_box,
    draw_letter,
    draw_pillow,
    draw_ring,
    draw_rose,
)
from pipelines.demo.scenes.palette import BRIGHT_COLOURS, PASTEL_COLOURS, jitter
from pipelines.demo.scenes.tables import (
    Spot,
    draw_heart_garland,
    draw_rainy_window,
    draw_shadow,
    set_table,
    stand_on_table,
)
from pipelines.demo.scenes.toys import (
    draw_balloon,
    draw_bursting_gift,
    draw_cake,
    draw_confetti,
    draw_gift,
    draw_jack_in_the_box,
    draw_magic_hat,
)

_Words = tuple[tuple[str, str, str], str]
"""The three stimuli drawn, and the word that a fitting lexicon phrase holds."""


def _joy(canvas: Canvas, rng: random.Random, spot: Spot) -> _Words:
    for _ in range(rng.randint(3, 8)):
        x, y = rng.uniform(0.05, 0.95) * canvas.width, rng.uniform(0.08, 0.45) * canvas.height
        draw_balloon(canvas.pen(x, y, rng.uniform(0.07, 0.12)), rng.choice(BRIGHT_COLOURS), rng.uniform(2, 4))
    cake = rng.random() < 0.6
    for aside in rng.sample((-0.42, -0.3, 0.3, 0.42), rng.randint(1, 3)):
        paper, ribbon = rng.sample(BRIGHT_COLOURS, 2)
        draw_gift(stand_on_table(canvas, rng, spot, rng.uniform(0.08, 0.13), aside), paper, ribbon)
    if cake:
        icing = rng.choice(((255, 240, 244), (255, 180, 200), (190, 230, 240)))
        draw_cake(stand_on_table(canvas, rng, spot, 0.2), rng, icing)
    else:
        draw_gift(stand_on_table(canvas, rng, spot, 0.17), *rng.sample(BRIGHT_COLOURS, 2))
    if cake:
        return ("bright balloons", "wrapped gifts", "a birthday cake with candles"), "cake"
    return ("bright balloons", "wrapped gifts", "a big ribbon bow"), rng.choice(("balloons", "presents"))


def _anger(canvas: Canvas, rng: random.Random, spot: Spot) -> _Words:
    kind = rng.randrange(3)
    y = canvas.height * rng.uniform(0.42, 0.62)
    if kind == 0:
        draw_shattered_plate(
            canvas.pen(spot.x, y, 0.28 * spot.size),
            rng,
            rng.choice(((246, 244, 238), (200, 220, 236), (240, 214, 170))),
        )
        return ("a shattered plate", "flying shards", "a dark red wall"), "plates"
    if kind == 1:
        leather = rng.choice(((200, 24, 28), (170, 20, 40), (40, 40, 48), (214, 60, 20)))
        for side in (-1, 1):
            draw_boxing_glove(
                canvas.pen(
                    spot.x + side * 0.24 * spot.size,
                    y + rng.uniform(-0.06, 0.06),
                    0.24 * spot.size,
                    side * rng.uniform(-8, 24),
                    side > 0,
                ),
                leather,
            )
        canvas.pen(spot.x, y - 0.3 * spot.size, 0.1 * spot.size).star(0, 0, 1, (255, 190, 60), 9, 0.5)
        return ("a pair of boxing gloves", "a clash of fists", "a dark red wall"), "gloves"
    draw_hammer_blow(canvas.pen(spot.x, y + 0.15, 0.2 * spot.size, 0, rng.random() < 0.5), rng)
    return ("a striking hammer", "a hole punched in the wall", "flying sparks"), "drywall"


def _sadness(canvas: Canvas, rng: random.Random, spot: Spot) -> _Words:
    if window := rng.random() < 0.5:
        draw_rainy_window(canvas, rng, spot)
    kind = rng.randrange(3)
    third = "rain on the window" if window else "a cold grey wall"
    if kind == 0:
        draw_wilted_flower(
            stand_on_table(canvas, rng, spot, 0.18), rng, rng.choice(((150, 96, 110), (140, 120, 90), (120, 104, 140)))
        )
        return ("a wilted flower", "fallen petals", third), "wilted"
    if kind == 1:
        draw_broken_bear(
            stand_on_table(canvas, rng, spot, 0.18), rng, rng.choice(((150, 118, 90), (120, 110, 104), (160, 140, 120)))
        )
        return ("a broken toy bear", "a torn-off arm", third), "teddy"
    draw_melted_candle(
        stand_on_table(canvas, rng, spot, 0.24), rng, rng.choice(((214, 206, 190), (170, 176, 190), (190, 160, 150)))
    )
    return ("a melted candle", "a wisp of smoke", third), "candle"


def _fear(canvas: Canvas, rng: random.Random, spot: Spot) -> _Words:
    kind = rng.randrange(3)
    y = canvas.height * rng.uniform(0.38, 0.58)
    if kind == 0:
        draw_spider_on_web(canvas.pen(spot.x, y, 0.17 * spot.size, rng.uniform(0, 90)), rng)
        return ("a black spider", "a wide cobweb", "deep darkness"), "spider"
    if kind == 1:
        canvas.glow(spot.x, y, 0.5 * spot.size, rng.choice(((90, 110, 130), (110, 60, 70), (80, 120, 90))), 0.6)
        draw_eerie_mask(canvas.pen(spot.x, y, 0.26 * spot.size, rng.uniform(-14, 14), rng.random() < 0.5), rng)
        return ("a pale eerie mask", "hollow eyes", "deep darkness"), "horror"
    canvas.glow(spot.x, spot.y - 0.22 * spot.size, 0.55 * spot.size, (220, 140, 50), 0.6)
    draw_old_lantern(stand_on_table(canvas, rng, spot, 0.2), rng)
    side = rng.choice((-1, 1))
    draw_carved_pumpkin(stand_on_table(canvas, rng, spot, rng.uniform(0.14, 0.19), side * rng.uniform(0.28, 0.38)), rng)
    draw_spider_on_web(canvas.pen(canvas.width * (0.5 + side * 0.45), 0.05, 0.09, rng.uniform(0, 90)), rng)
    return ("a glowing carved pumpkin", "an old lantern", "a spider in a cobweb"), "pumpkin"


def _love(canvas: Canvas, rng: random.Random, spot: Spot) -> _Words:
    red = rng.choice(((206, 20, 50), (230, 60, 100), (180, 20, 60)))
    kind, y = rng.randrange(4), canvas.height * rng.uniform(0.42, 0.6)
    for _ in range(rng.randint(3, 10)):
        canvas.pen().heart(
            rng.uniform(0, 1) * canvas.width,
            rng.uniform(0, 1) * canvas.height,
            rng.uniform(0.02, 0.05),
            jitter(rng, (246, 120, 150), 14),
            rng.uniform(-25, 25),
        )
    draw_heart_garland(canvas, rng)
    if kind == 0:
        draw_bouquet(stand_on_table(canvas, rng, spot, 0.25), rng, red)
        return ("a bouquet of roses", "a string of paper hearts", "small pink hearts"), "dozen"
    if kind == 1:
        draw_shadow(canvas, spot.x, y + 0.28 * spot.size, 0.4 * spot.size)
        draw_heart_box(canvas.pen(spot.x, y, 0.3 * spot.size, rng.uniform(-15, 15), rng.random() < 0.5), rng, red)
        return ("a heart-shaped box", "a satin bow", "a string of paper hearts"), "string"
    if kind == 2:
        draw_pillow(
            canvas.pen(spot.x, y + 0.22 * spot.size, 0.42 * spot.size, rng.uniform(-6, 6)),
            jitter(rng, (250, 240, 236), 8),
        )
        for side in (-1, 1):
            draw_ring(
                canvas.pen(spot.x + side * 0.12 * spot.size, y + 0.1, 0.19 * spot.size, side * rng.uniform(5, 25)),
                (236, 186, 80),
            )
        draw_rose(canvas.pen(spot.x + rng.choice((-0.42, 0.42)) * spot.size, y + 0.16, 0.12 * spot.size), red)
        return ("two golden rings", "a red rose", "a string of paper hearts"), "wedding"
    for step in (2, 1, 0):
        letter = canvas.pen(spot.x + 0.05 * step, y - 0.05 * step, 0.25 * spot.size, rng.uniform(-14, 14))
        draw_letter(letter, rng.choice(((255, 250, 240), (255, 226, 230), (250, 236, 210))))
    draw_rose(canvas.pen(spot.x + rng.choice((-0.3, 0.3)) * spot.size, y + 0.24, 0.12 * spot.size), red)
    return ("sealed love letters", "a red rose", "a string of paper hearts"), "letters"


def _surprise(canvas: Canvas, rng: random.Random, spot: Spot) -> _Words:
    kind, paper = rng.randrange(3), rng.choice(BRIGHT_COLOURS)
    canvas.glow(spot.x, spot.y - 0.35, 0.6, (255, 244, 190), 0.75)
    if kind == 0:
        draw_bursting_gift(stand_on_table(canvas, rng, spot, 0.17), rng, paper)
        return ("an open gift box", "confetti springing out", "flying stars"), "confetti"
    if kind == 1:
        draw_jack_in_the_box(stand_on_table(canvas, rng, spot, 0.17), rng, paper)
        draw_confetti(canvas.pen(spot.x, spot.y - 0.3, 0.16), rng, 24, 3)
        return ("a jack-in-the-box", "a clown on a spring", "flying confetti"), "jack"
    draw_magic_hat(stand_on_table(canvas, rng, spot, 0.21), rng, rng.choice(PASTEL_COLOURS))
    return ("a rabbit popping out", "a magician's hat", "glittering stars"), "rabbit"


_DRAWERS: dict[str, Callable[[Canvas, random.Random, Spot], _Words]] = {
    "joy": _joy,
    "anger": _anger,
    "sadness": _sadness,
    "fear": _fear,
    "love": _love,
    "surprise": _surprise,
}


def draw_things(canvas: Canvas, rng: random.Random, emotion: str) -> Depiction:
    """Draw a still life of `emotion` and return what it shows."""
    spot = set_table(canvas, rng, emotion)
    stimuli, about = _DRAWERS[emotion](canvas, rng, spot)
    first, second, third = stimuli
    return Depiction(
        alt_text=f"{first[0].upper()}{first[1:]}, {second} and {third}.",
        stimuli=stimuli,
        about=(about,),
        detail=f"still life with {second}",
    )
