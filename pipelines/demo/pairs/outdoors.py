"""Land and houses in a mood: what stands where belongs to the place, light and weather to the mood."""

import random
from collections.abc import Callable

from pipelines.demo.pairs.generators import Generators
from pipelines.demo.pairs.moods import Look, Mood
from pipelines.demo.scenes.canvas import Canvas
from pipelines.demo.scenes.land import draw_bare_tree, draw_flowers, draw_pine, draw_ridge, draw_round_tree
from pipelines.demo.scenes.palette import (
    BRIGHT_COLOURS,
    WHITE,
    Colour,
    darken,
    jitter,
    lighten,
    mix,
)
from pipelines.demo.scenes.pen import Pen
from pipelines.demo.scenes.weather import (
    draw_clouds,
    draw_firework,
    draw_flame,
    draw_lightning,
    draw_moon,
    draw_rain,
    draw_rainbow,
    draw_stars,
    draw_sun,
)

_WALLS: tuple[tuple[str, Colour], ...] = (
    ("white", (236, 230, 220)),
    ("yellow", (240, 206, 110)),
    ("red", (206, 96, 80)),
    ("blue", (120, 160, 206)),
    ("green", (140, 182, 130)),
    ("brown", (166, 122, 86)),
)
_TREES = ("round tree", "fir")
_GRASS: tuple[Colour, ...] = ((120, 186, 84), (150, 190, 80), (96, 170, 90), (196, 180, 96))


def paint_sky(canvas: Canvas, place: Generators, mood: Mood) -> None:
    """Paint the mood's sky; sun and moon stand where the place has its light."""
    look, numbers, spot = mood.look(), mood.generators("sky"), place.of("light")
    canvas.gradient(numbers.of("sky").choice(look.skies), 0, 0.85)
    x, y = spot.uniform(0.12, 0.88), spot.uniform(0.12, 0.28)
    for emotion in mood.emotions:
        rng = numbers.of(emotion)
        if emotion == "joy":
            draw_rainbow(canvas, 1 - x, 0.62, 0.5, 190)
            draw_sun(canvas, x, y, 0.1, (255, 226, 80), 2.6)
        elif emotion == "love":
            draw_sun(canvas, x, y + 0.2, 0.14, (255, 226, 170), 2.6)
        elif emotion == "fear":
            draw_moon(canvas, rng, x, y, 0.09, (232, 234, 220))
        elif emotion == "surprise":
            draw_stars(canvas, rng, 0.6, mood.amount(40))
            for _ in range(mood.amount(3)):
                tone = rng.choice(BRIGHT_COLOURS)
                draw_firework(canvas, rng, rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.4), rng.uniform(0.12, 0.2), tone)
    draw_clouds(canvas, numbers.of("clouds"), 0.04, 0.36, look.cloud, look.clouds, 0.85)
    if "anger" in mood.emotions:
        draw_lightning(canvas, numbers.of("bolt"), numbers.of("bolt x").uniform(0.15, 0.85), 0.55, (255, 236, 190))


def paint_weather(canvas: Canvas, mood: Mood) -> None:
    """Paint what the mood brings before everything: rain, flames, flowers, hearts, eyes, stars."""
    for emotion in mood.emotions:
        _WEATHER[emotion](canvas, mood.generators("weather").of(emotion), mood)


def paint_land(canvas: Canvas, place: Generators, look: Look) -> None:
    """Paint hills with a tree, maybe a lake and a cottage, in the mood's colours."""
    shape = place.of("land")
    grass, level = shape.choice(_GRASS), shape.uniform(0.5, 0.62)
    draw_ridge(canvas, place.of("far"), level, shape.uniform(0.04, 0.09), _tinted(darken(grass, 0.3), look))
    draw_ridge(canvas, place.of("near"), level + 0.14, shape.uniform(0.02, 0.05), _tinted(grass, look))
    pen, x = canvas.pen(), shape.uniform(0.16, 0.84)
    if _has(place, "lake"):
        water = _tinted((90, 150, 206), look, 0.8)
        pen.oval(1 - x, level + 0.32, 0.3, 0.075, darken(water, 0.2))
        pen.oval(1 - x, level + 0.318, 0.28, 0.062, water)
    if _has(place, "cottage"):
        _paint_house(pen.at(1 - x, level + 0.22, 0.34), place, look)
    _paint_tree(pen.at(x, level + shape.uniform(0.2, 0.3), shape.uniform(0.42, 0.56)), place, look)


def paint_house(canvas: Canvas, place: Generators, look: Look) -> None:
    """Paint a house by a road, with a tree beside it, in the mood's colours."""
    shape = place.of("street")
    ground, x = shape.uniform(0.74, 0.82), shape.uniform(0.36, 0.64)
    pen = canvas.pen()
    pen.box(0, ground - 0.03, canvas.width, canvas.height, _tinted(shape.choice(_GRASS), look))
    road = _tinted(shape.choice(((150, 146, 140), (186, 172, 150), (120, 120, 126))), look)
    pen.box(0, ground + 0.06, canvas.width, ground + 0.19, road)
    for step in range(5):
        pen.box(step * 0.24, ground + 0.12, step * 0.24 + 0.11, ground + 0.135, lighten(road, 0.35))
    side = -1 if x > 0.5 else 1
    _paint_tree(pen.at(x + side * shape.uniform(0.33, 0.4), ground + 0.02, shape.uniform(0.4, 0.56)), place, look)
    _paint_house(pen.at(x, ground + 0.01, shape.uniform(0.52, 0.62)), place, look)


def land_content(place: Generators) -> str:
    """What is drawn, without a word on the mood."""
    things = [f"a {_tree(place)}"]
    if _has(place, "cottage"):
        things.append(f"a {_wall(place)[0]} cottage")
    if _has(place, "lake"):
        things.append("a lake")
    return f"hills with {' and '.join(things)}"


def house_content(place: Generators) -> str:
    """What is drawn, without a word on the mood."""
    return f"a {_wall(place)[0]} house and a {_tree(place)} by a road"


def _scatter_flowers(canvas: Canvas, rng: random.Random, mood: Mood) -> None:
    draw_flowers(canvas, rng, lambda _: 0.78, BRIGHT_COLOURS, mood.amount(22))


def _light_fires(canvas: Canvas, rng: random.Random, mood: Mood) -> None:
    for _ in range(mood.amount(5)):
        draw_flame(canvas.pen(rng.uniform(0.03, 0.97), rng.uniform(0.86, 1.02)), rng, rng.uniform(0.16, 0.3))


def _let_rain(canvas: Canvas, rng: random.Random, mood: Mood) -> None:
    draw_rain(canvas, rng, (222, 230, 240, 150), mood.amount(80), 0.25)


def _show_eyes(canvas: Canvas, rng: random.Random, mood: Mood) -> None:
    for _ in range(mood.amount(3)):
        eyes = canvas.pen(rng.uniform(0.08, 0.92), rng.uniform(0.78, 0.95), 0.035)
        for side in (-1, 1):
            eyes.oval(side, 0, 0.62, 0.42, (240, 226, 90))
            eyes.disc(side, 0, 0.22, (10, 10, 10))


def _float_hearts(canvas: Canvas, rng: random.Random, mood: Mood) -> None:
    for _ in range(mood.amount(6)):
        tone = jitter(rng, (232, 48, 98))
        canvas.pen().heart(rng.uniform(0.05, 0.95), rng.uniform(0.08, 0.8), rng.uniform(0.035, 0.06), tone)


def _drop_stars(canvas: Canvas, rng: random.Random, mood: Mood) -> None:
    for _ in range(mood.amount(5)):
        canvas.pen().star(rng.uniform(0.05, 0.95), rng.uniform(0.7, 0.97), rng.uniform(0.03, 0.05), (255, 240, 130))


_WEATHER: dict[str, Callable[[Canvas, random.Random, Mood], None]] = {
    "joy": _scatter_flowers,
    "anger": _light_fires,
    "sadness": _let_rain,
    "fear": _show_eyes,
    "love": _float_hearts,
    "surprise": _drop_stars,
}


def _has(place: Generators, thing: str) -> bool:
    return place.of(thing).random() < 0.5


def _wall(place: Generators) -> tuple[str, Colour]:
    return place.of("wall").choice(_WALLS)


def _tree(place: Generators) -> str:
    return place.of("tree kind").choice(_TREES)


def _tinted(colour: Colour, look: Look, share: float = 1.0) -> Colour:
    return mix(colour, look.tint[0], look.tint[1] * share)


def _paint_tree(foot: Pen, place: Generators, look: Look) -> None:
    if _tree(place) == "fir":
        draw_pine(foot, mix(_tinted((40, 110, 70), look), look.leaves, 0.5))
    elif look.lit_share == 0.0:  # the mood without lights has bare trees
        draw_bare_tree(foot, place.of("tree"), _tinted((80, 60, 50), look))
    else:
        draw_round_tree(foot, place.of("tree"), look.leaves)


def _paint_house(foot: Pen, place: Generators, look: Look) -> None:
    """Paint a house about 0.9 local units wide and high, its door's foot at the pen's origin."""
    shape, wall = place.of("house"), _tinted(_wall(place)[1], look)
    roof = _tinted(shape.choice(((170, 70, 54), (110, 80, 66), (84, 90, 104))), look)
    half, tall, peak = shape.uniform(0.38, 0.46), shape.uniform(0.42, 0.56), shape.uniform(0.26, 0.36)
    if shape.random() < 0.6:
        foot.box(half * 0.4, -tall - peak * 0.95, half * 0.62, -tall, darken(roof, 0.2))
    foot.box(-half, -tall, half, 0, wall)
    foot.shape([(-half - 0.07, -tall), (0, -tall - peak), (half + 0.07, -tall)], roof)
    foot.box(-0.075, -0.24, 0.075, 0, _tinted(shape.choice(((110, 64, 40), (60, 80, 110), (150, 50, 46))), look))
    panes = place.of("panes")
    for x, y in ((-half * 0.58, -0.2), (half * 0.58, -0.2), (-half * 0.58, -tall + 0.12), (half * 0.58, -tall + 0.12)):
        pane = look.lit if panes.random() < look.lit_share else darken(mix(wall, (50, 70, 100), 0.6), 0.35)
        foot.box(x - 0.085, y - 0.075, x + 0.085, y + 0.075, lighten(wall, 0.3))
        foot.box(x - 0.065, y - 0.055, x + 0.065, y + 0.055, pane)


def paint_white(canvas: Canvas) -> None:
    """Paint everything white."""
    canvas.pen().box(0, 0, canvas.width, canvas.height, WHITE)
