"""The demo trains on what it sealed, measures before and after, and does neither twice."""

import io
import random
from pathlib import Path

import pytest
from rich.console import Console

from moodarchive.storage.store import Store
from pipelines.demo import learning
from pipelines.demo.drawn_samples import Drawing, draw_samples
from pipelines.demo.learning import describe, learn, training_settings
from pipelines.demo.made_archive import Caption, seal_made
from pipelines.demo.scenes.scene import Scene

pytest.importorskip("torch")


def _captioned(scene: Scene, rng: random.Random) -> Caption:
    return Caption(summary=f"{scene.title}.", stimuli=scene.stimuli, assessment=f"It evokes {scene.emotion}.")


def _archive(root: Path, first_seed: int) -> Store:
    store = Store(str(root))
    drawings = (("train", first_seed), ("heldout", 90))
    seal_made(
        store,
        [
            made
            for split, seed in drawings
            for made in draw_samples(Drawing(split=split, first_seed=seed, per_cell=1, size=(96, 96)), _captioned, 1)
        ],
    )
    return store


def test_a_sealed_archive_is_trained_on_once_and_anew_when_its_pictures_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "STEPS", 2)
    console = Console(file=io.StringIO())
    store = _archive(tmp_path, first_seed=50)
    first = learn(store, console)
    assert (first.steps, first.pictures, first.heldout) == (2, 24, 24)
    named, *retrieved = first.changes
    assert named.figure == "emotion named, of 6" and named.chance == pytest.approx(100 / 6)
    assert named.before >= 3 * named.chance, "the checkpoint knows the drawn emotions"
    assert [change.chance for change in retrieved] == pytest.approx([100 / 24, 500 / 24] * 2)
    assert "24 held-out pictures" in "\n".join(describe(first))
    weights = tmp_path / "model" / "open_clip_model.safetensors"
    trained = weights.read_bytes(), weights.stat().st_mtime_ns
    assert learn(store, console) == first
    assert (weights.read_bytes(), weights.stat().st_mtime_ns) == trained
    second = learn(_archive(tmp_path, first_seed=60), console)
    assert second.seal != first.seal
    assert weights.read_bytes() != trained[0]


def test_an_archive_of_fewer_pictures_than_a_batch_is_trained_on_whole() -> None:
    small, large = training_settings(7).data, training_settings(330).data
    assert (small.batch, small.epochs) == (7, 60)
    assert (large.batch, large.epochs * (330 // large.batch)) == (32, 60)
