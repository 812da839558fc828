"""What was started in a neutral folder ends with its owner, and the folder with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from moodarchive.running.neutral_folder import neutral_folder, working_in

# a child in a session of its own, and its child's child that has left the folder and lost its parent
CHILD = (
    "import subprocess, sys, time; "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], cwd='/', start_new_session=True); "
    "print('started', flush=True); time.sleep(60)"
)
OWNER = f"""
import subprocess, sys, time
from moodarchive.running.neutral_folder import neutral_folder
with neutral_folder() as folder:
    child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], cwd=folder, start_new_session=True, stdout=-1)
    child.stdout.readline()
    print(folder, flush=True)
    time.sleep(60)
"""


def _gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=10)[1]


def test_what_still_runs_at_the_end_of_the_block_is_killed() -> None:
    with neutral_folder() as folder:
        child = subprocess.Popen([sys.executable, "-c", CHILD], cwd=folder, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None and child.stdout.readline()
        family = [psutil.Process(child.pid), *psutil.Process(child.pid).children()]
        assert len(family) == 2
    assert child.wait(5) == -signal.SIGKILL and _gone(family)
    assert not folder.exists()


@pytest.mark.parametrize("whole_group", [True, False])
def test_what_a_killed_owner_started_is_killed(whole_group: bool) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    family = psutil.Process(owner.pid).children(recursive=True)
    assert len(family) == 3, "the reaper, the child and the child's child"
    os.killpg(owner.pid, signal.SIGKILL) if whole_group else owner.kill()
    owner.wait()
    assert _gone(family)
    assert not folder.exists()


def test_a_process_elsewhere_is_left_alone() -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with neutral_folder():
            pass
        time.sleep(0.3)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_the_users_folder_is_stood_in_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with neutral_folder() as folder, working_in(folder):
        assert Path.cwd() == folder and list(folder.iterdir()) == []
    assert Path.cwd() == tmp_path
