"""Odd values cost no other record, a page past the end no earlier one; a spent limit is waited for."""

import itertools
import json
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from crawl.http.search_cache import Answers
from crawl.http.search_client import WebClient
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import Limit
from crawl.sites.openverse import Openverse, OpenverseSettings
from crawl.sites.pexels import KEY as PEXELS_KEY
from crawl.sites.pexels import Pexels, PexelsSettings
from crawl.sites.pixabay import KEY as PIXABAY_KEY
from crawl.sites.pixabay import Pixabay, PixabaySettings
from crawl.sites.stocksnap import Stocksnap, StocksnapSettings
from crawl.sites.unsplash import KEY as UNSPLASH_KEY
from crawl.sites.unsplash import Unsplash, UnsplashSettings
from crawl.source import Found, Query, Source
from moodarchive.errors import ServiceError
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import CANDIDATES, as_batch, empty_row
from tests.making import HOST, Handler, serving

BASE = f"http://{HOST}"
KEYS = {name: SecretStr("hush") for name in (PEXELS_KEY, PIXABAY_KEY, UNSPLASH_KEY)}
SOURCES: dict[str, tuple[Source, str, str, dict[str, Any]]] = {
    "openverse": (
        Openverse(OpenverseSettings(base_url=f"{BASE}/v1")), "/v1/images/", "results",
        {"id": "1", "url": "http://cdn.test/1.jpg", "title": "Field", "creator": "One", "creator_url": "http://c.test/1",
         "license": "by", "license_version": "2.0", "license_url": "http://l.test", "tags": [{"name": "sun"}],
         "width": 640, "height": 480, "mature": False, "foreign_landing_url": "http://site.test/1"},
    ),
    "unsplash": (
        Unsplash(UnsplashSettings(base_url=BASE), KEYS), "/search/photos", "results",
        {"id": "1", "urls": {"regular": "http://cdn.test/1.jpg"}, "links": {"html": "http://u.test"}, "width": 6,
         "height": 4, "description": "a", "alt_description": "b", "user": {"name": "One", "links": {"html": "http://u"}}},
    ),
    "pexels": (
        Pexels(PexelsSettings(base_url=BASE), KEYS), "/v1/search", "photos",
        {"id": 1, "src": {"large2x": "http://cdn.test/1.jpg"}, "url": "http://p.test/1", "alt": "a", "width": 6,
         "height": 4, "photographer": "One", "photographer_url": "http://p.test/one"},
    ),
    "pixabay": (
        Pixabay(PixabaySettings(base_url=BASE), KEYS), "/api/", "hits",
        {"id": 1, "largeImageURL": "http://cdn.test/1.jpg", "pageURL": "http://p.test/1", "tags": "a, b", "user": "One",
         "user_id": 9, "imageWidth": 6, "imageHeight": 4},
    ),
    "stocksnap": (
        Stocksnap(StocksnapSettings(base_url=BASE)), "/api/search-photos/red flower/relevance/desc/1", "results",
        {"img_id": "1", "tags": "tree bark", "keywords": ["tree"], "img_width": 6, "img_height": 4,
         "author_name": "Tim", "author_website": "http://t.test", "author_profile": None},
    ),
}  # fmt: skip
ODD = (None, True, 7, -3, 1024.0, float("nan"), float("inf"), 3_000_000_000, 10**30, "", "x", "640", [], [None],
       ["a", 5],
       [{"name": None}, {"name": 5}, "word", None, []], {}, {"html": 7, "name": ["x"]}, "\ud800", "a\x00b")  # fmt: skip


def _search(source: Source, handlers: dict[str, Handler], retries: int = 0, store: Store | None = None) -> list[Found]:
    query = Query(source="any", emotion="joy", context="natural_scenery", phrase="red flower", results=300)
    with serving(handlers) as site:
        answers = Answers(store) if store else None
        client = WebClient(
            user_agent="T/1 (a@b.example)", timeout_s=2, retries=retries, loopback_hosts=site.hosts, answers=answers
        )
        return list(source.search(query, client))


def _giving(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    text = body if isinstance(body, str) else json.dumps(body)

    async def handler(_: web.Request) -> web.Response:
        return web.Response(text=text, status=status, content_type="application/json", headers=headers)

    return handler


def _tabulate(found: list[Found]) -> None:
    as_batch(CANDIDATES, [empty_row(CANDIDATES, key="0" * 16, source="x", **vars(image)) for image in found])


@pytest.mark.parametrize("name", SOURCES)
def test_no_odd_value_costs_another_record(name: str) -> None:
    source, path, kind, good = SOURCES[name]
    other = {**good, "id": "good", "img_id": "good"}
    records = [{**good, field: value} for field, value in itertools.product(good, ODD)]
    for start in range(0, len(records), 10):
        page = {"page_count": 1, "total_pages": 1, kind: [*records[start : start + 10], None, "x", 5, [], other]}
        found = _search(source, {path: _giving(page)})
        assert found[-1].source_id == "good"
        _tabulate(found)
        needed = {"id", "img_id", "url", "urls", "src", "largeImageURL"}
        fields = [field for field, _ in itertools.product(good, ODD)][start : start + 10]
        if not needed & set(fields) or (name == "pexels" and "url" in fields):
            assert len(found) == len(fields) + 1


@pytest.mark.parametrize(
    ("said", "mature"),
    [(True, True), (False, False), (None, False), ("false", False), ("False ", False), ("0", False), (0, False),
     ("true", True), (1, True), ("explicit", True), ([], False), (["nudity"], True), (float("nan"), False)],
)  # fmt: skip
def test_a_flag_may_be_written_oddly(said: Any, mature: bool) -> None:
    source, path, kind, good = SOURCES["openverse"]
    (image,) = _search(source, {path: _giving({"page_count": 1, kind: [{**good, "mature": said}]})})
    assert image.mature is mature


@pytest.mark.parametrize("count", [None, "1", 1.0, "many", [], float("nan"), -1, 1])
def test_how_many_pages_there_are_may_be_said_oddly(count: Any) -> None:
    source, path, kind, good = SOURCES["openverse"]
    assert len(_search(source, {path: _giving({"page_count": count, kind: [good]})})) == 1


@pytest.mark.parametrize("name", SOURCES)
def test_a_byte_order_mark_before_json_is_no_error(name: str) -> None:
    source, path, kind, good = SOURCES[name]
    assert len(_search(source, {path: _giving("\ufeff" + json.dumps({kind: [good]}))})) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
@pytest.mark.parametrize("name", ["openverse", "unsplash", "pexels", "pixabay"])
def test_a_page_past_the_end_keeps_what_was_found(name: str, status: int) -> None:
    source, path, kind, good = SOURCES[name]

    async def handler(request: web.Request) -> web.Response:
        if request.query["page"] != "1":
            return web.Response(status=status, text="page out of range")
        more = {"page_count": 9, "total_pages": 9, "next_page": "x", "totalHits": 500}
        return web.json_response({**more, kind: [{**good, "id": f"{n}"} for n in range(20)]})

    assert len(_search(source, {path: handler})) == 20
    with pytest.raises(ServiceError):
        _search(source, {path: _giving("no", status=status)})


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (403, "Rate Limit Exceeded", {}),
        (403, "no", {"X-Ratelimit-Remaining": "0"}),
        (429, "too many requests", {}),
    ],
)
def test_a_spent_limit_is_waited_for(status: int, body: str, headers: dict[str, str]) -> None:
    source, path, kind, good = SOURCES["unsplash"]
    answers = [web.Response(status=status, text=body, headers=headers), web.json_response({kind: [good]})]

    async def handler(_: web.Request) -> web.Response:
        return answers.pop(0)

    assert len(_search(source, {path: handler}, retries=1)) == 1


@pytest.mark.parametrize(
    ("status", "limit"),
    [
        (429, lambda: {"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": f"{int(time.time()) + 7200}"}),
        (429, lambda: {"X-Ratelimit-Reset": "7200"}),
        (429, lambda: {"Retry-After": "7200"}),
        (429, lambda: {"Retry-After": formatdate(time.time() + 7200, usegmt=True)}),
        (403, lambda: {"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": f"{time.time() + 7200:.3f}"}),
        (503, lambda: {"Retry-After": "7200"}),
    ],
    ids=["moment", "seconds", "Retry-After", "date", "403", "503"],
)
@pytest.mark.parametrize("name", ["pexels", "unsplash", "openverse", "pixabay"])
def test_a_limit_that_is_spent_for_hours_says_for_how_long_and_is_not_asked_meanwhile(
    name: str, status: int, limit: Callable[[], dict[str, str]], store: Store
) -> None:
    source, path, _, _ = SOURCES[name]

    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, text="spent", headers=limit())

    query = Query(source=name, emotion="joy", context="natural_scenery", phrase="red flower", results=300)
    with serving({path: handler}) as site:
        for _ in range(2):  # the second time as after a restart
            rate_limits = RateLimitClient(store=store, host_limit=Limit(100, 0.1))
            client = WebClient(user_agent="T/1 (a@b.example)", loopback_hosts=site.hosts, rate_limits=rate_limits)
            with pytest.raises(ServiceError, match=r"may not be asked for another 2\.0 h.*remedy: run again then"):
                list(source.search(query, client))
        assert len(site.requests) == 1


def test_a_refusal_that_is_no_limit_is_not_asked_again() -> None:
    source, path, _, _ = SOURCES["unsplash"]
    asked = []

    async def handler(_: web.Request) -> web.Response:
        asked.append(1)
        return web.Response(status=403, text="OAuth error: The access token is invalid")

    with pytest.raises(ServiceError, match="403"):
        _search(source, {path: handler}, retries=3)
    assert len(asked) == 1


@pytest.mark.parametrize("body", ["<html>sorry</html>", "", "[" * 100_000, '{"results": '])
def test_an_answer_that_is_no_json_is_not_kept_for_a_day(body: str, store: Store) -> None:
    source, path, kind, good = SOURCES["openverse"]
    with pytest.raises(ServiceError):
        _search(source, {path: _giving(body)}, store=store)
    assert len(_search(source, {path: _giving({"page_count": 1, kind: [good]})}, store=store)) == 1
