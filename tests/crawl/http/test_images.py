"""Fetching keeps its limits, waits when asked to, and tells a site no more than it must."""

import asyncio
import time
from collections.abc import Mapping

import pytest
from aiohttp import web

from crawl.http.images import Fetcher, FetchLimits
from moodarchive.errors import RowError
from tests.crawl.hostile_site import FAILURES, GOOD, HANDLERS, MAX_BYTES, SITE
from tests.making import HOST, Site, giving, serving

AGENT = "MoodArchive-test/0.1 (mailto:someone@a.example)"
LIMITS = FetchLimits(max_bytes=MAX_BYTES, deadline_s=1.0)


def _fetched(url: str, hosts: Mapping[str, str], limits: FetchLimits = LIMITS) -> bytes:
    async def fetch() -> bytes:
        async with Fetcher(limits, AGENT, hosts) as fetcher:
            return await fetcher.fetch(url)

    return asyncio.run(fetch())


def _sent(site: Site) -> list[tuple[str, str | None]]:
    return [(request.path, request.headers.get("Cookie")) for request in site.requests]


@pytest.mark.parametrize("path", ["/good", "/moved", "/moved-away"])
def test_the_body_is_fetched_as_served(path: str) -> None:
    with serving(HANDLERS) as site:
        assert _fetched(SITE + path, site.hosts) == GOOD
    first = site.requests[0].headers
    assert (first["User-Agent"], first["Host"]) == (AGENT, HOST)


def test_a_body_of_exactly_the_limit_is_accepted_and_one_byte_more_is_not() -> None:
    with serving(HANDLERS) as site:
        exact = FetchLimits(max_bytes=len(GOOD), deadline_s=5)
        assert _fetched(f"{SITE}/good", site.hosts, exact) == GOOD
        with pytest.raises(RowError) as caught:
            _fetched(f"{SITE}/good", site.hosts, FetchLimits(max_bytes=len(GOOD) - 1, deadline_s=5))
        assert caught.value.kind == "too_many_bytes"


def test_no_cookie_of_a_site_comes_back_to_it() -> None:
    biscuit = giving(b"", 302, {"Location": "/good", "Set-Cookie": "who=you; Path=/"})
    with serving({**HANDLERS, "/biscuit": biscuit}) as site:
        assert _fetched(f"{SITE}/biscuit", site.hosts) == GOOD
    assert _sent(site) == [("/biscuit", None), ("/good", None)]


@pytest.mark.parametrize(("status", "wait"), [(429, "1"), (503, "1"), (500, None)])
def test_a_passing_trouble_is_waited_out(status: int, wait: str | None) -> None:
    asked: list[float] = []

    async def recovering(_: web.Request) -> web.Response:
        asked.append(time.monotonic())
        headers = {"Retry-After": wait} if wait else {}
        return web.Response(status=status, headers=headers) if len(asked) == 1 else web.Response(body=GOOD)

    with serving({"/x": recovering}) as site:
        assert _fetched(f"{SITE}/x", site.hosts) == GOOD
    assert len(asked) == 2
    if wait:
        assert 0.95 < asked[1] - asked[0] < 3


def test_what_will_not_pass_is_asked_once_and_what_may_pass_a_few_times() -> None:
    with serving(HANDLERS) as site:
        for path in ("/absent", "/gone", "/gzip", "/announced", "/busy"):
            with pytest.raises(RowError):
                _fetched(SITE + path, site.hosts)
    counts = {path: site.paths().count(path) for path in site.paths()}
    assert counts == {"/absent": 1, "/gone": 1, "/gzip": 1, "/announced": 1, "/busy": 4}


def test_a_redirect_inwards_reaches_nobody() -> None:
    with serving({}) as inside:
        port = inside.address.rpartition(":")[2]
        hidden = ["127.0.0.1", "localhost", "2130706433", "127.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "①②⑦.⓪.⓪.①"]
        for host in hidden:
            site_of = {"/x": giving(b"", 302, {"Location": f"http://{host}:{port}/secret"})}
            with serving(site_of) as lure, pytest.raises(RowError) as caught:
                _fetched(f"{SITE}/x", lure.hosts)
            assert caught.value.kind == "forbidden_address"
    assert inside.requests == []


def test_a_deadline_holds_for_a_body_that_never_ends() -> None:
    with serving(HANDLERS) as site:
        began = time.monotonic()
        with pytest.raises(RowError, match=r"no whole answer in 0\.4 s"):
            _fetched(f"{SITE}/endless", site.hosts, FetchLimits(max_bytes=10**9, deadline_s=0.4))
        assert time.monotonic() - began < 10


def test_messages_name_the_address() -> None:
    with serving(HANDLERS) as site:
        for url, kind in FAILURES.items():
            if kind in ("http_404", "too_many_redirects", "encoded_body", "unknown_host", "forbidden_scheme"):
                with pytest.raises(RowError) as caught:
                    _fetched(url, site.hosts)
                said = str(caught.value)
                assert url.rpartition("/")[2][:10] in said or "file:///etc/passwd" in said
