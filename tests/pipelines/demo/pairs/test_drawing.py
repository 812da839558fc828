"""The paired drawer: the same place in every mood."""

import hashlib

import numpy as np
import pytest

from pipelines.demo.pairs.drawing import (
    KINDS,
    PAIRED_EMOTIONS,
    changed_mask,
    draw_local,
    draw_paired,
    local_region,
)
from pipelines.demo.pairs.moods import Mood
from pipelines.demo.scenes.scene import DRAWN_EMOTIONS


def test_every_drawn_emotion_has_a_mood() -> None:
    assert set(PAIRED_EMOTIONS) == set(DRAWN_EMOTIONS)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_arguments_give_equal_bytes(kind: str) -> None:
    first, again = (draw_paired(kind, 3, Mood("fear", 5)).image.tobytes() for _ in range(2))
    assert hashlib.sha256(first).digest() == hashlib.sha256(again).digest()


@pytest.mark.parametrize("kind", KINDS)
def test_every_mood_tells_the_same_place_in_other_words(kind: str) -> None:
    scenes = [draw_paired(kind, 4, Mood(emotion, 0)) for emotion in PAIRED_EMOTIONS]
    assert len({scene.content for scene in scenes}) == 1
    assert len({scene.caption for scene in scenes}) == len(scenes)
    assert all(scene.caption.startswith(scene.content) for scene in scenes)


@pytest.mark.parametrize("kind", KINDS)
def test_another_mood_is_nearer_to_its_place_than_to_another_one(kind: str) -> None:
    """Edges, because a mood changes the colours everywhere."""

    def edges(seed: int, emotion: str) -> np.ndarray:
        values = np.asarray(draw_paired(kind, seed, Mood(emotion, seed)).image.convert("L"), dtype=np.float32)
        steps = np.abs(np.diff(values, axis=0))[:, :-1] + np.abs(np.diff(values, axis=1))[:-1]
        return (steps - steps.mean()) / steps.std()

    joyful, loving = ([edges(seed, emotion) for seed in range(12)] for emotion in ("joy", "love"))
    likeness = np.array([[float((one * other).mean()) for other in loving] for one in joyful])
    assert (likeness.argmax(axis=1) == np.arange(12)).mean() >= 0.75


@pytest.mark.parametrize("kind", KINDS)
def test_a_local_mood_changes_its_region_alone(kind: str) -> None:
    rest, mood = Mood("joy", 1), Mood("anger", 2)
    region = np.asarray(local_region(kind, 6))
    changed = changed_mask(draw_paired(kind, 6, rest).image, draw_local(kind, 6, mood, rest).image)
    assert changed[region > 127].mean() > 0.5
    assert not changed[region == 0].any()
    assert 0.05 < (region > 127).mean() < 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_a_mixed_mood_lies_between_the_two(kind: str) -> None:
    """In colour: its mean lies nearer to each of the two than they lie to one another."""

    def mean_colour(mood: Mood) -> np.ndarray:
        return np.mean([np.asarray(draw_paired(kind, seed, mood).image).mean((0, 1)) for seed in range(8)], axis=0)

    joy, fear, mixed = mean_colour(Mood("joy", 0)), mean_colour(Mood("fear", 0)), mean_colour(Mood("joy", 0, "fear"))
    apart = np.linalg.norm(joy - fear)
    assert np.linalg.norm(mixed - joy) < apart and np.linalg.norm(mixed - fear) < apart


@pytest.mark.parametrize("size", (32, 64, 128))
def test_pictures_are_square_of_the_size_asked_for(size: int) -> None:
    assert draw_paired("house", 0, Mood("joy", 0), size).image.size == (size, size)


def test_an_undrawn_kind_or_emotion_is_named() -> None:
    with pytest.raises(ValueError, match="kinds are face, land, house"):
        draw_paired("sea", 0, Mood("joy", 0))
    with pytest.raises(ValueError, match="no mood is drawn for 'disgust'"):
        Mood("disgust", 0)
