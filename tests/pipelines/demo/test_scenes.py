"""Drawn scenes: the same on any run, varied within a cell, and true to their words."""

import hashlib
import os
import subprocess
import sys

import imagehash
import numpy as np
import pytest

from pipelines.demo.scenes.scene import DRAWN_CONTEXTS, DRAWN_EMOTIONS, cell_phrases, draw_scene

CELLS = [(emotion, context) for emotion in DRAWN_EMOTIONS for context in DRAWN_CONTEXTS]
DIGEST_ALL_CELLS = """
import hashlib
from pipelines.demo.scenes.scene import DRAWN_CONTEXTS, DRAWN_EMOTIONS, draw_scene
digest = hashlib.sha256()
for emotion in DRAWN_EMOTIONS:
    for context in DRAWN_CONTEXTS:
        scene = draw_scene(emotion, context, 11, (96, 72))
        digest.update(scene.image.tobytes())
        digest.update(repr((scene.title, scene.alt_text, scene.stimuli)).encode())
print(digest.hexdigest())
"""


def test_two_processes_draw_equal_bytes_and_words() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST_ALL_CELLS],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(digests) == 1


def test_drawing_leaves_no_trace_on_the_next_drawing() -> None:
    alone = draw_scene("joy", "urban_scenery", 3, (96, 72)).image.tobytes()
    draw_scene("anger", "natural_scenery", 4, (96, 72))
    assert draw_scene("joy", "urban_scenery", 3, (96, 72)).image.tobytes() == alone


@pytest.mark.parametrize(("emotion", "context"), [("love", "object_classes"), ("fear", "urban_scenery")])
def test_at_most_one_scene_in_a_hundred_has_a_near_duplicate(emotion: str, context: str) -> None:
    hashes = np.array(
        [imagehash.phash(draw_scene(emotion, context, seed, (160, 120)).image).hash.ravel() for seed in range(300)]
    ).astype(np.int32)
    apart = (hashes[:, None] != hashes[None]).sum(axis=2) + np.eye(len(hashes), dtype=np.int32) * 64
    assert (apart.min(axis=1) <= 3).mean() <= 0.01


@pytest.mark.parametrize(("emotion", "context"), CELLS)
def test_title_holds_a_lexicon_phrase_of_its_cell(emotion: str, context: str) -> None:
    for seed in range(5):
        title = draw_scene(emotion, context, seed, (48, 36)).title
        assert any(phrase.casefold() in title.casefold() for phrase in cell_phrases(emotion, context)), title
        assert title[0].isupper()


@pytest.mark.parametrize(("emotion", "context"), CELLS)
def test_words_name_three_different_things_in_a_plain_sentence(emotion: str, context: str) -> None:
    for seed in range(5):
        scene = draw_scene(emotion, context, seed, (48, 36))
        assert (scene.emotion, scene.context) == (emotion, context)
        assert len(set(scene.stimuli)) == 3
        assert all(stimulus == stimulus.strip().rstrip(".") != "" for stimulus in scene.stimuli)
        assert scene.alt_text[0].isupper() and scene.alt_text.endswith(".")


@pytest.mark.parametrize("size", [(333, 501), (96, 96), (640, 150), (16, 16)])
def test_every_cell_draws_at_odd_sizes(size: tuple[int, int]) -> None:
    for emotion, context in CELLS:
        image = draw_scene(emotion, context, 5, size).image
        assert image.size == size and image.mode == "RGB"
        assert image.convert("L").getextrema() != (0, 0)


def test_seed_and_cell_each_change_the_picture() -> None:
    pictures = {
        hashlib.sha256(draw_scene(emotion, context, seed, (96, 72)).image.tobytes()).digest()
        for emotion, context in CELLS
        for seed in range(4)
    }
    assert len(pictures) == 4 * len(CELLS)


def test_unknown_cell_and_tiny_size_are_refused() -> None:
    with pytest.raises(ValueError, match="no drawing for 'envy'"):
        draw_scene("envy", "object_classes", 0)
    with pytest.raises(ValueError, match="no drawing for 'joy' in 'sports'"):
        draw_scene("joy", "sports", 0)
    with pytest.raises(ValueError, match="at least 16 pixels"):
        draw_scene("joy", "object_classes", 0, (15, 200))
