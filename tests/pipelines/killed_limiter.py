"""Kills the limiter's process while turns are waited for and a quota is spent, and asks on.

A process of its own, as every run is.
"""

import asyncio
import sys
import time

import psutil
import ray

from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import parse_limit
from moodarchive.errors import ServiceError
from moodarchive.storage.store import Store
from pipelines.runner.cluster import Cluster

REFUSED = "may not be asked for another"


def _asked(rate_limits: RateLimitClient, times: int) -> str:
    """Why the last one was refused."""
    try:
        for _ in range(times):
            asyncio.run(rate_limits.acquire("stock.test", "stock"))
    except ServiceError as error:
        return str(error)
    return ""


def _kill_limiter() -> None:
    children = psutil.Process().children(recursive=True)
    (limiter,) = [process for process in children if "ray::Limiter" in " ".join(process.cmdline())]
    limiter.kill()


async def _starts_over_a_kill(rate_limits: RateLimitClient) -> list[float]:
    """When the requests of twenty askers started, two each: most of them wait when the limiter is killed."""
    starts: list[float] = []

    async def ask() -> None:
        for _ in range(2):
            await rate_limits.acquire("slow.test")
            starts.append(time.monotonic())

    async def kill() -> None:
        while len(starts) < 8:
            await asyncio.sleep(0.01)
        _kill_limiter()

    await asyncio.gather(kill(), *(ask() for _ in range(20)))
    return sorted(starts)


def main() -> None:
    """A failed assertion ends it."""
    rate_limits = RateLimitClient(
        store=Store(sys.argv[1]),
        host_limit=parse_limit("100/s"),
        source_limits={"stock": (parse_limit("3/h"),)},
        longest_wait_s=1,
        host_limits={"slow.test": parse_limit("8/s")},
    )
    with Cluster(cpus=1, begin=rate_limits.begin) as cluster:
        cluster.start([])
        # on a busy machine a turn that came too late is spent as well: three of them end the quota sooner
        assert REFUSED in _asked(rate_limits, 4)
        _kill_limiter()
        began = time.monotonic()
        assert REFUSED in _asked(rate_limits, 1)
        assert ray.is_initialized()
        assert time.monotonic() - began < 60
        starts = asyncio.run(_starts_over_a_kill(rate_limits))
        assert len(starts) == 40
        # a busy machine may delay what was granted by more than the limit allows for; two limiters grant twice as much
        assert all(later - earlier > 0.9 for earlier, later in zip(starts, starts[10:], strict=False)), starts


if __name__ == "__main__":
    main()
