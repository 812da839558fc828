"""One writer per root: a living one is respected and named, a dead one is succeeded at once."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from moodarchive.archive import writer_lock
from moodarchive.archive.writer_lock import HEARTBEAT_PATH, RUN_VARIABLE, STALE_SECONDS, Heartbeat, only_writer
from moodarchive.errors import RootInUseError
from moodarchive.storage.store import Store

HOLD = """
import sys, time
from moodarchive.storage.store import Store
from moodarchive.archive.writer_lock import only_writer
with only_writer(Store(sys.argv[1])):
    print("holds", flush=True)
    time.sleep(60)
"""


def _held(store: Store) -> Heartbeat:
    return Heartbeat(**json.loads(store.read_bytes(HEARTBEAT_PATH)))


def _leave(store: Store, heartbeat: Heartbeat) -> None:
    assert store.create_exclusively(HEARTBEAT_PATH, json.dumps(asdict(heartbeat)).encode())


def _of_another_host(age: float) -> Heartbeat:
    return Heartbeat(host="far-away", pid=os.getpid(), process_started=0.0, run="r", beat=time.time() - age)


def _within(seconds: float, happened: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if happened():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def holder(store: Store) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the root."""
    root = Path(__file__).parents[3]
    process = subprocess.Popen([sys.executable, "-c", HOLD, store.root], stdout=subprocess.PIPE, text=True, cwd=root)
    assert process.stdout and process.stdout.readline() == "holds\n"
    yield process
    process.kill()
    process.wait()


def test_the_lock_is_there_while_the_block_runs_and_gone_after(store: Store) -> None:
    with only_writer(store):
        assert (_held(store).host, _held(store).pid) == (socket.gethostname(), os.getpid())
        assert os.environ[RUN_VARIABLE] == _held(store).run
    assert not store.exists(HEARTBEAT_PATH)
    assert RUN_VARIABLE not in os.environ


def test_the_lock_is_gone_after_a_block_that_raises(store: Store) -> None:
    with pytest.raises(RuntimeError), only_writer(store):
        raise RuntimeError
    assert store.files() == {}


def test_a_second_writer_is_refused_with_host_and_age(store: Store, holder: "subprocess.Popen[str]") -> None:
    with pytest.raises(RootInUseError) as caught, only_writer(store):
        raise AssertionError("two writers")
    message = str(caught.value)
    assert store.root in message and socket.gethostname() in message and f"process {holder.pid} " in message
    assert re.search(r"last heard \d s ago", message)
    assert _held(store).pid == holder.pid, "the refused run must leave the lock alone"


def test_a_killed_writer_is_succeeded_at_once(store: Store, holder: "subprocess.Popen[str]") -> None:
    holder.kill()
    holder.wait()
    began = time.monotonic()
    with only_writer(store):
        assert time.monotonic() - began < 5
        assert _held(store).pid == os.getpid()


def test_workers_of_a_killed_writer_are_ended_and_no_other_process(
    store: Store, holder: "subprocess.Popen[str]"
) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    worker = subprocess.Popen(sleep, env={**os.environ, RUN_VARIABLE: _held(store).run})
    stranger = subprocess.Popen(sleep, env={**os.environ, RUN_VARIABLE: "another run"})
    try:
        assert _within(5, lambda: psutil.Process(worker.pid).environ().get(RUN_VARIABLE) == _held(store).run)
        holder.kill()
        holder.wait()
        with only_writer(store):
            worker.wait(5)
            assert not psutil.pid_exists(worker.pid)
            assert stranger.poll() is None
    finally:
        for process in (worker, stranger):
            process.kill()
            process.wait()


def test_of_many_who_find_a_dead_writer_one_succeeds_it(store: Store) -> None:
    dead = Heartbeat(host=socket.gethostname(), pid=2**22 - 1, process_started=0.0, run="r", beat=time.time())
    writing, most = 0, 0

    def contend(start: threading.Barrier, end: threading.Barrier) -> bool:
        nonlocal writing, most
        start.wait()
        try:
            with only_writer(store):
                writing += 1
                most = max(most, writing)
                end.wait(10)
                writing -= 1
                return True
        except RootInUseError:
            end.wait(10)
            return False

    with ThreadPoolExecutor(6) as pool:
        for _ in range(25):
            _leave(store, dead)
            start, end = threading.Barrier(6), threading.Barrier(6)
            won = list(pool.map(contend, [start] * 6, [end] * 6))
            assert won.count(True) == 1
            assert most == 1
            assert not store.exists(HEARTBEAT_PATH)


def test_a_process_number_used_again_is_not_the_dead_writer(store: Store) -> None:
    started = psutil.Process().create_time()
    _leave(
        store,
        Heartbeat(host=socket.gethostname(), pid=os.getpid(), process_started=started - 100, run="r", beat=time.time()),
    )
    with only_writer(store):
        assert _held(store).run != "r"


def test_another_hosts_heartbeat_is_respected_while_fresh(store: Store) -> None:
    _leave(store, _of_another_host(STALE_SECONDS - 5))
    with pytest.raises(RootInUseError, match=r"on far-away, last heard 5[5-9] s ago"), only_writer(store):
        raise AssertionError("two writers")
    assert _held(store).host == "far-away"


def test_another_hosts_heartbeat_is_succeeded_when_old(store: Store) -> None:
    _leave(store, _of_another_host(STALE_SECONDS + 5))
    with only_writer(store):
        assert _held(store).host == socket.gethostname()


def test_a_heartbeat_that_is_none_is_named(store: Store) -> None:
    store.write_bytes(HEARTBEAT_PATH, b"not json")
    with pytest.raises(RootInUseError, match=r"writer\.json.*remedy"), only_writer(store):
        raise AssertionError("two writers")


def test_the_heart_beats(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_lock, "HEARTBEAT_SECONDS", 0.05)
    with only_writer(store):
        first = _held(store)
        assert _within(5, lambda: _held(store).beat > first.beat + 0.1)
        assert _held(store).run == first.run


def test_a_writer_that_was_taken_for_dead_ends_and_leaves_its_successor_the_root(store: Store) -> None:
    hurried = HOLD.replace(
        "with only_writer",
        "from moodarchive.archive import writer_lock\nwriter_lock.HEARTBEAT_SECONDS = 0.1\nwith only_writer",
    )
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", hurried, store.root], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
    )
    assert process.stdout and process.stdout.readline() == "holds\n"
    store.write_bytes(HEARTBEAT_PATH, json.dumps(asdict(_of_another_host(0))).encode())
    _, told = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM
    assert "taken over by process" in told and "far-away" in told
    assert _held(store).host == "far-away"


def test_the_heart_beats_on_after_the_disk_was_full(tiny_disk: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_lock, "HEARTBEAT_SECONDS", 0.05)
    with only_writer(tiny_disk):
        filler = Path(tiny_disk.root) / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(1024))
        time.sleep(0.3)
        filler.unlink()
        freed = time.time()
        assert _within(5, lambda: _held(tiny_disk).beat > freed), "another host would take this root for free"
