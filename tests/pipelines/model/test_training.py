"""What a training run says of itself on a terminal."""

import io
from pathlib import Path

from rich.console import Console

from moodarchive.storage.store import Store
from pipelines.model.training import _waiting_line, train_and_tell
from tests.making import sealed_archive
from tests.train.small import small_settings, tiny_clip


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
