"""One function over many things side by side, the results in the order of the things."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")
J = TypeVar("J")

AHEAD = 4
"""Unfinished or unread results a worker; more would only cost memory."""


class Spread(Protocol):
    """How work is spread: over threads, or over a cluster. Work and things must be picklable for the latter."""

    def __call__(self, work: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
        """``work`` of each thing, in order; the first error ends all."""
        ...


def map_windowed(begin: Callable[[T], J], things: Iterable[T], window: int, result: Callable[[J], R]) -> Iterator[R]:
    """Each thing's result, in order; at most ``window`` jobs are begun whose results were not taken."""
    line: deque[J] = deque()
    for thing in things:
        line.append(begin(thing))
        if len(line) >= window:
            yield result(line.popleft())
    while line:
        yield result(line.popleft())


def in_threads(work: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
    """In this process: digesting, decoding and reading leave Python's lock alone for most of their time."""
    workers = os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers)
    try:
        yield from map_windowed(
            lambda thing: pool.submit(work, thing), things, AHEAD * workers, lambda job: job.result()
        )
    finally:
        pool.shutdown(cancel_futures=True)
