"""What was started in a neutral folder ends with its owner, and the folder with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from moodarchive.errors import StageError
from moodarchive.running.neutral_folder import neutral_folder, start_ray_in, working_in

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


@pytest.mark.parametrize("late", [0, 2, 3])
def test_a_ray_that_came_up_too_late_is_ended_and_started_again(late: int) -> None:
    children: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        children.append(subprocess.Popen(["/bin/sleep", "600"]))
        if len(children) <= late:
            # as ray.init says it; a core that is so busy cannot be had in a test
            raise Exception("The current node timed out during startup. This could happen because")

    with neutral_folder() as folder:
        if late == 3:
            with pytest.raises(StageError, match=r"within 30 s, 3 times.*remedy: run the command again"):
                start_ray_in(folder, start)
        else:
            start_ray_in(folder, start)
            assert children.pop().poll() is None, "the Ray that is in time lives on"
        assert [child.wait(10) for child in children] == [-signal.SIGKILL] * late


def test_another_mistake_of_ray_s_is_not_tried_again() -> None:
    calls: list[int] = []

    def start() -> None:
        calls.append(1)
        raise ValueError("no such cluster")

    with neutral_folder() as folder, pytest.raises(ValueError, match="no such cluster"):
        start_ray_in(folder, start)
    assert calls == [1]
