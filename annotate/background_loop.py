"""An event loop in a thread of its own, so that several threads can share one client of servers."""

import asyncio
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_ENDING_S = 5.0
_HELPERS = 2
"""Threads that read parts and shrink pictures; each further one keeps freed memory of its own."""


class BackgroundLoop:
    """Runs coroutines for any thread; the loop ends when this object is forgotten."""

    def __init__(self) -> None:
        loop = asyncio.new_event_loop()
        loop.set_default_executor(ThreadPoolExecutor(_HELPERS, "caption-helper"))
        self._loop = loop
        self._last: list[Coroutine[Any, Any, Any]] = []
        threading.Thread(target=_serve, args=(loop, self._last), name="caption-loop", daemon=True).start()
        weakref.finalize(self, loop.call_soon_threadsafe, loop.stop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for the coroutine's result; when the waiting thread is interrupted, the coroutine is ended first."""
        ended = threading.Event()

        async def noted() -> T:
            try:
                return await work
            finally:
                ended.set()

        job = asyncio.run_coroutine_threadsafe(noted(), self._loop)
        try:
            return job.result()
        except BaseException:
            job.cancel()
            ended.wait(_ENDING_S)
            raise

    def at_end(self, work: Coroutine[Any, Any, Any]) -> None:
        """What the loop does last."""
        self._last.append(work)


def _serve(loop: asyncio.AbstractEventLoop, last: list[Coroutine[Any, Any, Any]]) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    for work in last:
        loop.run_until_complete(work)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
