"""A person's mistake in the training settings is told before the first step, in one line, without a traceback."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from moodarchive.errors import ConfigError, StorageFullError
from moodarchive.settings import load
from moodarchive.storage.store import Store
from pipelines.model.training import run_training
from tests.making import sealed_archive
from tests.train.small import small_settings, tiny_clip
from train.loop import train
from train.saving import checkpoint
from train.settings import TrainSettings


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = Store(str(tmp_path_factory.mktemp("archive")))
    sealed_archive(store)
    return store.root


def _never(*given: Any) -> None:
    raise AssertionError(f"a step was done: {given}")


def test_a_loss_without_any_term_is_refused() -> None:
    text = "[loss]\nfull = 0\nshort = 0\nfine_grained = 0\ntransport = 0\n"
    with pytest.raises(ConfigError, match=r"all terms are switched off; remedy: a weight above 0"):
        load(TrainSettings, text, "train.toml")


def test_an_unknown_shard_set_is_a_mistake_of_the_settings(root: str, tmp_path: Path) -> None:
    settings = small_settings("local-dir:/nowhere", tmp_path, data={"sets": ["tarin"]})
    with pytest.raises(ConfigError, match=r"no shard set is called tarin; legal: train, "):
        train(settings, root, _never)


def test_a_misspelt_model_is_told_its_nearest(root: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.name = 'ViT-B-61'.*did you mean 'ViT-B-16'\?"):
        train(small_settings("ViT-B-61", tmp_path), root, _never)


def test_an_output_that_cannot_be_written_is_told_before_the_first_step(root: str, tmp_path: Path) -> None:
    model = tiny_clip(tmp_path / "clip")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigError, match=r"file/out cannot be written to: .*; remedy: another folder as output"):
        train(small_settings(model, tmp_path / "file" / "out"), root, _never)


def test_a_disk_without_room_for_a_checkpoint_is_told_before_the_first_step(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_clip(tmp_path / "clip")
    real = checkpoint.disk_usage(str(tmp_path))
    monkeypatch.setattr(checkpoint, "disk_usage", lambda _: real._replace(free=30_000_000))
    with pytest.raises(StorageFullError, match=r"a checkpoint takes 0.04 GB, .* has 0.03 GB free; remedy"):
        train(small_settings(model, tmp_path / "out"), root, _never)


def test_only_the_first_of_torchruns_ranks_talks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "train.toml"
    config.write_text('[model]\nname = "ViT-B-16"\npretrained = ""\n')
    told = {}
    for number in ("0", "1"):
        monkeypatch.setenv("RANK", number)
        shown = io.StringIO()
        with pytest.raises(ConfigError, match="no archive"):
            run_training(str(config), "", Console(file=shown))
        told[number] = shown.getvalue()
    assert "random weights" in told["0"] and told["1"] == ""
