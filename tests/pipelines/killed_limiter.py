"""Spends a quota, kills the limiter's process, and asks again: a process of its own, as every run is."""

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


def main() -> None:
    """Prints how long the second refusal took; a failed assertion ends it otherwise."""
    rate_limits = RateLimitClient(
        store=Store(sys.argv[1]),
        host_limit=parse_limit("100/s"),
        source_limits={"stock": (parse_limit("3/h"),)},
        longest_wait_s=1,
    )
    with Cluster(cpus=1, begin=rate_limits.begin) as cluster:
        cluster.start([])
        # on a busy machine a turn that came too late is spent as well: three of them end the quota sooner
        assert REFUSED in _asked(rate_limits, 4)
        children = psutil.Process().children(recursive=True)
        (limiter,) = [process for process in children if "ray::Limiter" in " ".join(process.cmdline())]
        limiter.kill()
        began = time.monotonic()
        assert REFUSED in _asked(rate_limits, 1)
        assert ray.is_initialized()
        print(time.monotonic() - began)


if __name__ == "__main__":
    main()
