"""Draws the same place in any mood: the exact answer to an edit, with its caption and the mask of what changed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.demo.pairs.generators import Generators
from pipelines.demo.pairs.moods import LOOKS, Mood
from pipelines.demo.pairs.outdoors import (
    house_content,
    land_content,
    paint_house,
    paint_land,
    paint_sky,
    paint_weather,
    paint_white,
)
from pipelines.demo.pairs.portrait import (
    face_words,
    paint_face_region,
    paint_portrait,
    portrait_content,
    portrait_stimuli,
    portrait_words,
)
from pipelines.demo.scenes.canvas import SUPERSAMPLE, Canvas

PAIRED_EMOTIONS = tuple(LOOKS)
KINDS = ("face", "land", "house")
CONTEXT_OF = {"face": "facial_expressions", "land": "natural_scenery", "house": "urban_scenery"}
"""The context of the taxonomy that a kind belongs to."""
LOCAL_PART = {"face": "face", "land": "sky", "house": "sky"}
"""What of a kind can take a mood alone."""
EQUAL_LEVELS = 8
"""Pixels whose channels differ by no more levels of 255 count as equal."""

BoolMask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class PairedScene:
    """A drawn picture of a place in a mood."""

    kind: str
    place_seed: int
    mood: Mood
    content: str
    """What is drawn, without a word on the mood; the same in every mood."""
    caption: str
    """What is drawn and how: an exact description."""
    stimuli: tuple[str, str, str]
    """Short phrases for the three things that carry the emotion."""
    image: Image.Image
    """RGB, square."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """What is true of a place in a mood, known without drawing it."""

    content: str
    caption: str
    stimuli: tuple[str, str, str]


def describe_paired(kind: str, place_seed: int, mood: Mood) -> Words:
    """The words for what ``draw_paired`` draws."""
    place = _place(kind, place_seed)
    content = _CONTENTS[kind](place)
    look = mood.look()
    clause, stimuli = (portrait_words(mood), portrait_stimuli(mood)) if kind == "face" else (look.words, look.stimuli)
    return Words(content=content, caption=f"{content} {clause}", stimuli=stimuli)


def describe_local(kind: str, place_seed: int, mood: Mood, rest: Mood) -> Words:
    """The words for what ``draw_local`` draws."""
    kept, changed = (describe_paired(kind, place_seed, one) for one in (rest, mood))
    clause = face_words(mood) if kind == "face" else mood.look().sky_words
    return Words(
        content=kept.content,
        caption=f"{kept.caption}, but the {LOCAL_PART[kind]} {clause}",
        stimuli=changed.stimuli,
    )


def draw_paired(kind: str, place_seed: int, mood: Mood, size: int = 64) -> PairedScene:
    """Draw the place of ``place_seed`` in ``mood``, ``size`` pixels a side.

    Equal arguments give equal pixels on any machine; another mood changes nothing that is the place's. ValueError for
    a kind that is not drawn.
    """
    place = _place(kind, place_seed)
    canvas = Canvas((_drawn_side(size),) * 2)
    if kind == "face":
        paint_portrait(canvas, place, mood)
    else:
        paint_sky(canvas, place, mood)
        (paint_land if kind == "land" else paint_house)(canvas, place, mood.look())
        paint_weather(canvas, mood)
    return _scene(kind, place_seed, mood, describe_paired(kind, place_seed, mood), _finished(canvas, place, size))


def draw_local(kind: str, place_seed: int, mood: Mood, rest: Mood, size: int = 64) -> PairedScene:
    """Draw the place in ``rest`` but for its local part (``LOCAL_PART``: the face, the sky), which is in ``mood``."""
    changed, kept = (draw_paired(kind, place_seed, one, size).image for one in (mood, rest))
    image = Image.composite(changed, kept, local_region(kind, place_seed, size))
    return _scene(kind, place_seed, mood, describe_local(kind, place_seed, mood, rest), image)


def local_region(kind: str, place_seed: int, size: int = 64) -> Image.Image:
    """The local part of a place as a picture of mode L: 255 where it is the mood's alone, 0 where it is not at all."""
    place = _place(kind, place_seed)
    canvases = [Canvas((_drawn_side(size),) * 2) for _ in range(2)]
    if kind == "face":
        paint_face_region(canvases[0], place)
        return _finished(canvases[0], place, size).convert("L")
    # the sky shows wherever a black and a white one behind the same land can be told apart
    paint_white(canvases[0])
    look = LOOKS[PAIRED_EMOTIONS[0]]
    for canvas in canvases:
        (paint_land if kind == "land" else paint_house)(canvas, place, look)
    white, black = (np.asarray(_finished(canvas, place, size), dtype=np.int16) for canvas in canvases)
    return Image.fromarray((white - black).max(axis=2).clip(0, 255).astype(np.uint8))


def changed_mask(source: Image.Image, target: Image.Image) -> BoolMask:
    """[height, width], true where the pictures differ by more than EQUAL_LEVELS in a channel."""
    one, other = (np.asarray(image, dtype=np.int16) for image in (source, target))
    return np.asarray(np.abs(one - other).max(axis=2) > EQUAL_LEVELS)


_CONTENTS: dict[str, Callable[[Generators], str]] = {
    "face": portrait_content,
    "land": land_content,
    "house": house_content,
}


def _scene(kind: str, place_seed: int, mood: Mood, words: Words, image: Image.Image) -> PairedScene:
    return PairedScene(
        kind=kind,
        place_seed=place_seed,
        mood=mood,
        content=words.content,
        caption=words.caption,
        stimuli=words.stimuli,
        image=image,
    )


def _place(kind: str, seed: int) -> Generators:
    if kind not in _CONTENTS:
        raise ValueError(f"no scene is of kind {kind!r}; kinds are {', '.join(KINDS)}")
    return Generators(f"place/{kind}/{seed}")


def _drawn_side(size: int) -> int:
    """Small pictures are drawn at twice their size, because no line is thinner than a pixel."""
    return size * 2 if size < 128 else size


def _finished(canvas: Canvas, place: Generators, size: int) -> Image.Image:
    """The picture at its size, mirrored where the place is."""
    picture = canvas.image.reduce(SUPERSAMPLE * _drawn_side(size) // size)
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if place.of("mirror").random() < 0.5 else picture
