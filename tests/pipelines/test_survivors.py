"""No process outlives its run, however early the run is killed."""

import os
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.pipelines.running import COMMAND, FLAGS

pytestmark = [pytest.mark.slow, pytest.mark.alone]
KILLED_WITHIN_S = 5.0
GONE_WITHIN_S = 10.0
VARIABLE = "MOODARCHIVE_TEST_RUN"


def _left_by(mark: str, known: Sequence[psutil.Process]) -> list[psutil.Process]:
    """What lives of a run: all that was known as its descendant, and all that bears its mark."""
    living = {process for process in known if process.is_running() and process.status() != psutil.STATUS_ZOMBIE}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(VARIABLE) == mark and process.status() != psutil.STATUS_ZOMBIE:
                living.add(process)
    return sorted(living, key=lambda process: process.pid)


def _described(processes: Sequence[psutil.Process]) -> list[str]:
    lines = []
    for process in processes:
        with suppress(psutil.Error):
            lines.append(f"{process.pid} child of {process.ppid()}: {' '.join(process.cmdline())[:150]}")
    return lines


def _survivors(root: Path, after_s: float, whole_group: bool) -> list[str]:
    mark = uuid.uuid4().hex
    run = subprocess.Popen(
        [*COMMAND, "demo", "--root", str(root), *FLAGS], env={**os.environ, VARIABLE: mark},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    known: set[psutil.Process] = set()
    until = time.monotonic() + after_s
    while time.monotonic() < until:
        known.update(psutil.Process(run.pid).children(recursive=True))
        time.sleep(0.05)
    assert run.poll() is None
    if whole_group:
        os.killpg(run.pid, signal.SIGKILL)
    else:
        run.kill()
    run.wait()
    until = time.monotonic() + GONE_WITHIN_S
    while (left := _left_by(mark, list(known))) and time.monotonic() < until:
        time.sleep(0.2)
    return _described(left)


@pytest.mark.parametrize("whole_group", [True, False], ids=["the process group", "the run alone"])
@pytest.mark.parametrize("seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.torture) for seed in range(3, 20))])
def test_a_run_killed_in_its_first_seconds_leaves_no_process(seed: int, whole_group: bool, tmp_path: Path) -> None:
    after_s = random.Random(seed).uniform(0.0, KILLED_WITHIN_S)
    assert _survivors(tmp_path / "archive", after_s, whole_group) == []


def test_a_run_killed_while_its_stages_work_leaves_no_process(tmp_path: Path) -> None:
    assert _survivors(tmp_path / "archive", 15.0, whole_group=False) == []
