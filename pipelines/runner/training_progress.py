"""A training's steps on a terminal, and a MoodifyCLIP's training in this process."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from moodarchive.storage.store import Store
from train.loop import StepReport, train
from train.settings import TrainSettings

_EVERY_SECONDS = 10.0
"""Between two lines where there is no terminal."""
_FED = 0.05
"""Up to this share of its time a step may wait for data without its being worth a change"""


@contextmanager
def open_step_line(console: Console) -> Iterator[Callable[[Text, bool], None]]:
    """Takes each step's line and whether it is the last: all on a terminal, else one every ten seconds and the last."""
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        last = 0.0

        def show(line: Text, is_last: bool) -> None:
            nonlocal last
            if console.is_terminal:
                live.update(line)
            elif time.monotonic() - last > _EVERY_SECONDS or is_last:
                last = time.monotonic()
                console.print(line)

        yield show


def train_and_tell(settings: TrainSettings, root: str, console: Console, start: str = "") -> Store:
    """Trains in this process, a line of losses a step on a terminal; returns the store that holds ``model/``."""
    reports, seconds, waited = 0, 0.0, 0.0
    with open_step_line(console) as show:

        def tell(report: StepReport) -> None:
            nonlocal reports, seconds, waited
            reports += 1
            if reports > 1:  # the first step's wait is the reading processes' start
                seconds, waited = seconds + report.seconds, waited + report.seconds * report.waiting
            show(Text(_line(report), overflow="ellipsis", no_wrap=True), report.step == report.steps)

        store = train(settings, root, tell, start)
    if seconds:
        console.print(_waiting_line(waited / seconds))
    return store


def _waiting_line(share: float) -> str:
    """Whether the data or the model was the wall, over a whole run."""
    wall = "the model is the wall" if share < _FED else "more data.workers shorten it, while there are cores"
    return f"waiting for data took {share:.1%} of the steps' time: {wall}"


def _line(report: StepReport) -> str:
    terms = "  ".join(f"{name} {value:.4f}" for name, value in report.losses.items())
    replaced = f"  {report.replaced} corrupt replaced" if report.replaced else ""
    mfu = "" if report.mfu is None else f"  MFU {report.mfu:.0%}"
    rate = f"{report.samples_per_second:.1f} samples/s  waiting for data {report.waiting:.0%}"
    return f"step {report.step:,}/{report.steps:,}  {terms}  {rate}{mfu}{replaced}"
