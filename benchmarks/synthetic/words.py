"""Well-mixed numbers from numbers, and what is made of them: keys, chances, scores of every emotion."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from moodarchive.emotions.taxonomy import EMOTIONS

Words = NDArray[np.uint64]
Columns = dict[str, object]

_PHRASES = pa.array([f"made-up phrase {place} of {emotion}" for emotion in EMOTIONS for place in range(59)])


def hashed(numbers: NDArray[np.integer], salt: int) -> Words:
    """64 well-mixed bits of each number (SplitMix64, Steele et al. 2014), other ones for another salt."""
    with np.errstate(over="ignore"):
        mixed = (numbers.astype(np.uint64) + np.uint64(salt * 2**40 + 1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def hexed(words: Words) -> pa.Array:
    """16 hex digits each."""
    return pa.array(np.frombuffer(words.astype(">u8").tobytes().hex().encode(), "S16").astype(str))


def uniform(words: Words) -> NDArray[np.float64]:
    """Each word as a number from 0 up to 1."""
    return (words >> np.uint64(11)).astype(np.float64) / 2**53


def every_emotion(score: NDArray[np.float32], emotion: NDArray[np.int64], word: Words) -> Columns:
    """scores/'s lists: ``score`` for the row's own emotion (its place), made-up ones for the others, and phrases."""
    rows, many = len(word), len(EMOTIONS)
    cells = (word[:, None] + np.arange(many, dtype=np.uint64)).ravel()
    scores = np.round(0.12 + 0.25 * uniform(hashed(cells, 21)), 5).astype(np.float32).reshape(rows, many)
    scores[np.arange(rows), emotion] = score
    places = (hashed(cells, 22) % np.uint64(59)).astype(np.int64).reshape(rows, many) + 59 * np.arange(many)
    offsets = np.arange(0, rows * many + 1, many, dtype=np.int32)
    return {
        "emotion_scores": pa.ListArray.from_arrays(offsets, pa.array(scores.ravel())),
        "emotion_phrases": pa.ListArray.from_arrays(offsets, _PHRASES.take(pa.array(places.ravel()))),
    }
