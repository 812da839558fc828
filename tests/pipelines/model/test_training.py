"""What a training run says of itself on a terminal."""

import io
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from moodarchive.storage.store import Store
from pipelines.model.training import _memory_lines, show_memory
from pipelines.runner.training_progress import _waiting_line, train_and_tell
from tests.making import sealed_archive
from tests.train.small import small_settings, tiny_clip
from train.settings import TrainSettings
from train.step import memory
from train.step.memory import MemoryPlan


def test_a_run_says_at_each_line_and_at_its_end_how_long_it_waited_for_data(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "archive"))
    sealed_archive(store)
    written = io.StringIO()
    console = Console(file=written, width=250)
    settings = small_settings(tiny_clip(tmp_path / "clip"), tmp_path / "out", data={"epochs": 1})
    train_and_tell(settings, store.root, console)
    *steps, last = [line for line in written.getvalue().splitlines() if "waiting for data" in line]
    assert steps[-1].startswith("step 3/3")
    assert last.startswith("waiting for data took ")
    assert 0 < float(last.split()[4].rstrip("%")) < 100


def test_the_line_at_the_end_names_the_wall() -> None:
    assert _waiting_line(0.01) == "waiting for data took 1.0% of the steps' time: the model is the wall"
    assert _waiting_line(0.3).startswith("waiting for data took 30.0% of the steps' time: more data.workers")


def test_a_dry_run_says_what_a_step_takes_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path / "archive"))
    sealed_archive(store)
    model, config = tiny_clip(tmp_path / "clip"), tmp_path / "train.toml"
    config.write_text(
        f'output = "{tmp_path / "out"}"\n[model]\nname = "{model}"\npretrained = ""\n[data]\nbatch = 8\nstreams = 4\n'
    )
    monkeypatch.setattr(memory, "find_largest", lambda peak_of, rows, available: 12)
    written = io.StringIO()
    before = sorted(tmp_path.rglob("*"))
    show_memory(str(config), store.root, Console(file=written, width=250))
    assert sorted(tmp_path.rglob("*")) == before
    lines = written.getvalue().splitlines()
    assert lines[0].startswith("memory of a step on this machine's CPU, of which ")
    assert re.fullmatch(r"  a rank's batch of 8 in one pass: 0\.\d\d GiB, fits", lines[1])
    assert lines[2] == "  the largest batch of a rank in one pass: 12"


def test_a_dry_run_says_into_how_many_slices_a_batch_will_be_cut_or_what_helps() -> None:
    gib = 2.0**30
    plan = MemoryPlan(
        device="H200", is_measured=True, available=80 * gib, rows=512, peaks={1: math.inf, 2: 70 * gib}, largest=400
    )
    settings = TrainSettings()
    assert _memory_lines(plan, settings) == [
        "memory of a step on H200, of which 80.00 GiB can be had (measured by steps):",
        "  a rank's batch of 512 in one pass: more than there is, does not fit",
        "  a rank's batch of 512 in 2 slices: 70.00 GiB, fits",
        "  the largest batch of a rank in one pass: 400",
        "the run will cut the batch into 2 slices by itself, which costs a second forward pass",
    ]
    hopeless = replace(plan, peaks={512: 90 * gib}, largest=0)
    assert _memory_lines(hopeless, settings)[-1].startswith("remedy: loop.activation_checkpoints = true")
