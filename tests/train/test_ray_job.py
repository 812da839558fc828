"""Under Ray Train a lost worker costs nothing but the steps since the last checkpoint."""

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from moodarchive.errors import ConfigError
from moodarchive.storage.store import Store
from tests.making import sealed_archive
from tests.train.small import log_of, small_settings, tiny_clip
from train.loop import train
from train.ray_job import train_on_ray

pytestmark = pytest.mark.torture


def test_a_job_goes_on_by_itself_after_a_worker_was_killed(tmp_path: Path) -> None:
    root = str(tmp_path / "archive")
    sealed_archive(Store(root))
    model = tiny_clip(tmp_path / "clip")
    undisturbed = small_settings(model, tmp_path / "undisturbed", data={"epochs": 8})
    train(undisturbed, root, lambda report: None)
    settings = small_settings(
        model, tmp_path / "ray", data={"epochs": 8}, ray={"workers": 2, "scratch": str(tmp_path / "scratch")}
    )
    killer = threading.Thread(target=_kill_a_rank, args=(tmp_path / "ray",), daemon=True)
    killer.start()
    train_on_ray(settings, root)
    assert not killer.is_alive()
    found, expected = log_of(tmp_path / "ray"), log_of(tmp_path / "undisturbed")
    assert [line["keys"] for line in found] == [line["keys"] for line in expected]


def test_a_mistake_is_told_as_without_ray(tmp_path: Path) -> None:
    sealed_archive(Store(str(tmp_path / "archive")))
    settings = small_settings(
        "local-dir:/nowhere", tmp_path / "out", ray={"workers": 1, "restarts": 0, "scratch": str(tmp_path / "scratch")}
    )
    with pytest.raises(ConfigError, match=r"model.name = 'local-dir:/nowhere'.*remedy"):
        train_on_ray(settings, str(tmp_path / "archive"))


def _kill_a_rank(output: Path) -> None:
    """Kills one training worker as soon as the first checkpoint stands."""
    while not list(output.glob("checkpoints/*/state.json")):
        time.sleep(0.05)
    for process in psutil.Process().children(recursive=True):
        if "RayTrainWorker" in " ".join(process.cmdline()):
            os.kill(process.pid, signal.SIGKILL)
            return
