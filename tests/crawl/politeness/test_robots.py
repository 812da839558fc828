"""robots.txt, crawl-delay, opt-outs, the breaker, the day's cache and keys out of sight."""

import asyncio
import os
from pathlib import Path

import pytest
from aiohttp import web

from crawl.http.images import Fetcher, FetchLimits
from crawl.http.search_cache import Answers
from crawl.http.search_client import WebClient
from crawl.images.local_folder import read_from_folder
from crawl.politeness.breaker import FAILURES, Breaker
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import Limit
from crawl.politeness.robots import Rules, opt_out_of
from crawl.rounds.search import refuse_anonymous
from crawl.sites.keys import keys_of, load_env_file
from moodarchive.errors import ConfigError, RowError, ServiceError
from moodarchive.storage.store import Store
from tests.making import HOST, Handler, giving, serving

AGENT = "MoodArchive-test/0.1 (mailto:someone@a.example)"


def _fetched(store: Store, handlers: dict[str, Handler], path: str) -> tuple[str, list[str]]:
    """How the fetch ended, and which paths were asked for."""

    async def fetching(hosts: dict[str, str]) -> str:
        rate_limits = RateLimitClient(store=store, host_limit=Limit(200, 0.1))
        limits = FetchLimits(max_bytes=1000, deadline_s=2)
        async with Fetcher(limits, AGENT, hosts, rate_limits=rate_limits) as fetcher:
            try:
                return (await fetcher.fetch(f"http://{HOST}{path}")).decode()
            except RowError as error:
                return error.kind

    with serving(handlers) as site:
        ended = asyncio.run(fetching(site.hosts))
        return ended, [request.path for request in site.requests]


DISALLOWING = giving(b"User-agent: moodarchive-test\nDisallow: /no\n")


@pytest.mark.parametrize(
    ("robots", "path", "ended"),
    [
        (DISALLOWING, "/no/x", "robots_disallowed"),
        (DISALLOWING, "/yes", "fine"),
        (giving(b"", 404), "/yes", "fine"),
        (giving(b"", 403), "/yes", "fine"),
        (giving(b"", 500), "/yes", "robots_unreachable"),
        (giving(b"", 302, {"Location": "/robots.txt"}), "/yes", "fine"),
    ],
    ids=["disallowed", "allowed", "404", "403", "500", "endless redirects"],
)
def test_robots_txt_is_heeded_before_a_download(store: Store, robots: Handler, path: str, ended: str) -> None:
    outcome, asked = _fetched(store, {"/robots.txt": robots, "/yes": giving(b"fine"), "/no/x": giving(b"no")}, path)
    assert outcome == ended
    assert asked[0] == "/robots.txt"
    assert (path in asked) == (ended == "fine")


@pytest.mark.parametrize(
    ("headers", "ended"),
    [
        ({"X-Robots-Tag": "noai"}, "opt_out_noai"),
        ({"X-Robots-Tag": "noarchive, noimageai"}, "opt_out_noimageai"),
        ({"X-Robots-Tag": "noml"}, "opt_out_noml"),
        ({"X-Robots-Tag": "none"}, "opt_out_noindex"),
        ({"X-Robots-Tag": "otherbot: noai"}, "fine"),
        ({"X-Robots-Tag": "moodarchive-test: noai"}, "opt_out_noai"),
        ({"X-Robots-Tag": "all"}, "fine"),
        ({"tdm-reservation": "1"}, "opt_out_tdm"),
        ({"tdm-reservation": "0"}, "fine"),
    ],
)
def test_opt_outs_have_kinds_of_their_own(store: Store, headers: dict[str, str], ended: str) -> None:
    assert _fetched(store, {"/yes": giving(b"fine", headers=headers)}, "/yes")[0] == ended


def test_directives_for_others_do_not_count() -> None:
    assert opt_out_of("otherbot: noai, *: noml", AGENT) == "noml"


def test_crawl_delay_is_read() -> None:
    assert Rules.of(200, b"User-agent: *\nCrawl-delay: 3\n", [], AGENT).delay_s() == 3


def test_a_failing_host_is_left_alone_longer_each_time() -> None:
    now = [0.0]
    breaker = Breaker(clock=lambda: now[0])
    for _ in range(FAILURES):
        assert not breaker.open_for(HOST)
        breaker.record_failure(HOST, "deadline")
    assert breaker.open_for(HOST) == "deadline"
    now[0] = 31
    assert not breaker.open_for(HOST) and breaker.is_failing(HOST)
    breaker.record_failure(HOST, "http_500")
    now[0] = 31 + 59
    assert breaker.open_for(HOST) == "http_500"
    breaker.record_success(HOST)
    assert not breaker.open_for(HOST) and not breaker.is_failing(HOST)


@pytest.mark.parametrize(
    ("validator", "condition", "value"),
    [("ETag", "If-None-Match", '"a"'), ("Last-Modified", "If-Modified-Since", "Thu, 01 Jan 2026 00:00:00 GMT")],
)
def test_a_question_is_asked_once_a_day_then_conditionally(
    store: Store, validator: str, condition: str, value: str
) -> None:
    now = [1e9]

    async def answering(request: web.Request) -> web.Response:
        if request.headers.get(condition) == value:
            return web.Response(status=304)
        return web.json_response({"n": 1}, headers={validator: value})

    with serving({"/x": answering}) as site:
        for moment, requests in ((0, 1), (86_000, 1), (86_500, 2), (90_000, 2), (180_000, 3)):
            now[0] = 1e9 + moment
            answers = Answers(store, clock=lambda: now[0])
            client = WebClient(user_agent=AGENT, loopback_hosts=site.hosts, answers=answers)
            reply = client.get_json(f"http://{HOST}/x", {"q": "a"}, secret_params={"key": "hush-hush-1"})
            assert reply.json == {"n": 1}
            assert len(site.requests) == requests
        assert [condition in request.headers for request in site.requests] == [False, True, True]
    kept = b"".join(store.read_bytes(path) for path in store.files("crawl"))
    assert b"hush" not in kept


def test_errors_hold_no_key() -> None:
    with serving({"/x": giving(b"", 401)}) as site, pytest.raises(ServiceError) as caught:
        WebClient(user_agent=AGENT, loopback_hosts=site.hosts).get_json(
            f"http://{HOST}/x", {}, secret_params={"key": "hush-hush-1"}, headers={"Authorization": "hush-hush-2"}
        )
    assert "hush" not in str(caught.value)


def test_keys_come_from_the_environment_before_the_file_and_show_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {"A_KEY": "from-environment"})
    (tmp_path / ".env").write_text("# mine\nA_KEY=from-file\nexport B_KEY='other'\n")
    load_env_file(tmp_path / ".env")
    keys = keys_of(("A_KEY", "B_KEY", "C_KEY"))
    assert {name: key.get_secret_value() for name, key in keys.items()} == {
        "A_KEY": "from-environment", "B_KEY": "other",
    }  # fmt: skip
    assert "other" not in repr(keys) and "from" not in str(keys)


@pytest.mark.parametrize("agent", ["MoodArchive/0.1", "MoodArchive/0.1 (me)", "a@b"])
def test_an_agent_whom_nobody_can_reach_is_refused(agent: str) -> None:
    with pytest.raises(ConfigError, match=r"search\.user_agent"):
        refuse_anonymous(agent)


@pytest.mark.parametrize("agent", ["M/1 (+https://example.org/bot)", "M/1 (crawl@example.org)"])
def test_an_agent_with_a_contact_is_welcome(agent: str) -> None:
    refuse_anonymous(agent)


@pytest.mark.parametrize(
    ("url", "kind"),
    [("folder:../secret.jpg", "forbidden_address"), ("folder:%2e%2e/secret.jpg", "forbidden_address"),
     ("folder:absent.jpg", "missing_file"), ("folder:/etc/passwd", "forbidden_address"), ("folder:big.jpg",
      "too_many_bytes")],
)  # fmt: skip
def test_no_address_leads_out_of_the_open_folder(tmp_path: Path, url: str, kind: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "big.jpg").write_bytes(bytes(20))
    with pytest.raises(RowError) as caught:
        read_from_folder(str(tmp_path / "open"), url, 10)
    assert caught.value.kind == kind
