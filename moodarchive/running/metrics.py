"""What a worker measures about the part in work, handed to the part's sidecar; equal runs differ in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_IN_WORK: ContextVar[dict[str, float] | None] = ContextVar("figures of the part in work", default=None)
"""Of the part that a thread works on: a process may have two parts."""


@contextmanager
def collect_figures() -> Iterator[dict[str, float]]:
    """Gives the figures that are noted while the block runs."""
    figures: dict[str, float] = {}
    token = _IN_WORK.set(figures)
    try:
        yield figures
    finally:
        _IN_WORK.reset(token)


def note(figures: dict[str, float]) -> None:
    """Adds to the figures of the part in work; without one, as in a worker that a test calls, nothing is kept."""
    noted = _IN_WORK.get()
    if noted is not None:
        noted.update(figures)
