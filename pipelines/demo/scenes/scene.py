"""One drawn picture of an emotion in a context, with the words that are true of it."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from PIL import Image

from moodarchive.emotions.lexicon import load_lexicon
from pipelines.demo.scenes import nature, rare_sights, streets, wild_nature, wild_streets
from pipelines.demo.scenes.canvas import Canvas
from pipelines.demo.scenes.depiction import Depiction
from pipelines.demo.scenes.faces import draw_face
from pipelines.demo.scenes.things import draw_things

DRAWN_EMOTIONS = ("joy", "anger", "sadness", "fear", "love", "surprise")
DRAWN_CONTEXTS = ("facial_expressions", "natural_scenery", "urban_scenery", "object_classes")

_Drawer = Callable[[Canvas, random.Random], Depiction]
_LANDSCAPES: dict[str, _Drawer] = {
    "joy": nature.draw_sunny_meadow,
    "anger": wild_nature.draw_raging_land,
    "sadness": nature.draw_grey_lake,
    "fear": wild_nature.draw_night_forest,
    "love": nature.draw_rose_sunset,
    "surprise": rare_sights.draw_rare_sight,
}
_STREETS: dict[str, _Drawer] = {
    "joy": streets.draw_festival_street,
    "anger": wild_streets.draw_riot_street,
    "sadness": streets.draw_rainy_street,
    "fear": wild_streets.draw_dark_alley,
    "love": streets.draw_cafe_street,
    "surprise": wild_streets.draw_firework_street,
}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A drawn picture whose emotion, context and contents are known for certain."""

    emotion: str
    context: str
    title: str
    """A phrase of the cell's lexicon, capital first, a comma and a detail that was drawn."""
    alt_text: str
    """A plain sentence of what is drawn."""
    stimuli: tuple[str, str, str]
    """Short phrases for the three drawn things that carry the emotion."""
    image: Image.Image
    """The picture, mode RGB."""


def draw_scene(emotion: str, context: str, seed: int, size: tuple[int, int] = (640, 480)) -> Scene:
    """Draw the scene of `seed` for one cell at `size` (width, height) pixels.

    The same arguments give the same pixels and words on any machine. Raises ValueError if
    the emotion or context is not drawn, or a side is under 16 pixels.
    """
    drawer = _drawer(emotion, context)
    key = f"{emotion}/{context}/{seed}/{size[0]}x{size[1]}"
    rng = random.Random(int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big"))
    canvas = Canvas(size)
    depiction = drawer(canvas, rng)
    picture = canvas.finish(rng)
    return Scene(
        emotion=emotion,
        context=context,
        title=_title(rng, emotion, context, depiction),
        alt_text=depiction.alt_text,
        stimuli=depiction.stimuli,
        image=picture,
    )


def _drawer(emotion: str, context: str) -> _Drawer:
    if emotion not in DRAWN_EMOTIONS or context not in DRAWN_CONTEXTS:
        raise ValueError(
            f"no drawing for {emotion!r} in {context!r}; emotions are {', '.join(DRAWN_EMOTIONS)}"
            f" and contexts {', '.join(DRAWN_CONTEXTS)}"
        )
    if context == "natural_scenery":
        return _LANDSCAPES[emotion]
    if context == "urban_scenery":
        return _STREETS[emotion]
    return partial(draw_face if context == "facial_expressions" else draw_things, emotion=emotion)


@cache
def cell_phrases(emotion: str, context: str) -> tuple[str, ...]:
    """Return the lexicon phrases of one cell, in the lexicon's order."""
    return next(
        phrases for cell, phrases in load_lexicon().items() if (cell.emotion, cell.context) == (emotion, context)
    )


def _title(rng: random.Random, emotion: str, context: str, depiction: Depiction) -> str:
    """Return a title whose lexicon phrase is one that fits the drawing, where any does."""
    about = _words(" ".join(depiction.about))
    phrases = cell_phrases(emotion, context)
    phrase = rng.choice([p for p in phrases if about & _words(p)] or list(phrases))
    return f"{phrase[0].upper()}{phrase[1:]}, {depiction.detail}"


def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower().removesuffix("s") for word in text.replace("-", " ").split())
