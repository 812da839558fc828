"""One function over many things side by side, the results in the order of the things."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 4
"""Unfinished or unread results a worker; more would only cost memory."""


class Spread(Protocol):
    """How work is spread: over threads, or over a cluster. Work and things must be picklable for the latter."""

    def __call__(self, work: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
        """``work`` of each thing, in order; the first error ends all."""
        ...


def in_threads(work: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
    """In this process: digesting, decoding and reading leave Python's lock alone for most of their time."""
    workers = os.cpu_count() or 1
    line: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for thing in things:
                line.append(pool.submit(work, thing))
                if len(line) >= AHEAD * workers:
                    yield line.popleft().result()
            while line:
                yield line.popleft().result()
        finally:
            for waiting in line:
                waiting.cancel()
