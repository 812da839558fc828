"""Limits hold in every window, also over a kill; quotas are reserved before they are spent."""

import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from crawl.limits import Limit, Limiter, parsed_limit, quota_left
from crawl.manners import Manners
from crawl.web import WebClient
from moodarchive.errors import ServiceError
from moodarchive.store import Store
from tests.making import HOST, serving

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
    assert parsed_limit(text) == limit


@pytest.mark.parametrize("text", ["", "5", "0/s", "5/year", "5/0s", "-1/s", "x/s"])
def test_what_is_no_limit_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no limit"):
        parsed_limit(text)


def test_no_window_ever_holds_more_than_the_limit_also_after_restarts(store: Store) -> None:
    clock, slots = Clock(), []
    for _ in range(5):  # a kill between
        limiter = Limiter(store, clock)
        for _ in range(23):
            granted, slot = limiter.reserve(HOST, [(HOST, Limit(5, 1.0))])
            assert granted
            slots.append(slot)
        clock.now = slots[-1] + 0.01
    assert _worst(slots, 1.0) == 5


def test_a_quota_survives_kills_and_is_never_exceeded(store: Store) -> None:
    clock, limit, sent = Clock(), Limit(100, 3600.0), []
    for _ in range(200):
        limiter = Limiter(store, clock)
        for _ in range(3):  # every third request is followed by a kill
            granted, when = limiter.reserve(HOST, [("pexels", limit)])
            if granted:
                sent.append(when)
        clock.now += 60
    assert 0 < _worst(sent, 3600.0) <= 100
    assert len(sent) > 150, "quota comes back"
    assert quota_left(store, "pexels", limit, clock.now) < 100


def test_what_a_spent_quota_says_is_when_to_come_back(store: Store) -> None:
    manners = Manners(
        store=store, host_limit=Limit(100, 1.0), source_limits={"x": (Limit(1, 86_400.0),)}, longest_wait_s=60
    )
    manners.acquire(HOST, "x")
    with pytest.raises(ServiceError, match="run again then"):
        manners.acquire(HOST, "x")


def test_retry_after_holds_the_host_for_everybody(store: Store) -> None:
    clock = Clock()
    limiter = Limiter(store, clock)
    limiter.hold(HOST, 7)
    assert limiter.reserve(HOST, []) == (False, 7.0)
    clock.now += 7
    assert limiter.reserve(HOST, [])[0]


WORKER = """
import sys
from crawl.limits import Limit
from crawl.manners import Manners
from crawl.web import WebClient
from moodarchive.store import Store
import ray
ray.init(address=sys.argv[1], namespace="crawl", logging_level="ERROR", log_to_driver=False)
manners = Manners(store=Store(sys.argv[2]), host_limit=Limit(10, 1.0))
web = WebClient(user_agent="T/1 (a@b.example)", loopback_hosts={sys.argv[3]: sys.argv[4]}, manners=manners)
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[5])):
    web.get_json(f"http://{sys.argv[3]}/x", {"n": number})
"""


@pytest.mark.slow
def test_four_processes_together_keep_one_hosts_rate_at_the_server_over_a_kill(tmp_path: Path) -> None:
    import ray
    from aiohttp import web

    times: list[float] = []

    async def answering(_: web.Request) -> web.Response:
        times.append(time.monotonic())
        return web.json_response({})

    context = ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR")
    try:
        with serving({"/x": answering}) as site:
            for _ in range(2):  # the second four meet what a killed four have left
                command = [sys.executable, "-c", WORKER, context.address_info["gcs_address"], str(tmp_path)]
                workers = [
                    subprocess.Popen(
                        [*command, HOST, site.hosts[HOST], "1000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                    )
                    for _ in range(4)
                ]
                for worker in workers:
                    assert worker.stdout and b"ready" in worker.stdout.readline()
                for worker in workers:
                    assert worker.stdin
                    worker.stdin.write(b"go\n")
                    worker.stdin.flush()
                time.sleep(6)
                for worker in workers:
                    worker.kill()
                    worker.wait()
    finally:
        ray.shutdown()
    assert len(times) > 40
    assert _worst(times, 1.0) <= 10


def test_threads_of_one_process_keep_the_rate_at_the_server(store: Store) -> None:
    from aiohttp import web

    times: list[float] = []

    async def answering(_: web.Request) -> web.Response:
        times.append(time.monotonic())
        return web.json_response({})

    with serving({"/x": answering}) as site:
        manners = Manners(store=store, host_limit=Limit(8, 1.0))

        def ask() -> None:
            client = WebClient(user_agent=AGENT, loopback_hosts=site.hosts, manners=manners)
            for number in range(8):
                client.get_json(f"http://{HOST}/x", {"n": number})

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(times) == 32
    assert _worst(times, 1.0) <= 8


def test_a_429_with_retry_after_is_honoured_to_the_second(store: Store) -> None:
    from aiohttp import web

    times: list[float] = []

    async def answering(_: web.Request) -> web.Response:
        times.append(time.monotonic())
        return web.Response(status=429, headers={"Retry-After": "2"}) if len(times) == 1 else web.json_response({})

    with serving({"/x": answering}) as site:
        manners = Manners(store=store, host_limit=Limit(50, 1.0))
        client = WebClient(user_agent=AGENT, loopback_hosts=site.hosts, manners=manners)
        client.get_json(f"http://{HOST}/x", {})
    (gap,) = (later - earlier for earlier, later in pairwise(times))
    assert 2.0 <= gap < 3.0
