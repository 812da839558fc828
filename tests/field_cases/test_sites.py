"""Sitemaps and answers of search interfaces, as in the field cases."""

import logging
import time
from typing import Any

import pytest
from aiohttp import web
from multidict import CIMultiDict
from pydantic import SecretStr

from crawl.http.search_client import WebClient
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import Limit
from crawl.sites.openverse import Openverse, OpenverseSettings
from crawl.sites.pexels import KEY as PEXELS_KEY
from crawl.sites.pexels import Pexels, PexelsSettings
from crawl.sites.pixabay import KEY as PIXABAY_KEY
from crawl.sites.pixabay import Pixabay, PixabaySettings
from crawl.sites.sitemap import read_sitemaps
from crawl.sites.unsplash import KEY as UNSPLASH_KEY
from crawl.sites.unsplash import Unsplash, UnsplashSettings
from crawl.source import Found, Query, Source
from moodarchive.errors import ServiceError
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import CANDIDATES, as_batch, empty_row
from tests.field_cases.cases import case, entries, ids, needs_cases, rows
from tests.making import HOST, Handler, giving, serving

pytestmark = needs_cases

SITEMAPS = entries("sitemaps/answers.json")
ANSWERS = rows("apis/answers.csv")
BASE = "http://site.test"


def _pages(handlers: dict[str, Handler]) -> list[str]:
    with serving(handlers) as site:
        hosts = {name: site.hosts[HOST] for name in ("site.test", "www.site.test")}
        client = WebClient(user_agent="T/1 (a@b.example)", timeout_s=2, retries=0, loopback_hosts=hosts)
        pages, _ = read_sitemaps(client, BASE, "burst")
        return [page.address for page in pages]


def _given(answer: dict[str, Any]) -> Handler:
    body = case(f"sitemaps/{answer['file']}").read_bytes() if "file" in answer else answer["body"].encode()
    return giving(body, answer["status"])


@pytest.mark.parametrize("answer", SITEMAPS, ids=ids(SITEMAPS, "entry", "other_answers"))
def test_sitemaps(answer: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    others = {path: _given(other) for path, other in answer.get("other_answers", {}).items()}
    files = {f"/{path.name}": giving(path.read_bytes()) for path in case("sitemaps").glob("*.xml")}
    entry = giving(case(f"sitemaps/{answer['entry']}").read_bytes())
    pages = _pages({**files, **others, "/sitemap.xml": entry})
    assert len(pages) == int(answer["right"].partition(" ")[0].replace("a", "1"))
    if "named" in answer["right"] and answer["entry"].startswith("index_two"):
        assert "/b.xml" in caplog.text
    if answer["entry"] == "bare_ampersand.xml":
        assert pages == ["http://site.test/photos/a?x=1&y=2"]


def test_a_child_of_18_megabytes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    line = "<url><loc>http://site.test/photos/{}" + "x" * 360 + "</loc></url>"
    large = "<urlset>" + "".join(line.format(n) for n in range(45_000)) + "</urlset>"
    assert len(large) > 17_000_000
    handlers = {
        "/sitemap.xml": giving(case("sitemaps/index_two_children.xml").read_bytes()),
        "/good.xml": giving(case("sitemaps/good.xml").read_bytes()),
        "/b.xml": giving(large.encode()),
    }
    assert len(_pages(handlers)) == 1
    assert "/b.xml" in caplog.text


KEYS = {name: SecretStr("hush") for name in (PEXELS_KEY, PIXABAY_KEY, UNSPLASH_KEY)}
SOURCES: dict[str, tuple[Source, str]] = {
    "openverse": (Openverse(OpenverseSettings(base_url=f"http://{HOST}/v1")), "/v1/images/"),
    "unsplash": (Unsplash(UnsplashSettings(base_url=f"http://{HOST}"), KEYS), "/search/photos"),
    "pexels": (Pexels(PexelsSettings(base_url=f"http://{HOST}"), KEYS), "/v1/search"),
    "pixabay": (Pixabay(PixabaySettings(base_url=f"http://{HOST}"), KEYS), "/api/"),
}
GOOD_PAGES: dict[str, dict[str, Any]] = {
    "openverse": {
        "page_count": 9,
        "results": [{"id": str(n), "url": f"http://c.test/{n}.jpg", "title": "x", "license": "by"} for n in range(20)],
    },
    "pixabay": {
        "totalHits": 500,
        "hits": [{"id": n, "largeImageURL": f"http://c.test/{n}.jpg", "tags": "x"} for n in range(200)],
    },
    "unsplash": {"total_pages": 1, "results": [{"id": "a", "urls": {"regular": "http://c.test/a.jpg"}}]},
}


def _search(name: str, handler: Handler, store: Store | None = None, retries: int = 0, **limits: Any) -> list[Found]:
    source, path = SOURCES[name]
    query = Query(source=name, emotion="joy", context="natural_scenery", phrase="red flower", results=300)
    with serving({path: handler}) as site:
        paced = RateLimitClient(store=store, host_limit=Limit(50, 0.1), **limits) if store else None
        client = WebClient(
            user_agent="T/1 (a@b.example)", timeout_s=2, retries=retries, loopback_hosts=site.hosts, rate_limits=paced
        )
        found = list(source.search(query, client))
    as_batch(CANDIDATES, [empty_row(CANDIDATES, key="0" * 16, source=name, **vars(image)) for image in found])
    return found


@pytest.mark.parametrize("answer", ANSWERS, ids=ids(ANSWERS, "file"))
def test_search_answers(answer: dict[str, str], store: Store) -> None:
    name, body = answer["file"].partition("/")[0], case(f"apis/{answer['file']}").read_bytes()
    headers = CIMultiDict(line.split(": ", 1) for line in answer["headers"].split("; ") if line and "(" not in line)
    status, right = int(answer["status"]), answer["right"]
    served = web.Response(status=status, body=body, headers=headers, content_type="application/json")
    if "candidate" in right and right[0].isdigit():
        found = _search(name, giving(body, status, headers))
        assert len(found) == int(right[0])
    elif "kept" in right:

        async def past_the_end(request: web.Request) -> web.Response:
            return web.json_response(GOOD_PAGES[name]) if request.query["page"] == "1" else served

        assert len(_search(name, past_the_end)) == len(next(iter(list(GOOD_PAGES[name].values())[1:])))
    elif "as for 429" in right:
        answers = [served, web.json_response(GOOD_PAGES[name])]

        async def in_turn(_: web.Request) -> web.Response:
            return answers.pop(0)

        assert len(_search(name, in_turn, store, retries=1)) == 1
    else:
        assert "says when" in right
        asked = []

        async def spent(_: web.Request) -> web.Response:
            asked.append(1)
            reset = str(int(time.time()) + 3600)
            return web.Response(status=status, body=body, headers={**headers, "X-Ratelimit-Reset": reset})

        with pytest.raises(ServiceError, match=r"another 1\.0 h.*remedy: run again then"):
            _search(name, spent, store, retries=3, longest_wait_s=60.0)
        assert len(asked) == 1


def test_every_answer_has_its_row() -> None:
    listed = {answer["file"] for answer in ANSWERS}
    files = {path.relative_to(case("apis")).as_posix() for path in case("apis").glob("*/*")}
    assert files == listed
