"""Runs the command line as a person would, in a process group of its own, and digests what it leaves behind."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from moodarchive.storage.store import Store
from moodarchive.tables.parts import TIMINGS, finished_parts
from moodarchive.tables.schemas import TABLES

COMMAND = (sys.executable, "-P", "-m", "moodarchive")
FLAGS = ("--images", "60", "--no-train")
"""The demo whose digest ``undisturbed`` knows."""
TIMELESS_FOLDERS = ("logs", "report", "crawl")


def moodarchive(*arguments: str, timeout: float = 600) -> "subprocess.CompletedProcess[str]":
    """The finished command with its output."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=timeout, check=False)


def start(*arguments: str) -> "subprocess.Popen[str]":
    """The running command, leader of its own process group."""
    return subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def signal_group(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    """Sends the signal to the process and everything it has started in its group."""
    os.killpg(process.pid, number)


def family(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The process and all its descendants, as they are now."""
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def survivors(processes: list[psutil.Process], within_s: float) -> list[psutil.Process]:
    """Those that still live after so many seconds."""
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def wait_for_file(root: Path, pattern: str, process: "subprocess.Popen[str]") -> None:
    """Returns once a file of the pattern is there."""
    while not list(root.glob(pattern)):
        if process.poll() is not None:
            raise AssertionError(
                f"ended before {pattern} was there:\n{process.stdout.read() if process.stdout else ''}"
            )
        time.sleep(0.05)


def archive_digest(root: Path) -> str:
    """One digest of all tables, shards, records and the manifest; sidecars without their timings."""
    digest = hashlib.sha256()
    sidecars = {f"{table.name}/" for table in TABLES}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name = path.relative_to(root).as_posix()
        if name.split("/")[0] in TIMELESS_FOLDERS:
            continue
        assert not name.endswith(".draft"), f"{name} was left behind"
        content = path.read_bytes()
        if path.suffix == ".json" and any(name.startswith(folder) for folder in sidecars) and path.stem.isdigit():
            timeless = {key: value for key, value in json.loads(content).items() if key not in TIMINGS}
            content = json.dumps(timeless, sort_keys=True).encode()
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def intervals(root: Path, table_name: str) -> dict[int, tuple[float, float]]:
    """When each part of the table was worked on (Unix seconds)."""
    table = next(table for table in TABLES if table.name == table_name)
    return {part: (s.started, s.finished) for part, s in finished_parts(Store(str(root)), table).items()}
