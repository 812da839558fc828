"""The shipped demo checkpoint: loads offline and tells drawn scenes it never saw apart."""

import json
import random

import numpy as np
import pytest

from filter.score import ScoreSettings, phrases_of_emotions
from moodarchive.models.clip import ClipEncoder
from pipelines.demo.bundled import CHECKPOINT, CLIP
from pipelines.demo.drawn_samples import CELLS
from pipelines.demo.scenes.scene import DRAWN_EMOTIONS, cell_phrases, draw_scene

pytest.importorskip("torch")

from pipelines.demo.train_checkpoint import TRAINING_SEEDS

PER_CELL = 10
FIRST_SEED = 500_000


@pytest.fixture(scope="module")
def encoder() -> ClipEncoder:
    return ClipEncoder(model=CLIP, threads=2)


@pytest.fixture(scope="module")
def pictures(encoder: ClipEncoder) -> np.ndarray:
    """[240, width], PER_CELL rows for each of CELLS in turn, drawn from seeds outside the training range."""
    assert FIRST_SEED + PER_CELL < TRAINING_SEEDS
    seeds = range(FIRST_SEED, FIRST_SEED + PER_CELL)
    return encoder.images([draw_scene(*cell, seed, (320, 240)).image for cell in CELLS for seed in seeds])


@pytest.fixture(scope="module")
def phrases(encoder: ClipEncoder) -> list[np.ndarray]:
    """The phrases of each of CELLS, embedded."""
    return [encoder.texts(cell_phrases(*cell)) for cell in CELLS]


def _accuracy(pictures: np.ndarray, phrases: list[np.ndarray], cells: int) -> float:
    centres = np.stack([rows.mean(axis=0) for rows in phrases[:cells]])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    nearest = (pictures[: cells * PER_CELL] @ centres.T).argmax(axis=1)
    return float((nearest == np.repeat(np.arange(cells), PER_CELL)).mean())


@pytest.mark.parametrize("cells", [24, 12])
def test_zero_shot_accuracy_is_five_times_chance(pictures: np.ndarray, phrases: list[np.ndarray], cells: int) -> None:
    # The first 12 cells are joy, anger and sadness, the emotions of the demo.
    assert [emotion for emotion, _ in CELLS[:12:4]] == ["joy", "anger", "sadness"]
    assert _accuracy(pictures, phrases, cells) >= 5 / cells


def test_mislabelled_pictures_score_lowest_in_their_cell(encoder: ClipEncoder, pictures: np.ndarray) -> None:
    rng = random.Random(0)
    phrases = phrases_of_emotions(ScoreSettings().templates)
    scores = np.stack([(pictures @ encoder.texts(phrases[name]).T).max(axis=1) for name in DRAWN_EMOTIONS], axis=1)
    true = np.repeat(np.arange(24), PER_CELL)
    labels = true.copy()
    # One picture of each cell takes another emotion's label, in the same context.
    wrong = [cell * PER_CELL for cell in range(24)]
    for row in wrong:
        labels[row] = (true[row] + 4 * rng.randint(1, 5)) % 24
    own = scores[np.arange(len(labels)), labels // 4]
    cut: set[int] = set()
    for cell in range(24):
        members = np.flatnonzero(labels == cell)
        cut.update(members[np.argsort(own[members])][: max(1, len(members) // 5)].tolist())
    assert len(cut.intersection(wrong)) >= 0.8 * len(wrong)


def test_embeddings_have_length_one(encoder: ClipEncoder, pictures: np.ndarray) -> None:
    words = encoder.texts(["a photo of a rainbow", "a text of words that no training text holds"])
    for rows in (pictures, words):
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3)


def test_folder_is_small_enough_to_ship_and_complete() -> None:
    files = {path.name: path.stat().st_size for path in CHECKPOINT.iterdir()}
    assert set(files) == {"open_clip_model.safetensors", "open_clip_config.json", "README.md"}
    assert sum(files.values()) <= 19_500_000
    config = json.loads((CHECKPOINT / "open_clip_config.json").read_text("utf-8"))
    assert set(config) == {"model_cfg", "preprocess_cfg"}
