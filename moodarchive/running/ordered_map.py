"""Runs jobs side by side and hands out their results in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def run_in_order(
    jobs: AsyncIterator[Coroutine[Any, Any, T]], window: int, *, finished_ahead: int = 8
) -> AsyncGenerator[T, None]:
    """Each job's result, in the order of the jobs; at most ``window`` jobs exist unfinished.

    At most ``finished_ahead`` windows of finished results wait for a slow one at the head of the line.
    The first error of any job ends all. Close it (``contextlib.aclosing``) so that unfinished jobs are cancelled.
    """
    line: deque[asyncio.Task[T]] = deque()
    working: set[asyncio.Task[T]] = set()
    try:
        async for job in jobs:
            task = asyncio.create_task(job)
            line.append(task)
            working.add(task)
            while len(working) >= window or len(line) >= finished_ahead * window:
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
