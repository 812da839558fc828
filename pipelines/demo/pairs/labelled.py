"""Drawings with the class of their mood, from which an emotion predictor learns."""

import numpy as np

from moodarchive.emotions.taxonomy import MIKELS, MIKELS_EIGHT
from pipelines.demo.pairs.drawing import KINDS, PAIRED_EMOTIONS, draw_paired
from pipelines.demo.pairs.moods import Mood
from train.emoeditor.labelled import SquashedPictures

PREDICTOR_PLACES = 40_000_000
"""First place: sets of drawn pairs, the base and the benchmarks draw others."""
_HELD_OUT = 20
"""Places of each kind, from later seeds, that fit the temperature."""


def draw_labelled(places: int, first: int, size: int) -> SquashedPictures:
    """Each place of each kind in every mood."""
    images, classes = [], []
    for place in range(first, first + places):
        for kind in KINDS:
            for number, emotion in enumerate(PAIRED_EMOTIONS):
                images.append(np.asarray(draw_paired(kind, place, Mood(emotion, place * 7 + number), size).image))
                classes.append(MIKELS_EIGHT.index(MIKELS[emotion]))
    name = f"drawn, places {first} to {first + places - 1}, {size} pixels"
    return SquashedPictures(name=name, values=np.stack(images), classes=classes)


def draw_for_predictor(places: int, size: int) -> tuple[SquashedPictures, SquashedPictures]:
    """What is learnt from, and what is held out."""
    return (
        draw_labelled(places, PREDICTOR_PLACES, size),
        draw_labelled(min(places, _HELD_OUT), PREDICTOR_PLACES + 900_000, size),
    )
