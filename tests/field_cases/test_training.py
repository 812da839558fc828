"""Settings of training jobs as people write them, as in the field cases."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from moodarchive.errors import ConfigError, StageError
from moodarchive.models.torch_compat import import_torchvision_safely
from moodarchive.settings import load
from moodarchive.storage.store import Store
from tests.field_cases.cases import case, ids, needs_cases, rows
from tests.making import sealed_archive
from tests.train.small import tiny_clip
from train.loop import train
from train.model.towers import open_towers
from train.settings import ModelSettings, TrainSettings

pytestmark = needs_cases

ARCHITECTURES = rows("training/architectures.csv")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a small model and a small archive under relative names."""
    tiny_clip(tmp_path / "checkpoint")
    sealed_archive(Store(str(tmp_path / "archive")))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _settings(name: str) -> TrainSettings:
    text = case(f"training/{name}").read_text()
    return load(TrainSettings, text, name)


def _run(name: str, start: str = "") -> Store:
    return train(_settings(name), "archive", lambda report: None, start)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=ids(ARCHITECTURES, "name"))
def test_architectures(architecture: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    import_torchvision_safely()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    settings = ModelSettings(name=architecture["name"], pretrained=architecture["pretrained"])
    if architecture["right"] == "taken":
        assert open_towers(settings).context == 248
        return
    with pytest.raises(ConfigError, match=r"keeps its text tower apart.*cannot be trained.*remedy"):
        open_towers(settings)


@pytest.mark.usefixtures("here")
def test_weights_that_need_quickgelu() -> None:
    with pytest.raises(ConfigError, match=r"'ViT-B-16' has another activation.*remedy: 'ViT-B-16-quickgelu'"):
        _run("quickgelu.toml")


def test_a_file_of_248_positions(here: Path) -> None:
    import_torchvision_safely()
    import open_clip
    import torch
    from safetensors.torch import save_file

    weights = {
        name: tensor.contiguous() for name, tensor in open_clip.create_model("ViT-S-32-alt").state_dict().items()
    }
    table = torch.randn(248, weights["positional_embedding"].shape[1])
    save_file({**weights, "positional_embedding": table}, here / "long.safetensors")
    towers = open_towers(_settings("long_positions.toml").model)
    assert torch.equal(towers.clip.positional_embedding, table)
    save_file({**weights, "positional_embedding_res": table}, here / "long.safetensors")
    with pytest.raises(ConfigError, match="positional_embedding_res"):
        open_towers(_settings("long_positions.toml").model)


def test_the_remedy_for_a_loss_that_is_not_finite_works(here: Path) -> None:
    with pytest.raises(StageError, match=r"not finite.*remedy: another output") as stopped:
        _run("nan_first.toml")
    below = int(re.findall(r"--from a checkpoint below (\d{8})", str(stopped.value))[0])
    text = case("training/nan_smaller_rate.toml").read_text()
    sound = [folder for folder in (here / "out_nan" / "checkpoints").glob("0*") if int(folder.name) < below]
    for number, checkpoint in enumerate(["", *map(str, sound)]):
        elsewhere = load(TrainSettings, text.replace('"out_nan"', f'"out_{number}"'), "smaller.toml")
        train(elsewhere, "archive", lambda report: None, checkpoint)
        assert (here / f"out_{number}" / "model").is_dir()


def test_two_runs_have_two_identities_and_a_resumed_one_keeps_its_own(
    here: Path, monkeypatch: pytest.MonkeyPatch, finish_wandb: Callable[[], None]
) -> None:

    def identities() -> set[str]:
        return {path.name.rpartition("-")[2] for path in here.rglob("wandb/offline-run-*")}

    for count, name in enumerate(("first", "second"), start=1):
        (here / name).mkdir()
        os.symlink(here / "checkpoint", here / name / "checkpoint")
        sealed_archive(Store(str(here / name / "archive")))
        monkeypatch.chdir(here / name)
        _run("wandb.toml")
        finish_wandb()
        assert len(identities()) == count
    (here / "second" / "out" / "model").rename(here / "second" / "model")
    _run("wandb.toml")
    finish_wandb()
    assert len(identities()) == 2


@pytest.mark.usefixtures("here")
def test_a_tracker_folder_that_cannot_be_made() -> None:
    with pytest.raises(ConfigError, match=r"trackers\.tensorboard = '/proc/nope' cannot be written to: .*; remedy"):
        _run("tracker_folder_unwritable.toml")
