"""What every sealed set must stand: kills while it is built, and damages that its proof must name."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH

KILLS, DAMAGES = 10, 20


def content(root: str | Path) -> dict[str, str]:
    """Digest of every file that a seal covers, and of the manifest."""
    store = Store(str(root))
    names = [*json.loads(store.read_bytes(MANIFEST_PATH))["files"], MANIFEST_PATH]
    return {name: hashlib.sha256(store.read_bytes(name)).hexdigest() for name in names}


def build_with_kills(verb: str, config: Path, top: Path, table: str) -> dict[str, str]:
    """Builds TOP/whole, and TOP/killed with KILLS kills; the content, equal of both.

    The first kill comes as soon as anything is there, each later one when so much more of ``table``/ is done.
    """
    began = time.monotonic()
    assert _build(verb, config, top / "whole").wait(1800) == 0
    taken = time.monotonic() - began
    parts, killed, jitter = _finished(top / "whole" / table), 0, random.Random(1)
    for number in range(KILLS):
        child = _build(verb, config, top / "killed")
        while child.poll() is None and not _has_reached(top / "killed", table, parts * number // KILLS):
            time.sleep(0.02)
        time.sleep(jitter.random())
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            killed += 1
        child.wait()
    assert _build(verb, config, top / "killed").wait(1800) == 0
    expected = content(top / "whole")
    assert content(top / "killed") == expected
    print(f"{verb}: a whole build took {taken:.1f} s; {killed} of {KILLS} kills met a build at work")
    return expected


def _has_reached(root: Path, table: str, parts: int) -> bool:
    return (root / "settings.json").exists() and _finished(root / table) >= parts


def _finished(folder: Path) -> int:
    return len([path for path in folder.glob("*.json") if path.stem.isdigit()])


def _build(verb: str, config: Path, root: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "moodarchive", verb, "build", str(config), str(root)], start_new_session=True
    )


def damage_and_prove(whole: Path, copy: Path, prove: Callable[[str], Iterable[object]], table: str) -> None:
    """DAMAGES damages of a copy, one at a time: flipped bits, cut, lost and stray files; each is named."""
    draw = random.Random(1)
    shutil.copytree(whole, copy)
    files = [path for path in Store(str(copy)).files() if not path.startswith(("crawl/", "logs/"))]
    for number in range(DAMAGES):
        name = MANIFEST_PATH if number == 0 else draw.choice(files)
        path = copy / name
        before = path.read_bytes()
        kind = number % 4
        if kind == 0:
            at = draw.randrange(len(before))
            path.write_bytes(before[:at] + bytes([before[at] ^ 1 << draw.randrange(8)]) + before[at + 1 :])
        elif kind == 1:
            path.write_bytes(before[: len(before) // 2])
        elif kind == 2 and name != MANIFEST_PATH:
            path.unlink()
        else:
            path = copy / table / f"stray-{number}"
            path.write_bytes(b"stray")
            before = b""
        try:
            problems = [str(problem) for problem in prove(str(copy))]
        except Exception as error:  # noqa: BLE001  a manifest that is gone is an error of its own
            problems = [str(error)]
        assert problems, (number, kind, name)
        if before:
            path.write_bytes(before)
        else:
            path.unlink()
    assert list(prove(str(copy))) == []
