"""The drawn world of all 27 emotions: every emotion has pictures of its own, and its words are true of them."""

import numpy as np
import pytest

from benchmarks.synthetic.drawn_emotions import CELLS, MIXED, SEEDS_APART, draw_emotion
from moodarchive.emotions.taxonomy import EMOTIONS
from pipelines.demo.drawn_samples import Drawing, draw_samples
from pipelines.demo.made_archive import Caption
from pipelines.demo.scenes.scene import DRAWN_CONTEXTS, DRAWN_EMOTIONS, Scene, draw_scene

SIZE = (64, 48)


def test_every_emotion_is_one_scene_or_a_pair_of_two_that_no_other_has() -> None:
    assert {*DRAWN_EMOTIONS, *MIXED} == set(EMOTIONS) and not MIXED.keys() & set(DRAWN_EMOTIONS)
    assert len(set(MIXED.values())) == len(MIXED)
    assert all(large != small and {large, small} <= set(DRAWN_EMOTIONS) for large, small in MIXED.values())


@pytest.mark.parametrize("context", DRAWN_CONTEXTS)
def test_a_mixed_picture_holds_the_smaller_scene_in_a_corner_of_the_larger(context: str) -> None:
    for emotion, (first, second) in MIXED.items():
        seed = 7 + SEEDS_APART * EMOTIONS.index(emotion)
        large, small = draw_scene(first, context, seed, SIZE), draw_scene(second, context, seed, (32, 24))
        found, picture = draw_emotion(emotion, context, 7, SIZE), np.asarray(large.image).copy()
        drawn = np.asarray(found.image)
        corners = [(y, x) for y in (0, 24) for x in (0, 32)]
        inside = [(y, x) for y, x in corners if np.array_equal(drawn[y : y + 24, x : x + 32], np.asarray(small.image))]
        assert len(inside) == 1
        y, x = inside[0]
        picture[y : y + 24, x : x + 32] = np.asarray(small.image)
        assert np.array_equal(drawn, picture)
        assert found.emotion == emotion and large.title in found.title
        assert set(found.stimuli[:2]) <= set(large.stimuli) and found.stimuli[2] in small.stimuli


def test_equal_seeds_give_equal_pictures_and_no_two_emotions_share_one() -> None:
    again = [draw_emotion(emotion, "natural_scenery", 3, SIZE).image.tobytes() for emotion in EMOTIONS]
    assert again == [draw_emotion(emotion, "natural_scenery", 3, SIZE).image.tobytes() for emotion in EMOTIONS]
    assert len(set(again)) == len(EMOTIONS)


def _captioned(scene: Scene, rng: object) -> Caption:
    return Caption(summary=scene.title, stimuli=scene.stimuli, assessment=scene.emotion)


def test_samples_of_all_cells_bear_their_own_emotion() -> None:
    drawing = Drawing(split="train", first_seed=0, per_cell=1, size=SIZE)
    made = draw_samples(drawing, _captioned, 1, cells=CELLS, draw=draw_emotion)
    assert [(one.emotion, one.context) for one in made] == list(CELLS)
    assert all(one.caption.assessment == one.emotion for one in made)
