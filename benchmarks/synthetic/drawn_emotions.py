"""All 27 emotions drawn: six as one scene, each other one as a scene with a smaller one of a second emotion in it."""

import random
from dataclasses import replace

from moodarchive.emotions.taxonomy import EMOTIONS
from pipelines.demo.scenes.scene import DRAWN_CONTEXTS, Scene, draw_scene

CELLS = tuple((emotion, context) for emotion in EMOTIONS for context in DRAWN_CONTEXTS)
MIXED: dict[str, tuple[str, str]] = {
    "amusement": ("joy", "surprise"),
    "approval": ("joy", "love"),
    "optimism": ("joy", "sadness"),
    "pride": ("joy", "anger"),
    "relief": ("joy", "fear"),
    "admiration": ("love", "surprise"),
    "caring": ("love", "sadness"),
    "desire": ("love", "anger"),
    "gratitude": ("love", "joy"),
    "excitement": ("surprise", "joy"),
    "confusion": ("surprise", "fear"),
    "curiosity": ("surprise", "love"),
    "realization": ("surprise", "sadness"),
    "annoyance": ("anger", "surprise"),
    "disapproval": ("anger", "sadness"),
    "disgust": ("anger", "fear"),
    "nervousness": ("fear", "surprise"),
    "disappointment": ("sadness", "surprise"),
    "embarrassment": ("sadness", "fear"),
    "grief": ("sadness", "love"),
    "remorse": ("sadness", "anger"),
}
"""Emotion → those of its two scenes, the larger first; a convention of this small world, no psychology."""
_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
SEEDS_APART = 10_000
"""Between the scenes of two emotions, so that no scene serves twice as long as a set takes fewer seeds."""


def draw_emotion(emotion: str, context: str, seed: int, size: tuple[int, int]) -> Scene:
    """The picture of one cell; of a mixed emotion two stimuli are the larger scene's, the third is the smaller's."""
    seed += SEEDS_APART * EMOTIONS.index(emotion)
    if emotion not in MIXED:
        return draw_scene(emotion, context, seed, size)
    first, second = MIXED[emotion]
    large = draw_scene(first, context, seed, size)
    small = draw_scene(second, context, seed, (size[0] // 2, size[1] // 2))
    rng = random.Random(f"{emotion} {context} {seed}")
    right, low = rng.choice(_CORNERS)
    image = large.image.copy()
    image.paste(small.image, (right * (size[0] - small.image.width), low * (size[1] - small.image.height)))
    one, other = rng.sample(large.stimuli, 2)
    return replace(
        large,
        emotion=emotion,
        title=f"{large.title}, with {small.title[0].lower()}{small.title[1:]}",
        stimuli=(one, other, rng.choice(small.stimuli)),
        image=image,
    )
