"""A run goes on from its newest whole checkpoint, leaves nothing half written, and meets no other run in its folder."""

import shutil
from pathlib import Path

import pytest

from moodarchive.errors import ConfigError
from moodarchive.storage.store import DRAFT_SUFFIX, Store
from tests.making import sealed_archive
from tests.train.small import log_of, small_settings, tiny_clip
from train.loop import StepReport, train


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = Store(str(tmp_path_factory.mktemp("archive")))
    sealed_archive(store)
    return store.root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


def test_damaged_checkpoints_are_passed_over_and_drafts_of_killed_runs_removed(
    root: str, model: str, tmp_path: Path
) -> None:
    settings = small_settings(model, tmp_path)
    train(settings, root, lambda report: None)
    expected = log_of(tmp_path)
    folder = tmp_path / "checkpoints"
    (folder / "00000006" / "state.json").write_text("{")
    (folder / "00000004" / "optimiser.pt").unlink()
    draft = folder / "00000008" / f"model.safetensors.host.1.2{DRAFT_SUFFIX}"
    draft.parent.mkdir()
    draft.write_bytes(b"half")
    steps: list[int] = []
    train(settings, root, lambda report: steps.append(report.step))
    assert steps == [3, 4, 5, 6]
    assert log_of(tmp_path) == expected
    assert not draft.exists()


def test_two_runs_that_begin_in_one_folder_do_not_mix(root: str, model: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    train(small_settings(model, other, loop={"seed": 7}, data={"epochs": 1}), root, lambda report: None)

    def meanwhile(report: StepReport) -> None:
        if report.step == 1:
            shutil.copytree(other / "checkpoints", tmp_path / "one" / "checkpoints", dirs_exist_ok=True)

    with pytest.raises(ConfigError, match=r"one/checkpoints is of another run: .*loop.seed was 7, is 0"):
        train(small_settings(model, tmp_path / "one"), root, meanwhile)
