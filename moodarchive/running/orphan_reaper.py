"""Kills what a run leaves behind: ``orphan_reaper.py FOLDER`` waits for its owner's end, then for all in FOLDER.

The owner holds the other end of standard input: however it dies, the pipe closes. What the run started stands in
FOLDER, or has a parent there: not its name, its group or its parent tells it, for Ray renames its processes, and an
orphan's parent is init.
"""

import os
import shutil
import signal
import sys
import time

_QUIET_S = 3.0
"""A process that was being started when its owner died may reach FOLDER a moment later."""
_GIVE_UP_S = 60.0
_POLL_S = 0.1


def main(folder: str) -> None:
    """Returns once nothing has run in the folder for a while, and removes it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    orderly = b"".join(iter(lambda: os.read(0, 16), b"")) == b"end"
    began = quiet_since = time.monotonic()
    while True:
        now = time.monotonic()
        if kill_all_in(folder):
            quiet_since = now
        if now - quiet_since >= (0.0 if orderly else _QUIET_S) or now - began > _GIVE_UP_S:
            break
        time.sleep(_POLL_S)
    shutil.rmtree(folder, ignore_errors=True)


def kill_all_in(folder: str) -> bool:
    """True when there was something to kill: each process that stands in the folder, and its descendants."""
    parents = _parents()
    doomed = {pid for pid in parents if _stands_in(pid, folder)}
    while more := {pid for pid, parent in parents.items() if parent in doomed} - doomed:
        doomed |= more
    for pid in doomed:
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    return bool(doomed)


def _parents() -> dict[int, int]:
    """Process → its parent, of all that live; empty where there is no /proc."""
    parents = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        try:
            with open(f"/proc/{int(name)}/stat", encoding="utf-8", errors="replace") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if state not in "ZX":
            parents[int(name)] = int(parent)
    return parents


def _stands_in(pid: int, folder: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)") == folder
    except OSError:
        return False


if __name__ == "__main__":
    main(sys.argv[1])
