"""An event loop in a thread of its own: its tasks go on while their results are used elsewhere."""

import asyncio
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")
_ENDING_S = 5.0


class LoopThread:
    """Runs coroutines for any thread. It ends with its ``with`` block, or else when this object is forgotten.

    At the end unfinished tasks are cancelled, and at the end of a block the thread is gone. ``helpers``: the threads of
    the loop's executor; None for asyncio's own number.
    """

    def __init__(self, helpers: int | None = None) -> None:
        loop = asyncio.new_event_loop()
        if helpers is not None:
            loop.set_default_executor(ThreadPoolExecutor(helpers, "loop-helper"))
        self._loop = loop
        self._last: list[Coroutine[Any, Any, Any]] = []
        self._thread = threading.Thread(target=_serve, args=(loop, self._last), name="loop", daemon=True)
        self._thread.start()
        self._end = weakref.finalize(self, loop.call_soon_threadsafe, loop.stop)

    def __enter__(self) -> "LoopThread":
        return self

    def run(self, job: Coroutine[Any, Any, T]) -> T:
        """The job's result or error, to a caller in another thread; when that is interrupted, the job ends first."""
        ended = threading.Event()

        async def noted() -> T:
            try:
                return await job
            finally:
                ended.set()

        running = asyncio.run_coroutine_threadsafe(noted(), self._loop)
        try:
            return running.result()
        except BaseException:
            running.cancel()
            ended.wait(_ENDING_S)
            raise

    def at_end(self, job: Coroutine[Any, Any, Any]) -> None:
        """What the loop does last."""
        self._last.append(job)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._thread.join()


def _serve(loop: asyncio.AbstractEventLoop, last: list[Coroutine[Any, Any, Any]]) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.run_until_complete(_end_all(last))
    loop.close()


async def _end_all(last: list[Coroutine[Any, Any, Any]]) -> None:
    loop = asyncio.get_running_loop()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for job in last:
        await job
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
