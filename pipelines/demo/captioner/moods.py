"""Places the 27 emotions, and a measured picture, on the plane of valence and arousal.

The coordinates and weights are this project's own rough choice, for a demonstration: colours and light hint at a mood,
they do not decide it.
"""

from moodarchive.emotions.taxonomy import EMOTIONS
from pipelines.demo.captioner.measures import Measures

Mood = tuple[float, float]
"""Valence (unpleasant to pleasant) and arousal (calm to stirred), each -1 to 1."""

_MOODS: dict[str, Mood] = {
    "admiration": (0.6, 0.2),
    "amusement": (0.7, 0.5),
    "approval": (0.5, 0.0),
    "caring": (0.6, -0.3),
    "desire": (0.5, 0.5),
    "excitement": (0.7, 0.8),
    "gratitude": (0.7, -0.1),
    "joy": (0.8, 0.5),
    "love": (0.8, 0.1),
    "optimism": (0.6, 0.3),
    "pride": (0.6, 0.4),
    "relief": (0.5, -0.5),
    "anger": (-0.6, 0.8),
    "annoyance": (-0.5, 0.4),
    "disappointment": (-0.5, -0.2),
    "disapproval": (-0.5, 0.2),
    "disgust": (-0.7, 0.4),
    "embarrassment": (-0.4, 0.3),
    "fear": (-0.7, 0.7),
    "nervousness": (-0.4, 0.6),
    "grief": (-0.9, -0.2),
    "remorse": (-0.6, -0.3),
    "sadness": (-0.7, -0.5),
    "confusion": (-0.2, 0.3),
    "curiosity": (0.3, 0.3),
    "realization": (0.2, 0.2),
    "surprise": (0.2, 0.8),
}
assert set(_MOODS) == set(EMOTIONS)

_FITS_WITHIN = 0.8
"""A hinted emotion nearer than this to the measured mood is not contradicted by it."""


def mood_of(measures: Measures) -> Mood:
    """Bright, colourful and warm pictures count as pleasant; contrast, colour, red, detail and night as stirring."""
    valence = 2.4 * (measures.brightness - 0.48) + 1.3 * (measures.saturation - 0.25) + 0.5 * measures.warmth
    arousal = (
        1.5 * (measures.contrast - 0.65)
        + 1.1 * (measures.saturation - 0.25)
        + 1.5 * measures.red
        + 0.5 * (measures.texture - 0.4)
        + 3.0 * max(0.0, 0.28 - measures.brightness)
    )
    return _clip(valence - 1.2 * measures.red), _clip(arousal)


def fits(emotion: str, mood: Mood) -> bool:
    """True when the measures do not speak against the emotion."""
    return _distance(emotion, mood) < _FITS_WITHIN


def nearest(mood: Mood) -> list[str]:
    """All 27, the best match first; equal matches in the order of the taxonomy."""
    return sorted(EMOTIONS, key=lambda emotion: _distance(emotion, mood))


def _distance(emotion: str, mood: Mood) -> float:
    valence, arousal = _MOODS[emotion]
    return float(((valence - mood[0]) ** 2 + (arousal - mood[1]) ** 2) ** 0.5)


def _clip(value: float) -> float:
    return max(-1.0, min(1.0, value))
