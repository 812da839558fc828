"""Openverse's replies become rows; pages, waiting and errors follow its interface."""

import time
from typing import Any

import pytest
from aiohttp import web

from crawl.http.search_client import WebClient
from crawl.rounds.rounds import open_round
from crawl.rounds.search import SearchSettings, search_stage
from crawl.sites.openverse import Openverse, OpenverseSettings
from crawl.source import Found, Query
from moodarchive.errors import ServiceError
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.keys import image_key
from moodarchive.tables.schemas import CANDIDATES
from tests.making import HOST, Site, rows_of, serving

PATH = "/v1/images/"
DATE = "Thu, 01 Jan 2026 23:59:59 GMT"
AGENT = "MoodArchive-test/0.1 (mailto:someone@a.example)"
RECORDS: list[dict[str, Any]] = [
    {
        "id": "b9c5c4a0-0001", "title": "Dog, wildly happy", "foreign_landing_url": "https://photos.example/1",
        "url": "https://photos.example/1_b.jpg", "creator": "Ana Ü.", "creator_url": "https://photos.example/ana",
        "license": "by-sa", "license_version": "2.0", "license_url": "https://creativecommons.org/licenses/by-sa/2.0/",
        "tags": [{"name": "dog", "accuracy": None}, {"name": "joy", "accuracy": 0.9}], "mature": True,
        "width": 1024, "height": 683, "category": None, "provider": "photos",
    },
    {
        "id": "b9c5c4a0-0002", "title": "Meadow", "foreign_landing_url": None, "url": "https://photos.example/2.jpg",
        "creator": None, "creator_url": None, "license": "cc0", "license_version": "1.0",
        "license_url": "https://creativecommons.org/publicdomain/zero/1.0/", "tags": None, "mature": False,
        "width": None, "height": None,
    },
]  # fmt: skip


def _record(number: int) -> dict[str, Any]:
    return {**RECORDS[1], "id": str(number), "url": f"https://photos.example/{number}.jpg"}


def _paging(records: list[dict[str, Any]], trouble: web.Response | None = None) -> Any:
    """The search interface over the records; ``trouble`` is the first answer."""
    first = [trouble] if trouble else []

    async def search(request: web.Request) -> web.Response:
        if first:
            return first.pop()
        page, size = int(request.query["page"]), int(request.query["page_size"])
        shown = records[(page - 1) * size : page * size]
        reply = {"result_count": len(records), "page_count": -(-len(records) // size), "results": shown}
        return web.json_response(reply, headers={"Date": DATE})

    return search


def _query(results: int = 100, phrase: str = "happy dog") -> Query:
    return Query(source="openverse", emotion="joy", context="natural_scenery", phrase=phrase, results=results)


def _settings() -> OpenverseSettings:
    return OpenverseSettings(base_url=f"http://{HOST}/v1", licences=("cc0", "by-sa"))


def _searched(site: Site, query: Query) -> list[Found]:
    web_client = WebClient(user_agent=AGENT, timeout_s=2, retries=1, loopback_hosts=site.hosts)
    return list(Openverse(_settings()).search(query, web_client))


def test_records_become_images_with_their_provenance() -> None:
    with serving({PATH: _paging(RECORDS)}) as site:
        first, second = _searched(site, _query())
    assert first == Found(
        source_id="b9c5c4a0-0001",
        url="https://photos.example/1_b.jpg",
        landing_url="https://photos.example/1",
        title="Dog, wildly happy",
        alt_text="dog, joy",
        creator="Ana Ü.",
        creator_url="https://photos.example/ana",
        licence="by-sa 2.0",
        licence_url="https://creativecommons.org/licenses/by-sa/2.0/",
        width=1024,
        height=683,
        mature=True,
        retrieved_on="2026-01-01",
    )
    assert (second.licence, second.alt_text, second.creator, second.width) == ("cc0 1.0", "Meadow", None, None)


def test_the_site_is_asked_page_by_page_as_agreed() -> None:
    with serving({PATH: _paging([_record(i) for i in range(45)])}) as site:
        found = _searched(site, _query())
    assert [image.source_id for image in found] == [str(i) for i in range(45)]
    asked = [dict(request.query) for request in site.requests]  # type: ignore[attr-defined]
    expected = {"q": "happy dog", "license": "cc0,by-sa", "page_size": "20"}
    assert asked == [{**expected, "page": str(page)} for page in (1, 2, 3)]
    assert {request.headers["User-Agent"] for request in site.requests} == {AGENT}
    assert {request.headers["Host"] for request in site.requests} == {HOST}


@pytest.mark.parametrize(("results", "pages"), [(20, 1), (25, 2), (3, 1)])
def test_no_more_is_asked_than_wanted(results: int, pages: int) -> None:
    with serving({PATH: _paging([_record(i) for i in range(100)])}) as site:
        assert len(_searched(site, _query(results))) == results
    assert len(site.requests) == pages


def test_a_query_without_an_answer_is_no_error() -> None:
    with serving({PATH: _paging([])}) as site:
        assert _searched(site, _query()) == []


def test_records_that_could_never_be_fetched_are_passed_over() -> None:
    nameless = [{**RECORDS[0], "id": None}, {**RECORDS[0], "url": ""}, RECORDS[1]]
    with serving({PATH: _paging(nameless)}) as site:
        assert [image.source_id for image in _searched(site, _query())] == ["b9c5c4a0-0002"]


def test_retry_after_is_honoured() -> None:
    busy = web.Response(status=429, headers={"Retry-After": "1"})
    with serving({PATH: _paging(RECORDS, busy)}) as site:
        began = time.monotonic()
        assert len(_searched(site, _query())) == 2
        assert 0.95 < time.monotonic() - began < 15
    assert len(site.requests) == 2


def _cut_short() -> web.Response:
    response = web.Response(body=b'{"results": [', headers={"Content-Length": "5000"})
    response.force_close()
    return response


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=401, text="bad token hush-hush-1"),
        lambda: web.Response(status=404),
        lambda: web.Response(status=429, headers={"Retry-After": "0"}),
        lambda: web.Response(text="<html>maintenance</html>"),
        lambda: web.json_response({"detail": "no results here"}),
        lambda: web.json_response([1, 2]),
        lambda: web.json_response({"results": ["x", None], "page_count": 1}),
        _cut_short,
    ],
    ids=["401", "404", "always busy", "html", "no results", "a list", "no records", "cut short"],
)
def test_an_answer_against_the_interface_names_the_address_and_no_parameter(answer: Any) -> None:
    async def answering(_: web.Request) -> web.Response:
        response: web.Response = answer()
        return response

    with serving({PATH: answering}) as site, pytest.raises(ServiceError) as caught:
        _searched(site, _query(phrase="hush-hush-1"))
    assert f"http://{HOST}{PATH}" in str(caught.value)
    assert "hush" not in str(caught.value)
    assert "page_size" not in str(caught.value)


def test_an_absent_site_is_an_error_too() -> None:
    client = WebClient(user_agent=AGENT, timeout_s=0.2, retries=1, loopback_hosts={HOST: "127.0.0.1:1"})
    with pytest.raises(ServiceError, match=f"http://{HOST}{PATH}") as caught:
        list(Openverse(_settings()).search(_query(phrase="hush"), client))
    assert "hush" not in str(caught.value)


def test_a_part_of_searches_has_a_row_for_every_image_of_every_answer(store: Store) -> None:
    broken_title = {**_record(7), "title": "cut in half \ud83d"}  # half a character, as a careless cut leaves it
    queries = [_query(results=2), _query(phrase="sunlit meadow", results=3)]
    with serving({PATH: _paging([RECORDS[0], _record(1), broken_title])}) as site:
        record = open_round(store, [], queries, {}, 10)
        assert record
        settings = SearchSettings(user_agent=AGENT, loopback_hosts=site.hosts)
        stage = search_stage(settings, {"openverse": Openverse(_settings())}, store, record)
        run_part(stage, store, stage.make_worker(), 0)
        run_part(stage, store, stage.make_worker(), 0)
        assert len(site.requests) == 2, "a finished part is not asked for again"
    rows = rows_of(store, CANDIDATES, 0)
    found = [(row["phrase"], row["rank"], row["source_id"]) for row in rows]
    expected = [("happy dog", 0, "b9c5c4a0-0001"), ("happy dog", 1, "1")]
    assert found == [*expected, *(("sunlit meadow", i, s) for i, s in enumerate(("b9c5c4a0-0001", "1", "7")))]
    assert rows[0]["key"] == image_key("openverse", "b9c5c4a0-0001")
    assert (rows[0]["emotion"], rows[0]["context"], rows[0]["round"]) == ("joy", "natural_scenery", 0)
    assert rows[4]["title"].startswith("cut in half")
