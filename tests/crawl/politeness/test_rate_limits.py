"""Limits hold in every window, also over a kill; quotas are reserved before they are spent."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from crawl.http.search_client import WebClient
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import Limit, Limiter, Turn, parse_limit, quota_left
from moodarchive.errors import ServiceError
from moodarchive.storage.store import Store
from tests.making import HOST, Site, serving

AGENT = "MoodArchive-test/0.1 (mailto:someone@a.example)"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _worst(times: list[float], window: float) -> int:
    ordered = sorted(times)
    return max(sum(start <= other < start + window for other in ordered) for start in ordered)


@pytest.mark.parametrize(
    ("text", "limit"),
    [("5/s", Limit(5, 1)), ("3/10s", Limit(3, 10)), ("100/min", Limit(100, 60)), ("200/h", Limit(200, 3600))],
)
def test_limits_are_read(text: str, limit: Limit) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize("text", ["", "5", "0/s", "5/year", "5/0s", "-1/s", "x/s"])
def test_what_is_no_limit_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no limit"):
        parse_limit(text)


def test_no_window_ever_holds_more_than_the_limit_also_after_restarts(store: Store) -> None:
    clock, slots = Clock(), []
    for _ in range(5):  # a kill between
        limiter = Limiter(store, clock)
        for _ in range(23):
            turn = limiter.reserve(HOST, [(HOST, Limit(5, 1.0))])
            assert turn.granted
            slots.append(turn.when)
        clock.now = slots[-1] + 0.01
    assert _worst(slots, 1.0) == 5


def test_a_quota_survives_kills_and_is_never_exceeded(store: Store) -> None:
    clock, limit, sent = Clock(), Limit(100, 3600.0), []
    for _ in range(200):
        limiter = Limiter(store, clock)
        for _ in range(3):  # every third request is followed by a kill
            turn = limiter.reserve(HOST, [("pexels", limit)])
            if turn.granted:
                sent.append(turn.when)
        clock.now += 60
    assert 0 < _worst(sent, 3600.0) <= 100
    assert len(sent) > 150, "quota comes back"
    assert quota_left(store, "pexels", limit, clock.now) < 100


def test_what_a_spent_quota_says_is_when_to_come_back(store: Store) -> None:
    rate_limits = RateLimitClient(
        store=store, host_limit=Limit(100, 1.0), source_limits={"x": (Limit(1, 86_400.0),)}, longest_wait_s=60
    )
    asyncio.run(rate_limits.acquire(HOST, "x"))
    with pytest.raises(ServiceError, match="run again then"):
        asyncio.run(rate_limits.acquire(HOST, "x"))


def test_a_turn_ends_with_the_limiter_that_granted_it(store: Store) -> None:
    clock = Clock()
    limiter = Limiter(store, clock)
    turn = limiter.reserve(HOST, [(HOST, Limit(5, 1.0))])
    clock.now += 1
    assert limiter.stands(HOST, turn)
    assert not Limiter(store, clock).stands(HOST, turn), "one begun anew may have granted the same second"
    limiter.hold(HOST, 3)
    assert not limiter.stands(HOST, turn)


def test_retry_after_holds_the_host_for_everybody(store: Store) -> None:
    clock = Clock()
    limiter = Limiter(store, clock)
    limiter.hold(HOST, 7)
    assert limiter.reserve(HOST, []) == Turn(False, 7.0)
    clock.now += 3
    assert Limiter(store, clock).reserve(HOST, []) == Turn(False, 4.0), "a restart does not forget it"
    clock.now += 4
    assert limiter.reserve(HOST, []).granted and Limiter(store, clock).reserve(HOST, []).granted


CRAWL = """
import asyncio, sys
import ray
from crawl.http.images import Fetcher, FetchLimits
from crawl.politeness.rate_limits import Limit
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.http.search_client import WebClient
from moodarchive.storage.store import Store

AGENT = "T/1 (a@b.example)"
root, host, address = sys.argv[1:]

class Crawler:
    def __init__(self):
        self.rate_limits = RateLimitClient(store=Store(root), host_limit=Limit(10, 1.0))

    def search(self):
        web = WebClient(user_agent=AGENT, loopback_hosts={host: address}, rate_limits=self.rate_limits)
        while True:
            web.get_json(f"http://{host}/search", {})

    def download(self):
        asyncio.run(downloads(self.rate_limits))

async def downloads(rate_limits):
    limits = FetchLimits(max_bytes=1000, deadline_s=5)
    async with Fetcher(limits, AGENT, {host: address}, rate_limits=rate_limits) as fetcher:
        await asyncio.gather(*(endless(fetcher) for _ in range(4)))

async def endless(fetcher):
    while True:
        await fetcher.fetch(f"http://{host}/picture")

ray.init(address="local", num_cpus=4, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
crawlers = [ray.remote(Crawler).options(max_concurrency=2, num_cpus=1).remote() for _ in range(4)]
ray.get([ask for crawler in crawlers for ask in (crawler.search.remote(), crawler.download.remote())])
"""


@pytest.mark.alone
@pytest.mark.slow
def test_searches_and_downloads_of_four_ray_workers_keep_one_hosts_rate_at_the_server_over_a_kill(
    tmp_path: Path,
) -> None:
    from aiohttp import web

    asked: list[tuple[float, str]] = []
    told_to_wait: list[float] = []

    async def answering(request: web.Request) -> web.Response:
        asked.append((time.monotonic(), request.path))
        if len(asked) in (15, 50):
            told_to_wait.append(time.monotonic())
            return web.Response(status=429, headers={"Retry-After": "2"})
        return web.json_response({})

    def crawl(site: Site, until: int) -> None:
        """Crawls until the server has seen so many requests, then everything of it is killed."""
        command = [sys.executable, "-c", CRAWL, str(tmp_path), HOST, site.hosts[HOST]]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        deadline = time.monotonic() + 90
        while len(asked) < until and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in everyone:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()

    with serving({"/search": answering, "/picture": answering}) as site:
        crawl(site, 35)
        crawl(site, 80)
    times = [moment for moment, _ in asked]
    assert len(times) >= 80 and _worst(times, 1.0) <= 10
    for kind in ("/search", "/picture"):
        assert sum(path == kind for _, path in asked) > 5
    for moment in told_to_wait:
        # what is on its way when the answer goes out cannot be called back
        assert not [later for later in times if moment + 0.1 < later < moment + 2.0]
        assert [later for later in times if moment + 2.0 <= later < moment + 3.2]


@pytest.mark.alone
def test_threads_of_one_process_keep_the_rate_at_the_server(store: Store) -> None:
    from aiohttp import web

    times: list[float] = []

    async def answering(_: web.Request) -> web.Response:
        times.append(time.monotonic())
        return web.json_response({})

    with serving({"/x": answering}) as site:
        rate_limits = RateLimitClient(store=store, host_limit=Limit(8, 1.0))

        def ask() -> None:
            client = WebClient(user_agent=AGENT, loopback_hosts=site.hosts, rate_limits=rate_limits)
            for number in range(8):
                client.get_json(f"http://{HOST}/x", {"n": number})

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(times) == 32
    assert _worst(times, 1.0) <= 8


@pytest.mark.alone
def test_a_429_with_retry_after_is_honoured_to_the_second(store: Store) -> None:
    from aiohttp import web

    times: list[float] = []

    async def answering(_: web.Request) -> web.Response:
        times.append(time.monotonic())
        return web.Response(status=429, headers={"Retry-After": "2"}) if len(times) == 1 else web.json_response({})

    with serving({"/x": answering}) as site:
        rate_limits = RateLimitClient(store=store, host_limit=Limit(50, 1.0))
        client = WebClient(user_agent=AGENT, loopback_hosts=site.hosts, rate_limits=rate_limits)
        client.get_json(f"http://{HOST}/x", {})
    (gap,) = (later - earlier for earlier, later in pairwise(times))
    assert 2.0 <= gap < 3.0
