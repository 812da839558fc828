"""A worker of a run that has ended records nothing."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow as pa

from moodarchive.archive.writer_lock import Heartbeat, heartbeat_now
from moodarchive.running.stage import Readers, Resources, Stage
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import SAFETY, as_batch, empty_row
from pipelines.runner.execute import _PartRunner

ROW = {"part": 0, "failed_stage": "", "why": "", "hopeless": False}


class OneRow:
    """The smallest worker."""

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        yield as_batch(SAFETY, [empty_row(SAFETY, key="0" * 16, status="skipped")])


STAGE = Stage(name="one", reads=(), writes=SAFETY, make_worker=OneRow, resources=Resources(cpus=0), settings="x")


def _ended() -> Heartbeat:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = psutil.Process(process.pid).create_time()
    process.kill()
    process.wait()
    return replace(heartbeat_now(), pid=process.pid, process_started=started, beat=time.time())


def test_a_living_run_s_worker_records_its_part(tmp_path: Path) -> None:
    row = _PartRunner(STAGE, Store(str(tmp_path)), heartbeat_now())(dict(ROW))
    assert row["failed_stage"] == ""
    assert (tmp_path / "safety" / "00000.json").exists()


def test_an_ended_run_s_worker_records_nothing(tmp_path: Path) -> None:
    row = _PartRunner(STAGE, Store(str(tmp_path)), _ended())(dict(ROW))
    assert "has ended" in row["why"]
    assert not list((tmp_path / "safety").glob("*"))
