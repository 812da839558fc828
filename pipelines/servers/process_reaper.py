"""Runs one command, and ends all of it when its owner does: ``process_reaper.py SECONDS COMMAND …``.

The owner holds the other end of standard input. However the owner dies, the pipe closes, and the reaper kills the
command with everything that it has started. On SIGTERM the command gets SIGTERM first and so many seconds to finish.

The program is two processes, because Ray kills the direct children of a worker that ends, and a reaper that is killed
guards nothing: the one that the owner sees only waits for the other, which does the work.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
from types import FrameType

import psutil

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_POLL_S = 0.2
NO_COMMAND = 127


class Terminated(BaseException):
    """SIGTERM came."""


def main(grace_s: float, command: list[str]) -> int:
    """The command's exit status; negative for a signal."""
    visible = os.getpid()
    reaper = os.fork()
    if reaper:
        signal.signal(signal.SIGTERM, lambda *_: os.kill(reaper, signal.SIGTERM))
        return os.waitstatus_to_exitcode(os.waitpid(reaper, 0)[1])
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != visible:
        return NO_COMMAND
    return _watch_command(grace_s, command)


def _watch_command(grace_s: float, command: list[str]) -> int:
    signal.signal(signal.SIGTERM, _terminate)
    # what the command's children leave behind becomes ours, so that nothing can slip away by losing its parent
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    process = None
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_reaper)  # noqa: S603, PLW1509
        while process.poll() is None and not _owner_is_gone():
            pass
    except OSError as error:
        print(f"{command[0]} cannot be started: {error}", file=sys.stderr)
        return NO_COMMAND
    except Terminated:
        _let_finish(process, grace_s)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _kill_descendants()
    return process.wait() if process else NO_COMMAND


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _die_with_reaper() -> None:
    """Runs in the child before the command; the reaper has one thread, which is the one that the kernel watches."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _owner_is_gone() -> bool:
    """True once the pipe is closed; waits a moment for it."""
    readable, _, _ = select.select([0], [], [], _POLL_S)
    return bool(readable) and not os.read(0, 1)


def _let_finish(process: "subprocess.Popen[bytes] | None", grace_s: float) -> None:
    if process is None:
        return
    process.terminate()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        return


def _kill_descendants() -> None:
    """Again until none is left: a process may have started another while it was looked for."""
    me = psutil.Process()
    while left := [child for child in me.children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]:
        for child in left:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=1.0)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]) & 0xFF)
