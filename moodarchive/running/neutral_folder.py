"""An empty folder in which a run starts its other processes: they import nothing of the user's and outlive no run.

Ray puts the directory that it is started in first on its workers' search path, before the installed packages. And a
folder of its own marks what a run has started, however the run ends: see orphan_reaper.py.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from moodarchive.errors import StageError
from moodarchive.running.orphan_reaper import kill_all_in

USERS_FOLDER = "MOODARCHIVE_FOLDER"
"""Where Ray's workers of this machine find the folder that relative paths of the settings start from."""
RAY_SYSTEM = {"worker_niceness": 5}
"""Of a Ray that a run starts: its own default, 15, leaves a busy neighbour on the same core 97% of it."""
_REAPER = Path(__file__).with_name("orphan_reaper.py")
_ENDING_S = 20.0
_STARTS = 3
_LATE = "timed out during startup"
"""What Ray says when its processes were not up within the 30 s that it gives them."""


@contextmanager
def neutral_folder() -> Iterator[Path]:
    """Gives the folder. Whatever still runs in it is killed when the block ends, or when this process is killed."""
    folder = Path(mkdtemp(prefix="moodarchive-")).resolve()
    # -I -S: it needs nothing but the standard library, and must be there before what it guards; a session of its own:
    # a signal to the run's process group is just what it is there to outlive
    reaper = subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", str(_REAPER), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    assert reaper.stdin is not None
    try:
        yield folder
    finally:
        with suppress(OSError):
            reaper.stdin.write(b"end")
            reaper.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            reaper.wait(_ENDING_S)


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Stands in the folder during the block; what is started there begins there."""
    users = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(users)


def start_ray_in(folder: Path, start: Callable[[], object]) -> None:
    """Calls ``start``, which starts a run's own Ray, in the folder; again where a busy core was too slow for it.

    StageError when it was too slow three times.
    """
    for _ in range(_STARTS):
        try:
            with working_in(folder):
                start()
        except Exception as error:
            if _LATE not in str(error):
                raise
            kill_all_in(str(folder))  # what came up late would wait for work that nobody sends
        else:
            return
    raise StageError(
        f"Ray's own processes did not start within 30 s, {_STARTS} times: other programs take this machine's cores; "
        "remedy: run the command again when they have ended, or give it a core of its own"
    )


def worker_environment(users_folder: Path) -> dict[str, Any]:
    """A Ray runtime environment whose workers stand in the user's folder, once they can no longer import from it."""
    return {
        "env_vars": {USERS_FOLDER: str(users_folder)},
        "worker_process_setup_hook": f"{__name__}.enter_users_folder",
    }


def enter_users_folder() -> None:
    """Runs in each worker of a Ray of our own, before its first task."""
    with suppress(OSError, KeyError):
        os.chdir(os.environ[USERS_FOLDER])
