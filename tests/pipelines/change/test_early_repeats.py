"""A run that finds repeats before captions, killed at its barrier, keeps and packs what a run without it does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import CAPTIONS, REPEATS, SELECTION
from tests.making import rows_of
from tests.pipelines.running import archive_digest, moodarchive, wait_for_file
from validate.verify import verify

pytestmark = [pytest.mark.slow, pytest.mark.torture]


def _start(root: Path, when: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.pipelines.early_run", str(root), when],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def _finish(root: Path, when: str) -> None:
    process = _start(root, when)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output


def _outcome(root: Path) -> dict[str, bytes]:
    """The verdicts and the samples."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for folder, pattern in (("selection", "*.parquet"), ("shards", "*/*.*"))
        for path in sorted((root / folder).glob(pattern))
    }


def test_a_killed_barrier_ends_in_the_verdicts_and_shards_of_a_run_without_it(tmp_path: Path) -> None:
    plain, early = tmp_path / "plain", tmp_path / "early"
    _finish(plain, "after")
    process = _start(early, "before")
    wait_for_file(early, "repeats/00000.parquet*", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not list((early / "captions").glob("*.json")), "captions must wait for the barrier"
    _finish(early, "before")
    assert _outcome(early) == _outcome(plain)
    store = Store(str(early))
    assert list(verify(store)) == []
    marked, skipped = _counts(store)
    assert marked == skipped > 0
    assert not (plain / "repeats").exists()
    digest = archive_digest(early)
    _finish(early, "before")
    assert archive_digest(early) == digest
    status = moodarchive("status", str(early))
    assert "repeats" in status.stdout and status.returncode == 0


def _counts(store: Store) -> tuple[int, int]:
    """Rows marked as repeats, and rows cut as such that nobody described."""
    marked = skipped = 0
    for part in finished_parts(store, SELECTION):
        marked += sum(row["reason"] is not None for row in rows_of(store, REPEATS, part))
        described = {row["key"]: row["status"] for row in rows_of(store, CAPTIONS, part)}
        skipped += sum(
            row["reason"] in ("repeat", "near_heldout") and described[row["key"]] == "skipped"
            for row in rows_of(store, SELECTION, part)
        )
    return marked, skipped
