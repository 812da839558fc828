"""The loop's thread works while nobody waits for it, and leaves nothing behind."""

import asyncio
import threading
import time

import pytest

from moodarchive.running.loop_thread import LoopThread


def test_tasks_go_on_while_their_owner_does_something_else() -> None:
    done: list[int] = []

    async def begin() -> asyncio.Task[None]:
        async def job() -> None:
            await asyncio.sleep(0.02)
            done.append(1)

        return asyncio.create_task(job())

    with LoopThread() as loop:
        task = loop.run(begin())
        deadline = time.monotonic() + 5
        while not done and time.monotonic() < deadline:
            time.sleep(0.01)
        assert done == [1] and task.done()


def test_errors_reach_the_caller_and_unfinished_tasks_are_cancelled() -> None:
    ended: list[str] = []

    async def waiting() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    async def begin_and_fail() -> None:
        ended.append("began")
        waiter = asyncio.create_task(waiting())
        await asyncio.sleep(0)
        raise KeyError(waiter.get_name())

    began = time.monotonic()
    with pytest.raises(KeyError), LoopThread() as loop:
        loop.run(begin_and_fail())
    assert ended == ["began", "cancelled"]
    assert time.monotonic() - began < 5
    assert not [thread for thread in threading.enumerate() if thread.name == "loop"]


def test_a_loop_that_is_forgotten_does_its_last_job_and_ends() -> None:
    ended: list[str] = []

    async def last() -> None:
        ended.append("last")

    loop = LoopThread(helpers=1)
    loop.at_end(last())
    thread = loop._thread
    del loop
    thread.join(30)
    assert ended == ["last"] and not thread.is_alive()
