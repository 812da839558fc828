"""One writer per root: a heartbeat file, made by a conditional create, that a dead writer cannot hold."""

import json
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import psutil

from moodarchive.errors import RootInUseError, StorageError
from moodarchive.storage.store import Store

HEARTBEAT_PATH = "crawl/writer.json"
SUCCESSION_PATH = "crawl/successor.json"
"""Held while a dead writer is succeeded: of several who find it dead, one may remove its heartbeat."""
HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
RUN_VARIABLE = "MOODARCHIVE_RUN"
"""Environment variable that every process of a run inherits, so that a dead run's leftovers can be found."""


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """Who writes: host, process, the process's start time (a number may be reused), the run, the last sign of life."""

    host: str
    pid: int
    process_started: float
    run: str
    beat: float


@contextmanager
def only_writer(store: Store) -> Iterator[None]:
    """Holds the root while the block runs; RootInUseError names the living run that has it."""
    run = uuid.uuid4().hex
    mine = heartbeat_now(run)
    while not store.create_exclusively(HEARTBEAT_PATH, _as_bytes(mine)):
        _refuse_if_alive(store, HEARTBEAT_PATH)
        _end_dead_writer(store, mine)
    previous = os.environ.get(RUN_VARIABLE)
    os.environ[RUN_VARIABLE] = run
    stop = threading.Event()
    thread = threading.Thread(target=_keep_beating, args=(store, run, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        os.environ.pop(RUN_VARIABLE, None) if previous is None else os.environ.update({RUN_VARIABLE: previous})
        if (held := _held(store)) is None or held.run == run:
            store.remove(HEARTBEAT_PATH)


def _held(store: Store) -> Heartbeat | None:
    """Whose heartbeat lies there; None when there is none, or none that can be read."""
    try:
        return Heartbeat(**json.loads(store.read_bytes(HEARTBEAT_PATH)))
    except (OSError, StorageError, ValueError, TypeError):
        return None


def heartbeat_now(run: str = "") -> Heartbeat:
    """This process, alive now."""
    started = psutil.Process().create_time()
    return Heartbeat(host=socket.gethostname(), pid=os.getpid(), process_started=started, run=run, beat=time.time())


def _as_bytes(heartbeat: Heartbeat) -> bytes:
    return json.dumps(asdict(heartbeat)).encode()


def _keep_beating(store: Store, run: str, stop: threading.Event) -> None:
    """A writer that was silent for too long (a machine asleep, a network gone) may have been succeeded: it ends."""
    while not stop.wait(HEARTBEAT_SECONDS):
        held = _held(store)
        if held is not None and held.run != run:
            print(
                f"error: {store.root} was taken over by process {held.pid} on {held.host}, because this run showed no "
                "sign of life for too long; remedy: leave it to that run",
                file=sys.stderr,
            )
            os.kill(os.getpid(), signal.SIGTERM)
            return
        try:
            store.write_bytes(HEARTBEAT_PATH, _as_bytes(heartbeat_now(run)))
        except (OSError, StorageError):
            continue  # a full disk is the stages' to report; the process itself still shows life


def _end_dead_writer(store: Store, mine: Heartbeat) -> None:
    """Removes a dead writer's heartbeat and ends what is left of it; RootInUseError when another does so now."""
    if not store.create_exclusively(SUCCESSION_PATH, _as_bytes(mine)):
        _refuse_if_alive(store, SUCCESSION_PATH)
        store.remove(SUCCESSION_PATH)
        return
    try:
        # judged again, because another may have succeeded the dead writer since
        dead = _refuse_if_alive(store, HEARTBEAT_PATH)
        if dead is not None:
            if dead.host == socket.gethostname():
                _end_leftovers(dead.run)
            store.remove(HEARTBEAT_PATH)
    finally:
        store.remove(SUCCESSION_PATH)


def _refuse_if_alive(store: Store, path: str) -> Heartbeat | None:
    """The dead writer's heartbeat, None when there is none; RootInUseError when it lives, or cannot be read."""
    try:
        held = Heartbeat(**json.loads(store.read_bytes(path)))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise RootInUseError(
            f"{store.root}/{path} is no heartbeat ({error}); remedy: remove it when no run writes to this root"
        ) from None
    age = time.time() - held.beat
    if _process_lives(held) if held.host == socket.gethostname() else age < STALE_SECONDS:
        raise _in_use(store, held, age)
    return held


def _in_use(store: Store, held: Heartbeat, age: float) -> RootInUseError:
    return RootInUseError(
        f"{store.root} is being written by process {held.pid} on {held.host}, last heard {age:.0f} s ago; remedy: wait "
        "for that run, or stop it"
    )


def has_ended(writer: Heartbeat) -> bool:
    """True when the process is known to be gone; of another machine's nothing is known."""
    return writer.host == socket.gethostname() and not _process_lives(writer)


def _process_lives(held: Heartbeat) -> bool:
    try:
        process = psutil.Process(held.pid)
        return bool(abs(process.create_time() - held.process_started) < 2 and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _end_leftovers(run: str) -> None:
    """Workers of a killed run may still be writing for a moment; two writers of one part must never meet."""
    leftovers = [process for process in psutil.process_iter() if _belongs_to(process, run)]
    for process in leftovers:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(leftovers, timeout=10)


def _belongs_to(process: psutil.Process, run: str) -> bool:
    try:
        return process.pid != os.getpid() and bool(process.environ().get(RUN_VARIABLE) == run)
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return False
