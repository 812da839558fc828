"""What a run shows of its parts while it goes on."""

import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from annotate.caption import CaptionSettings, caption_stage
from moodarchive.running.stage import mark_failed_rows, run_part
from moodarchive.tables.schemas import CAPTIONS
from pipelines.runner.progress import Progress
from tests.annotate.described_part import GOOD, Picture, VisionServer, serving, write_inputs


@pytest.fixture
def server() -> Iterator[VisionServer]:
    with serving() as server:
        yield server


@pytest.mark.parametrize("terminal", [True, False])
def test_failed_rows_that_are_asked_about_again_are_shown_until_they_have_been(
    tmp_path: Path, server: VisionServer, terminal: bool
) -> None:
    server.reply = lambda request: "no json" if request.phrase == "tree 1" else json.dumps(GOOD)
    pictures = [Picture(phrase=f"tree {number}") for number in range(4)]
    write_inputs(tmp_path, pictures)
    store, _ = write_inputs(tmp_path, [Picture(phrase="bush")], part=1)
    stage = caption_stage(CaptionSettings(servers=(server.url,), in_flight=4, max_attempts=1))
    worker = stage.make_worker()
    for part in (0, 1):
        run_part(stage, store, worker, part)
    shown = io.StringIO()
    progress = Progress(store, Console(file=shown, force_terminal=terminal, width=100))
    with progress.stages([stage], [0, 1]):
        pass
    assert shown.getvalue() == "", "nothing is left to do, and nothing is shown"
    mark_failed_rows(store, CAPTIONS)
    server.reply = lambda request: json.dumps(GOOD)
    with progress.stages([stage], [0, 1]):
        if terminal:
            _await(shown, "1/2")
        run_part(stage, store, worker, 0)
    assert re.search(r"2/2( parts,)? +5( rows,)? +0", shown.getvalue()), shown.getvalue()


def _await(shown: io.StringIO, words: str) -> None:
    for _ in range(100):
        if words in shown.getvalue():
            return
        time.sleep(0.05)
    raise AssertionError(shown.getvalue())
