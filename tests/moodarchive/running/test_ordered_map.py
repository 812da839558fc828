"""Jobs side by side: order, bound, errors and closing."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any

import pytest

from moodarchive.running.ordered_map import run_in_order


class Jobs:
    """Jobs that take as long as they are told, and count how many are unfinished; a negative time ends in an error."""

    def __init__(self, seconds: list[float]) -> None:
        self.seconds = seconds
        self.unfinished = self.most_unfinished = self.started = 0

    async def each(self) -> AsyncIterator[Coroutine[Any, Any, int]]:
        for number in range(len(self.seconds)):
            yield self.job(number)

    async def job(self, number: int) -> int:
        self.started += 1
        self.unfinished += 1
        self.most_unfinished = max(self.most_unfinished, self.unfinished)
        try:
            await asyncio.sleep(abs(self.seconds[number]))
            if self.seconds[number] < 0:
                raise ValueError(f"job {number}")
        finally:
            self.unfinished -= 1
        return number

    async def results(self, window: int) -> list[int]:
        async with aclosing(run_in_order(self.each(), window)) as found:
            return [number async for number in found]


def test_results_keep_the_order_and_no_more_jobs_exist_than_the_window() -> None:
    jobs = Jobs([0.01 * (7 * i % 5) for i in range(40)])
    assert asyncio.run(jobs.results(6)) == list(range(40))
    assert jobs.most_unfinished == 6


def test_a_slow_job_at_the_head_does_not_stop_the_others() -> None:
    jobs = Jobs([0.3] + [0.001] * 10)
    asyncio.run(asyncio.wait_for(jobs.results(2), 5))
    slow = Jobs([5.0] + [0.001] * 10)

    async def started_soon() -> int:
        task = asyncio.create_task(slow.results(2))
        await asyncio.sleep(0.4)
        task.cancel()
        return slow.started

    assert asyncio.run(started_soon()) == 11


def test_an_error_counts_before_its_turn_and_cancels_the_rest() -> None:
    jobs = Jobs([10.0, -0.03, 10.0, 10.0])
    with pytest.raises(ValueError, match="job 1"):
        asyncio.run(asyncio.wait_for(jobs.results(3), 5))
    assert jobs.unfinished == 0
