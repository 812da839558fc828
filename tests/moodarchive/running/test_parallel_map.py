"""Work that is spread over threads comes back in order, a bounded number of things ahead."""

import os
import threading
import time
from collections.abc import Sequence

import pytest

from moodarchive.running.parallel_map import AHEAD, in_threads


def test_results_come_in_order_however_long_each_takes() -> None:
    def late(thing: int) -> int:
        time.sleep(0.02 if thing % 5 == 0 else 0)
        return thing * thing

    assert list(in_threads(late, range(40))) == [thing * thing for thing in range(40)]
    assert list(in_threads(late, [])) == []


def test_things_are_not_taken_far_ahead_of_what_is_read() -> None:
    begun: list[int] = []
    results = in_threads(begun.append, range(1_000))
    next(results)
    time.sleep(0.05)
    assert len(begun) <= AHEAD * (os.cpu_count() or 1)
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= AHEAD * (os.cpu_count() or 1)


def test_two_things_are_worked_on_at_once() -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("this machine has one core")
    both = threading.Barrier(2, timeout=10)
    assert len(list(in_threads(lambda _: both.wait(), range(2)))) == 2


def test_an_error_ends_all_and_is_the_one_that_was_raised() -> None:
    def failing(thing: int) -> int:
        if thing == 3:
            raise ValueError("thing 3")
        return thing

    things: Sequence[int] = range(10)
    results = in_threads(failing, things)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="thing 3"):
        next(results)
