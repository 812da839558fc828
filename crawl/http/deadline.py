"""A deadline that counts only while it runs."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class Stopwatch:
    """Seconds left; what happens outside ``running`` does not count."""

    left_s: float

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """TimeoutError when nothing is left."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.left_s):
                yield
        finally:
            self.left_s -= time.monotonic() - began
