"""Searches go through the same vetting as downloads: addresses, redirects, keys, limits and patience."""

import pickle
import time

import pytest
from aiohttp import web

from crawl.http.search_client import MAX_REPLY_BYTES, WebClient
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import Limit
from moodarchive.errors import ServiceError
from moodarchive.storage.store import Store
from tests.making import HOST, Handler, giving, serving

AGENT = "MoodArchive-test/0.1 (mailto:someone@a.example)"
OTHER = "other.test"


def _client(hosts: dict[str, str], **options: object) -> WebClient:
    return WebClient(user_agent=AGENT, loopback_hosts=hosts, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "inside", ["127.0.0.1", "localhost", "169.254.169.254", "[::1]", "2130706433", "10.0.0.1", "0.0.0.0"]
)
def test_no_search_and_no_redirect_of_one_leads_inwards(inside: str) -> None:
    with pytest.raises(ServiceError, match=r"not a public address|spelling of its own"):
        _client({}).get_json(f"http://{inside}/secret", {})
    lure = giving(b"", 302, {"Location": f"http://{inside}/secret"})
    with serving({"/x": lure}) as site, pytest.raises(ServiceError, match=r"not a public address|spelling of its own"):
        _client(site.hosts).get_json(f"http://{HOST}/x", {})


def test_a_site_that_may_not_be_fetched_is_refused_for_its_sitemaps_too() -> None:
    with pytest.raises(ServiceError, match=r"http://10\.0\.0\.1 did not answer a search: .*not a public address"):
        _client({}).sitemaps("http://10.0.0.1")


def test_a_key_goes_to_the_site_that_was_asked_and_not_where_it_redirects_to() -> None:
    moved = giving(b"", 302, {"Location": f"http://{OTHER}/y"})
    with serving({"/x": moved}) as site, serving({"/y": giving(b"{}")}) as other:
        hosts = {**site.hosts, OTHER: other.hosts[HOST]}
        _client(hosts).get_json(
            f"http://{HOST}/x", {}, headers={"Authorization": "hush"}, secret_params={"key": "hush"}
        )
    assert site.requests[0].headers["Authorization"] == "hush"
    assert "Authorization" not in other.requests[0].headers and "hush" not in str(other.requests[0].url)


@pytest.mark.parametrize(
    "answer",
    [
        giving(b"", 500), giving(b"", 401), giving(b"no json"), giving(b"", 302, {"Location": "/x?key=hush-hush"}),
        giving(b"x" * (MAX_REPLY_BYTES + 1)), giving(b"", 302, {"Location": "http://[::bad/?key=hush-hush"}),
    ],
)  # fmt: skip
def test_no_error_shows_a_parameter(answer: Handler) -> None:
    with serving({"/x": answer}) as site, pytest.raises(ServiceError) as caught:
        _client(site.hosts, retries=0).get_json(
            f"http://{HOST}/x", {"q": "hush-hush"}, secret_params={"key": "hush-hush"}
        )
    assert "hush" not in str(caught.value) and f"http://{HOST}/x" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [(429, b"", {"Retry-After": "1"}), (503, b"", {"Retry-After": "1"}), (429, b"", {"X-RateLimit-Reset": "1"}),
     (403, b"Rate Limit Exceeded", {"Retry-After": "1"}), 
     (403, b"", {"X-RateLimit-Remaining": "0", "Retry-After": "1"})],
)  # fmt: skip
@pytest.mark.parametrize("paced", [True, False])
def test_a_rate_limit_is_waited_out_however_it_is_said(
    store: Store, status: int, body: bytes, headers: dict[str, str], paced: bool
) -> None:
    times: list[float] = []

    async def answering(_: web.Request) -> web.Response:
        times.append(time.monotonic())
        return (
            web.Response(status=status, body=body, headers=headers) if len(times) == 1 else web.json_response({"n": 1})
        )

    with serving({"/x": answering}) as site:
        rate_limits = RateLimitClient(store=store, host_limit=Limit(50, 0.1)) if paced else None
        reply = _client(site.hosts, rate_limits=rate_limits).get_json(f"http://{HOST}/x", {})
    assert reply.json == {"n": 1} and times[1] - times[0] > 0.9


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_is_not_used_and_failures_say_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({}) as proxy, serving({"/x": giving(b'{"n": 1}')}) as site:
        monkeypatch.setenv(name, f"http://{proxy.address}")
        assert _client(site.hosts).get_json(f"http://{HOST}/x", {}).json == {"n": 1}
        with pytest.raises(ServiceError, match=rf"{name.upper()} named a proxy, which is not used"):
            _client({}, retries=0).get_json("http://nosuch.invalid/x", {})
        assert not proxy.requests


def test_another_403_is_a_refusal() -> None:
    with serving({"/x": giving(b"Forbidden", 403)}) as site, pytest.raises(ServiceError, match="status 403"):
        _client(site.hosts).get_json(f"http://{HOST}/x", {})
    assert len(site.requests) == 1


def test_a_client_that_has_asked_can_be_sent_to_a_worker_and_asks_on() -> None:
    with serving({"/x": giving(b"\xef\xbb\xbf{}")}) as site:
        client = _client(site.hosts)
        client.get_json(f"http://{HOST}/x", {})
        assert pickle.loads(pickle.dumps(client)).get_json(f"http://{HOST}/x", {}).json == {}  # noqa: S301


def test_an_answer_that_never_ends_costs_its_time_and_no_more() -> None:
    async def dripping(request: web.Request) -> web.StreamResponse:
        import asyncio

        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(200):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    with serving({"/x": dripping}) as site, pytest.raises(ServiceError, match="no whole answer"):
        began = time.monotonic()
        _client(site.hosts, timeout_s=0.5).get_json(f"http://{HOST}/x", {})
    assert time.monotonic() - began < 8
