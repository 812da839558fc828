"""However its owner ends, the reaper leaves nothing of its command behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipelines.servers import process_reaper

FAMILY = (
    "import subprocess, sys, time; "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True); "
    "open(sys.argv[1], 'w').close(); time.sleep(60)"
)


def start_reaped(folder: Path) -> tuple["subprocess.Popen[bytes]", list[psutil.Process]]:
    """A reaper, with its command and the command's child in a session of its own."""
    ready = folder / "ready"
    process = subprocess.Popen(
        [sys.executable, process_reaper.__file__, "1.0", sys.executable, "-c", FAMILY, str(ready)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    while not ready.exists():
        assert process.poll() is None
        time.sleep(0.02)
    return process, psutil.Process(process.pid).children(recursive=True)


def all_gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=5)[1]


@pytest.mark.parametrize("end", ["the pipe closes", "SIGTERM"])
def test_everything_ends_with_the_owner(end: str, tmp_path: Path) -> None:
    process, family = start_reaped(tmp_path)
    assert len(family) == 3
    if end == "SIGTERM":
        process.terminate()
    else:
        assert process.stdin is not None
        process.stdin.close()
    process.wait(10)
    assert all_gone(family)


def test_an_owner_that_is_killed_closes_the_pipe(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [
            sys.executable, "-c",
            "import subprocess, sys, time; "
            "subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True); time.sleep(60)",
            sys.executable, process_reaper.__file__, "1.0", sys.executable, "-c", FAMILY, str(tmp_path / "ready"),
        ]
    )  # fmt: skip
    while not (tmp_path / "ready").exists():
        time.sleep(0.02)
    family = psutil.Process(owner.pid).children(recursive=True)
    assert len(family) == 4
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    assert all_gone(family)


def test_a_guardian_whose_visible_process_is_killed_still_ends_everything(tmp_path: Path) -> None:
    process, family = start_reaped(tmp_path)
    process.kill()
    process.wait()
    assert all_gone(family)


def test_the_command_dies_with_a_guardian_that_is_killed_itself(tmp_path: Path) -> None:
    process, family = start_reaped(tmp_path)
    guarding, command, child = family
    try:
        guarding.kill()
        assert all_gone([guarding, command])
        assert process.wait(10) != 0
    finally:
        child.kill()


def test_the_status_of_the_command_is_handed_on() -> None:
    command = [sys.executable, process_reaper.__file__, "1.0"]
    assert subprocess.run([*command, "false"], stdin=subprocess.PIPE, check=False).returncode == 1
    missing = subprocess.run([*command, "/no/such/python"], stdin=subprocess.PIPE, check=False, capture_output=True)
    assert missing.returncode == process_reaper.NO_COMMAND
    assert b"/no/such/python cannot be started" in missing.stderr
