"""Runs that are killed, interrupted, doubled or starved of disk end as if nothing had happened."""

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from filter.score import score_stage
from moodarchive.errors import StageError
from moodarchive.storage.store import Store
from pipelines.runner.cluster import Cluster
from pipelines.runner.execute import run_stages
from pipelines.settings import read_settings
from tests.pipelines.running import (
    FLAGS,
    archive_digest,
    family,
    moodarchive,
    signal_group,
    start,
    survivors,
    wait_for_file,
)

pytestmark = pytest.mark.slow


def _killed_and_rerun(root: Path, after_s: float) -> str:
    process = start("demo", "--root", str(root), *FLAGS)
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        signal_group(process, signal.SIGKILL)
    process.communicate()
    done = moodarchive("demo", "--root", str(root), *FLAGS)
    assert done.returncode == 0, done.stdout + done.stderr
    return archive_digest(root)


def test_a_killed_run_goes_on_to_the_same_bytes(undisturbed: tuple[str, float], tmp_path: Path) -> None:
    digest, seconds = undisturbed
    after_s = random.Random(0).uniform(0.2, 0.95) * seconds
    assert _killed_and_rerun(tmp_path / "archive", after_s) == digest


@pytest.mark.torture
@pytest.mark.parametrize("seed", [1, *range(10, 21)])
def test_kills_at_random_moments(seed: int, undisturbed: tuple[str, float], tmp_path: Path) -> None:
    digest, seconds = undisturbed
    after_s = random.Random(seed).uniform(0.02, 1.0) * seconds
    assert _killed_and_rerun(tmp_path / "archive", after_s) == digest


def test_ctrl_c_ends_with_130_leaves_no_process_and_a_rerun_goes_on(
    undisturbed: tuple[str, float], tmp_path: Path
) -> None:
    root = tmp_path / "archive"
    process = start("demo", "--root", str(root), *FLAGS)
    wait_for_file(root, "images/*.json", process)
    everyone = family(process)
    signal_group(process, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "the same command goes on" in output and "Traceback" not in output
    assert survivors(everyone, within_s=20) == []
    done = moodarchive("demo", "--root", str(root), *FLAGS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert archive_digest(root) == undisturbed[0]


def test_a_second_run_on_the_same_root_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    process = start("demo", "--root", str(root), *FLAGS)
    try:
        wait_for_file(root, "crawl/writer.json", process)
        signal_group(process, signal.SIGSTOP)  # a small run could be at its end before the second one has begun
        second = moodarchive("demo", "--root", str(root), *FLAGS)
        assert second.returncode == 2
        assert "is being written by process" in second.stderr and "Traceback" not in second.stderr
    finally:
        signal_group(process, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB that can grow."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = (
        os.geteuid() == 0
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], check=False, capture_output=True
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=False)


def test_a_full_disk_is_named_and_a_rerun_with_more_room_goes_on(
    small_disk: Path, undisturbed: tuple[str, float]
) -> None:
    root = small_disk / "archive"
    full = moodarchive("demo", "--root", str(root), *FLAGS)
    assert full.returncode == 1, full.stdout + full.stderr
    assert "no space left" in full.stderr and "Traceback" not in full.stderr
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    done = moodarchive("demo", "--root", str(root), *FLAGS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert archive_digest(root) == undisturbed[0]


def test_a_model_that_cannot_be_loaded_ends_the_run_with_one_message(demo_root: Path, tmp_path: Path) -> None:
    config, root = tmp_path / "config.toml", tmp_path / "root"
    config.write_text(
        '[search]\nuser_agent = "test (+https://example.org)"\n[score]\nmodel = "no-such-model"\npretrained = ""\n'
    )
    for folder in ("rounds", "descriptors", "candidates", "items", "images", "safety", "captions"):
        shutil.copytree(demo_root / folder, root / folder)
    stage = score_stage(read_settings(str(config)).score)
    with pytest.raises(StageError, match="score cannot start: the CLIP model 'no-such-model'"), Cluster() as cluster:
        run_stages([stage], Store(str(root)), range(6), cluster)
