"""The predictor learns what can be told apart, is calibrated on held-out rows, and reads archives and EmoSet."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moodarchive.diffusion.predictor import open_predictor
from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.errors import ConfigError
from moodarchive.storage.store import Store
from tests.making import sealed_archive, textured
from train.emoeditor.labelled import SquashedPictures, open_labelled
from train.emoeditor.predictor import train_predictor
from train.emoeditor.settings import PredictorSettings


def _settings(output: Path, **given: Any) -> PredictorSettings:
    schedule = {"steps": 30, "batch": 16, "learning_rate": 5e-3, "warmup_steps": 2, "decay_steps": 15, "average": 0}
    values = {
        "output": str(output), "hidden_sizes": (8, 16), "depths": (1, 1), "embedding_size": 8, "side": 32,
        "schedule": schedule, "checkpoint_steps": 10, "threads": 1, **given,
    }  # fmt: skip
    return PredictorSettings.model_validate(values)


def _colours(count: int, seed: int) -> SquashedPictures:
    """Two classes by their colour, disturbed."""
    draw = np.random.default_rng(seed)
    classes = [int(draw.integers(2)) * 6 for _ in range(count)]  # amusement and fear
    means = np.array([[230, 200, 60] if one == 0 else [30, 30, 70] for one in classes])[:, None, None, :]
    values = (means + draw.normal(0, 25, (count, 32, 32, 3))).clip(0, 255).astype(np.uint8)
    return SquashedPictures(name=f"colours {seed}", values=values, classes=classes)


def test_what_can_be_told_apart_is_learnt_and_a_killed_run_has_the_same_bits(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(report: Any) -> None:
        if report.step == 15:
            raise Killed

    pictures, held_out = _colours(64, 1), _colours(40, 2)
    report = train_predictor(_settings(tmp_path / "one"), pictures, held_out, lambda report: None)
    assert report.accuracy > 0.9 and report.rows == 40
    predictor = open_predictor(report.folder)
    assert predictor.temperature == report.temperature
    found = predictor.probabilities(held_out.pixels(range(40)).float() / 255)
    right = (found.argmax(1) == torch.tensor(list(held_out.classes))).float()
    assert float(right.mean()) == pytest.approx(report.accuracy)
    with pytest.raises(Killed):
        train_predictor(_settings(tmp_path / "two"), pictures, held_out, kill)
    again = train_predictor(_settings(tmp_path / "two"), pictures, held_out, lambda report: None)
    for name in ("model.safetensors", "config.json"):
        assert (again.folder / name).read_bytes() == (report.folder / name).read_bytes()


def test_an_archives_emotions_become_mikels_eight(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "archive"))
    sealed_archive(store)
    pictures, held_out = open_labelled(_settings(tmp_path / "out", archive=store.root))
    assert len(pictures) > 0 and set(pictures.classes) <= set(range(8))
    assert pictures.pixels([0]).shape == (1, 3, 32, 32)
    again, _ = open_labelled(_settings(tmp_path / "out", archive=store.root))
    assert list(again.classes) == list(pictures.classes) and again.pixels([0]).equal(pictures.pixels([0]))
    with pytest.raises(ConfigError, match="no pictures are named; remedy"):
        open_labelled(_settings(tmp_path / "out"))
    del held_out


def test_emosets_every_twentieth_picture_is_held_out(tmp_path: Path) -> None:
    top = tmp_path / "emoset"
    (top / "image").mkdir(parents=True)
    (top / "info.json").write_text(
        json.dumps({"emotion": {"label2idx": {name: index for index, name in enumerate(MIKELS_EIGHT)}}})
    )
    entries = []
    for number in range(42):
        name = MIKELS_EIGHT[number % 8]
        textured(40, 32, seed=number).save(top / "image" / f"{number}.jpg")
        entries.append([name, f"image/{number}.jpg", "none"])
    for split, rows in (("train", entries[:30]), ("val", entries[30:36]), ("test", entries[36:])):
        (top / f"{split}.json").write_text(json.dumps(rows))
    (top / "image" / "3.jpg").write_bytes(b"broken")
    pictures, held_out = open_labelled(_settings(tmp_path / "out", emoset=str(top)))
    assert list(held_out.classes) == [0, 4, 0]  # 0, 20, 40
    assert len(pictures) == 38
