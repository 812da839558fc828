"""A search that was broken off asks nothing twice, and ends with the bytes of an undisturbed one."""

from aiohttp import web

from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import Limit
from crawl.rounds.rounds import open_round
from crawl.rounds.search import SearchSettings, search_stage
from crawl.sites.openverse import Openverse, OpenverseSettings
from crawl.source import Query
from moodarchive.errors import ServiceError
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.parts import part_path
from moodarchive.tables.schemas import CANDIDATES
from tests.making import HOST, Site, serving

AGENT = "MoodArchive-test/0.1 (mailto:someone@a.example)"
PATH = "/v1/images/"


def _search(store: Store, site: Site) -> None:
    queries = [
        Query(source="openverse", emotion="joy", context="natural_scenery", phrase=f"p{n}", results=20)
        for n in range(4)
    ]
    record = open_round(store, [], queries, {}, 10)
    assert record
    rate_limits = RateLimitClient(store=store, host_limit=Limit(100, 0.1))
    sources = {"openverse": Openverse(OpenverseSettings(base_url=f"http://{HOST}/v1"))}
    stage = search_stage(
        SearchSettings(user_agent=AGENT, loopback_hosts=site.hosts), sources, store, record, rate_limits
    )
    run_part(stage, store, stage.make_worker(), 0)


def test_no_question_is_asked_twice_after_a_break(store: Store) -> None:
    asked: list[str] = []
    broken = [True]

    async def answering(request: web.Request) -> web.Response:
        phrase = request.query["q"]
        asked.append(phrase)
        if phrase == "p2" and broken and broken.pop():
            return web.Response(status=403)
        record = {"id": phrase, "url": f"https://x.example/{phrase}.jpg", "license": "by", "license_version": "4.0"}
        headers = {"Date": f"Thu, 0{len(asked)} Jan 2026 00:00:00 GMT"}
        return web.json_response({"page_count": 1, "results": [record]}, headers=headers)

    with serving({PATH: answering}) as site:
        try:
            _search(store, site)
            raise AssertionError("the third question was refused")
        except ServiceError:
            assert asked == ["p0", "p1", "p2"]
        _search(store, site)
        assert asked == ["p0", "p1", "p2", "p2", "p3"]
        first = store.read_bytes(part_path(CANDIDATES, 0))
        store.remove(f"{CANDIDATES.name}/00000.json")
        _search(store, site)
        assert len(asked) == 5, "a day's answers are remembered, with their dates"
    assert store.read_bytes(part_path(CANDIDATES, 0)) == first
