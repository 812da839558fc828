"""A set survives kills at any moment and has the same bytes; whatever is damaged is named."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH
from pipelines.emopair.build import build_pairs
from pipelines.emopair.verify import verify_pairs
from tests.pipelines.emopair.sets import content, drawn_settings

pytestmark = pytest.mark.torture
PAIRS, KILLS, DAMAGES = int(os.environ.get("MOODARCHIVE_TORTURE_PAIRS", "2000")), 10, 20
CONFIG = f"""pairs_per_part = 250
[[sources]]
kind = "drawn"
count = {PAIRS}
size = 32
"""


def _build(config: Path, root: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "moodarchive", "pairs", "build", str(config), str(root)], start_new_session=True
    )


def test_kills_at_ten_moments_leave_a_set_of_the_same_bytes_and_damages_are_named(tmp_path: Path) -> None:
    config = tmp_path / "pairs.toml"
    config.write_text(CONFIG)
    began = time.monotonic()
    assert _build(config, tmp_path / "whole").wait(1800) == 0
    taken = time.monotonic() - began
    expected = content(tmp_path / "whole")
    for number in range(KILLS):
        child = _build(config, tmp_path / "killed")
        time.sleep(max(1.0, taken * (number + 0.5) / KILLS))
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert _build(config, tmp_path / "killed").wait(1800) == 0
    assert content(tmp_path / "killed") == expected
    # without Ray the bytes are the same
    settings = drawn_settings(PAIRS, pairs_per_part=250)
    build_pairs(settings, str(tmp_path / "here"), on_ray=False)
    assert content(tmp_path / "here") == expected
    assert list(verify_pairs(str(tmp_path / "whole"))) == []
    _damage(tmp_path / "whole", tmp_path / "damaged")


def _damage(whole: Path, copy: Path) -> None:
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
            path = copy / "pairs" / f"stray-{number}"
            path.write_bytes(b"stray")
            before = b""
        try:
            problems = [str(problem) for problem in verify_pairs(str(copy))]
        except Exception as error:  # noqa: BLE001  a manifest that is gone is an error of its own
            problems = [str(error)]
        assert problems, (number, kind, name)
        if before:
            path.write_bytes(before)
        else:
            path.unlink()
    assert list(verify_pairs(str(copy))) == []
