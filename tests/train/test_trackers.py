"""TensorBoard and W&B hold what the run's own log holds, and a resumed run goes on where it stood."""

from collections.abc import Callable
from pathlib import Path

import pytest

from moodarchive.errors import ConfigError
from moodarchive.storage.store import Store
from tests.making import sealed_archive
from tests.train.small import log_of, small_settings, tiny_clip
from train.loop import StepReport, train
from train.settings import TrackerSettings
from train.trackers import trackers


def _scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_tensorboard_holds_each_step_once_after_a_resumption(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "archive"))
    sealed_archive(store)
    model = tiny_clip(tmp_path / "clip")
    board = tmp_path / "board"
    settings = small_settings(model, tmp_path, data={"epochs": 1}, trackers={"tensorboard": str(board)})

    def stop(report: StepReport) -> None:
        if report.step == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(settings, store.root, stop)
    train(settings, store.root, lambda report: None)
    found = _scalars(board)
    assert set(found) == {f"train/{name}" for name in (
        "loss", "full", "short", "fine_grained", "transport", "samples_per_second", "waiting_for_data", "replaced",
    )}  # fmt: skip
    logged = log_of(tmp_path)
    assert [step for step, _ in found["train/loss"]] == [line["step"] for line in logged]
    assert [value for _, value in found["train/loss"]] == pytest.approx([line["loss"] for line in logged], rel=1e-5)


def test_weights_and_biases_keeps_a_run_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finish_wandb: Callable[[], None]
) -> None:
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    with trackers(TrackerSettings(wandb="moods"), "0123abcd", {"data": {"batch": 12}}, 0) as track:
        track(1, {"loss": 4.25, "full": 1.5})
        track(2, {"loss": 4.0, "full": 1.25})
    finish_wandb()
    (kept,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    written = _joined(kept.read_bytes())
    for told in (b"train/loss", b"4.25", b"1.25", b"moods", b"batch"):
        assert told in written


def test_a_folder_of_tensorboard_that_cannot_be_written_is_told_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "board", Path("/proc/nope")):
        with (
            pytest.raises(
                ConfigError, match=r"trackers\.tensorboard = '.*' cannot be written to: .*; remedy: another folder"
            ),
            trackers(TrackerSettings(tensorboard=str(folder)), "run", {}, 0),
        ):
            raise AssertionError


def _joined(file: bytes) -> bytes:
    """The records of a file in LevelDB's log format, whose blocks of 32 KiB may end within a record."""
    found = b""
    for start in range(0, len(file), 32_768):
        block, at = file[start : start + 32_768], 0 if start else 7  # the file's own header
        while at + 7 <= len(block) and block[at + 6]:
            end = at + 7 + int.from_bytes(block[at + 4 : at + 6], "little")
            found += block[at + 7 : end]
            at = end
    return found
