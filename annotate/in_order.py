"""Runs jobs side by side and hands out their results in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_FINISHED_AHEAD = 8
"""So many windows of finished results may wait for a slow one at the head of the line: results are small, jobs not."""


async def in_order(jobs: AsyncIterator[Coroutine[Any, Any, T]], window: int) -> AsyncGenerator[T, None]:
    """Each job's result, in the order of the jobs; at most ``window`` jobs exist unfinished.

    The first error of any job ends all. Close it (``contextlib.aclosing``) so that unfinished jobs are cancelled.
    """
    line: deque[asyncio.Task[T]] = deque()
    working: set[asyncio.Task[T]] = set()
    try:
        async for job in jobs:
            task = asyncio.create_task(job)
            line.append(task)
            working.add(task)
            while len(working) >= window or len(line) >= _FINISHED_AHEAD * window:
                done, working = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
                for finished in done:
                    finished.result()  # an error counts now, not when its turn in the line comes
                while line and line[0].done():
                    yield line.popleft().result()
        while line:
            yield await line.popleft()
    finally:
        for task in line:
            task.cancel()
        await asyncio.gather(*line, return_exceptions=True)
