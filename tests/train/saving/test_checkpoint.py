"""A run goes on from its newest whole checkpoint, leaves nothing half written, and meets no other run in its folder."""

import re
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from moodarchive.errors import ConfigError, RootInUseError, StageError, StorageFullError
from moodarchive.storage.store import DRAFT_SUFFIX, Store
from tests.making import sealed_archive
from tests.train.small import log_of, small_settings, tiny_clip
from train.loop import StepReport, train
from train.saving import checkpoint
from train.saving.checkpoint import run_identity


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


def test_training_goes_on_while_a_checkpoint_is_written_and_the_checkpoint_is_of_its_own_step(
    root: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(small_settings(model, tmp_path / "plain", loop={"keep_checkpoints": 9}), root, lambda report: None)
    write, went_on = checkpoint._write, threading.Event()
    told: list[int] = []

    def write_late(*given: Any, **named: Any) -> None:
        assert threading.current_thread() is not threading.main_thread()
        if given[2].step == 2:
            assert went_on.wait(30)
        write(*given, **named)

    def tell(report: StepReport) -> None:
        told.append(report.step)
        if report.step == 3:
            assert not (tmp_path / "aside" / "checkpoints" / "00000002" / "state.json").exists()
            went_on.set()

    monkeypatch.setattr(checkpoint, "_write", write_late)
    train(small_settings(model, tmp_path / "aside", loop={"keep_checkpoints": 9}), root, tell)
    assert told == [1, 2, 3, 4, 5, 6]
    for step in (2, 4, 6):
        for name in ("model.safetensors", "optimiser.pt"):
            plain, aside = (tmp_path / run / "checkpoints" / f"{step:08d}" / name for run in ("plain", "aside"))
            assert aside.read_bytes() == plain.read_bytes()


def test_a_checkpoint_that_cannot_be_written_ends_the_run_with_its_reason(
    root: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = checkpoint._write

    def full_at_four(*given: Any, **named: Any) -> None:
        if given[2].step == 4:
            raise StorageFullError("the disk is full; remedy: free some space")
        write(*given, **named)

    settings = small_settings(model, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write", full_at_four)
        with pytest.raises(StorageFullError, match="the disk is full; remedy"):
            train(settings, root, lambda report: None)
    assert [line["step"] for line in log_of(tmp_path)] == [1, 2]
    train(settings, root, lambda report: None)
    assert [line["step"] for line in log_of(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_two_runs_that_begin_in_one_folder_do_not_mix(root: str, model: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    train(small_settings(model, other, loop={"seed": 7}, data={"epochs": 1}), root, lambda report: None)

    def meanwhile(report: StepReport) -> None:
        if report.step == 1:
            shutil.copytree(other / "checkpoints", tmp_path / "one" / "checkpoints", dirs_exist_ok=True)

    with pytest.raises(ConfigError, match=r"one/checkpoints is of another run: .*loop.seed was 7, is 0"):
        train(small_settings(model, tmp_path / "one"), root, meanwhile)


def test_a_second_run_into_the_same_folder_is_refused_while_the_first_one_lives(
    root: str, model: str, tmp_path: Path
) -> None:
    settings = small_settings(model, tmp_path, data={"epochs": 1})
    refusals: list[RootInUseError] = []

    def meanwhile(report: StepReport) -> None:
        with pytest.raises(
            RootInUseError, match=r"is being written by process \d+.*remedy: wait for that run"
        ) as refused:
            train(settings, root, lambda report: None)
        refusals.append(refused.value)

    train(settings, root, meanwhile)
    assert len(refusals) == len(log_of(tmp_path))
    train(settings, root, lambda report: None)


def test_weights_that_are_not_finite_are_never_saved(root: str, model: str, tmp_path: Path) -> None:
    settings = small_settings(model, tmp_path, loop={"checkpoint_steps": 1}, optimiser={"learning_rate": 1e30})
    with pytest.raises(StageError, match=r"not finite.*remedy: another output .* --from a checkpoint below 0000000\d"):
        train(settings, root, lambda report: None)
    from safetensors.torch import load_file

    for weights in (tmp_path / "checkpoints").glob("*/model.safetensors"):
        assert all(tensor.isfinite().all() for tensor in load_file(weights).values())


@pytest.mark.parametrize("goes_on", [False, True])
def test_the_remedy_that_a_loss_that_is_not_finite_names_works(
    root: str, model: str, tmp_path: Path, goes_on: bool
) -> None:
    """A rate that spoils weights in one step leaves them finite, and saved; no later step gets a loss from them."""
    start = ""
    if goes_on:
        train(small_settings(model, tmp_path / "sound", data={"epochs": 1}), root, lambda report: None)
        start = str(max((tmp_path / "sound" / "checkpoints").glob("0*")))
    spoils = {"learning_rate": 1e6, "warmup_steps": 0}
    bad = small_settings(model, tmp_path / "bad", loop={"checkpoint_steps": 1}, optimiser=spoils)
    with pytest.raises(StageError, match=r"the loss is not finite at step (\d+)") as stopped:
        train(bad, root, lambda report: None, start)
    below = int(re.findall(r"--from a checkpoint below (\d{8})", str(stopped.value))[0])
    folders = sorted((tmp_path / "bad" / "checkpoints").glob("0*"))
    assert folders and int(folders[-1].name) == below, "the last checkpoint is the one that the message excludes"
    smaller = {"learning_rate": 1e-5, "warmup_steps": 0}
    for number, start in enumerate(["", *(str(folder) for folder in folders if int(folder.name) < below)]):
        settings = small_settings(model, tmp_path / f"good-{number}", data={"epochs": 1}, optimiser=smaller)
        train(settings, root, lambda report: None, start)
    with pytest.raises(StageError, match=r"at step 0 .*from the start"):
        train(
            small_settings(model, tmp_path / "again", data={"epochs": 1}, optimiser=smaller),
            root, lambda report: None, str(folders[-1]),
        )  # fmt: skip


def test_a_new_run_goes_on_from_another_ones_weights_with_other_settings(root: str, model: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(small_settings(model, first, data={"epochs": 1}), root, lambda report: None)
    start = max((first / "checkpoints").glob("0*"))
    changed = small_settings(model, second, data={"epochs": 1}, optimiser={"learning_rate": 1e-5, "warmup_steps": 2})

    def stop(report: StepReport) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        train(changed, root, stop, str(start))
    train(changed, root, lambda report: None, str(start))
    card = (second / "model" / "README.md").read_text()
    assert f"It began with the weights of step {int(start.name)} of a run on" in card
    assert "optimiser.learning_rate was 0.001, is 1e-05" in card
    assert log_of(second)[0]["loss"] == pytest.approx(log_of(first)[-1]["loss"], rel=0.2)
    assert log_of(second)[0]["loss"] < log_of(first)[0]["loss"]
    assert "It began" not in (first / "model" / "README.md").read_text()


@pytest.mark.parametrize("path", ["nowhere", "first/checkpoints", "first/checkpoints/00000099"])
def test_a_start_that_is_no_checkpoint_is_named(path: str, root: str, model: str, tmp_path: Path) -> None:
    (tmp_path / "first" / "checkpoints").mkdir(parents=True)
    with pytest.raises(
        ConfigError, match=r"--from .* is no whole checkpoint; remedy: a folder OUTPUT/checkpoints/NUMBER"
    ):
        train(small_settings(model, tmp_path / "out"), root, lambda report: None, str(tmp_path / path))


def test_a_run_has_one_identity_and_two_runs_have_two(tmp_path: Path) -> None:
    one, other = Store(str(tmp_path / "one")), Store(str(tmp_path / "other"))
    assert run_identity(one) == run_identity(one)
    assert run_identity(one) != run_identity(other)
