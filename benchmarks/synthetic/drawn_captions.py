"""Captions of drawn scenes: as the web words them, and in five sentences of which the stimuli name the emotion."""

import random

import numpy as np

from moodarchive.emotions.taxonomy import SENTIMENT
from pipelines.demo.captioner.colours import NAMES, names_of
from pipelines.demo.made_archive import Caption
from pipelines.demo.scenes.scene import Scene

_SHOWN = {
    "facial_expressions": "a face",
    "natural_scenery": "a landscape",
    "urban_scenery": "a street",
    "object_classes": "things on a table",
}
_FEELS = {"positive": "pleasant", "negative": "unpleasant", "ambiguous": "hard to name"}
_STIRS = ("{} evokes {}.", "{} stirs {}.", "{} speaks of {}.", "{} lets one feel {}.", "There is {} in {}.")


def as_the_web_would(scene: Scene, rng: random.Random) -> Caption:
    """The title, and for every second picture what it evokes; no stimuli."""
    named = f"An image that evokes {scene.emotion}." if rng.random() < 0.5 else ""
    return Caption(summary=f"{scene.title}.", stimuli=(), assessment=named)


def in_five_sentences(scene: Scene, rng: random.Random) -> Caption:
    """Summary and assessment tell the kind of picture, its two main colours and whether it is pleasant: no more."""
    pixels = np.asarray(scene.image.resize((32, 32)))
    counts = np.bincount(names_of(pixels).ravel(), minlength=len(NAMES))
    first, second = (NAMES[place] for place in np.argsort(-counts, kind="stable")[:2])
    stimuli = []
    for stimulus in scene.stimuli:
        form = rng.choice(_STIRS)
        words = (scene.emotion, stimulus) if form.startswith("There") else (stimulus.capitalize(), scene.emotion)
        stimuli.append(form.format(*words))
    return Caption(
        summary=f"A drawing of {_SHOWN[scene.context]} in {first} and {second}.",
        stimuli=tuple(stimuli),
        assessment=f"Altogether its mood is {_FEELS[SENTIMENT[scene.emotion]]}.",
    )
