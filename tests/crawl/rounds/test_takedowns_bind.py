"""What was taken down does not come back through a later search or download, and every such hit is still a row."""

import hashlib
from pathlib import Path

import pytest
from aiohttp import web

from crawl.download import DownloadSettings, download_stage
from crawl.http.search_cache import Answers, forget_answers
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import Limit
from crawl.rounds.merge import MergeSettings, merge_candidates
from crawl.rounds.rounds import Round, open_round, read_rounds
from crawl.rounds.search import SearchSettings, search_stage
from crawl.sites.openverse import Openverse, OpenverseSettings
from crawl.source import Query
from moodarchive.archive.takedown import ERASED_PROVENANCE, Identifiers, Takedown, creator_digest, record, url_digest
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.keys import image_key
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import CANDIDATES, IMAGES, ITEMS
from tests.making import HOST, Site, encoded, giving, rows_of, serving, textured

AGENT = "MoodArchive-test/0.1 (mailto:someone@a.example)"
SERVED = encoded(textured(seed=3))
BOUND = Identifiers(
    keys=frozenset({image_key("openverse", "by key")}),
    urls=frozenset({url_digest(f"http://{HOST}/by-url.jpg?b=2&a=1")}),
    hashes=frozenset({hashlib.sha256(SERVED).hexdigest()}),
    creators=frozenset({creator_digest("Ann Müller")}),
)
HITS = {
    "by key": {"url": f"http://{HOST}/key.jpg"},
    "by url": {"url": f"https://{HOST.upper()}/by-url.jpg?a=1&b=2#top"},
    "by creator": {"url": f"http://{HOST}/creator.jpg", "creator": "ann  MÜLLER"},
    "by bytes": {"url": f"http://{HOST}/bytes.jpg"},
    "free": {"url": f"http://{HOST}/free.jpg", "creator": "Ann Muller"},
}


async def _answering(_: web.Request) -> web.Response:
    hits = [
        {"id": name, "title": f"title {name}", "license": "by", "license_version": "4.0", **hit}
        for name, hit in HITS.items()
    ]
    headers = {"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}
    return web.json_response({"page_count": 1, "results": hits}, headers=headers)


def _round(store: Store, site: Site) -> Round:
    """Searched, merged and downloaded."""
    rounds = read_rounds(store)
    query = Query(source="openverse", emotion="joy", context="natural_scenery", phrase=f"p{len(rounds)}", results=20)
    opened = open_round(store, rounds, [query], {}, 10)
    assert opened
    rate_limits = RateLimitClient(store=store, host_limit=Limit(100, 0.1))
    sources = {"openverse": Openverse(OpenverseSettings(base_url=f"http://{HOST}/v1"))}
    search = search_stage(
        SearchSettings(user_agent=AGENT, loopback_hosts=site.hosts), sources, store, opened, rate_limits
    )
    run_part(search, store, search.make_worker(), opened.first_candidates_part)
    merged = merge_candidates(store, opened, MergeSettings())
    download = download_stage(DownloadSettings(), AGENT, site.hosts, store=store)
    run_part(download, store, download.make_worker(), merged.first_part)
    return merged


@pytest.fixture
def bound(store: Store) -> Store:
    record(store, Takedown(asked=BOUND, met=Identifiers(), done=True))
    return store


def test_hits_that_are_bound_stay_rows_that_tell_nothing_and_are_not_downloaded(bound: Store) -> None:
    pictures = {f"/{name}.jpg": giving(encoded(textured(seed=n))) for n, name in enumerate(("key", "creator", "free"))}
    with serving({"/v1/images/": _answering, "/bytes.jpg": giving(SERVED), **pictures}) as site:
        merged = _round(bound, site)
        asked = [path for path in site.paths() if path.endswith(".jpg")]
    assert sorted(asked) == ["/bytes.jpg", "/free.jpg"]
    hidden = {image_key("openverse", name) for name in ("by key", "by url", "by creator")}
    for table, part in ((CANDIDATES, 0), (ITEMS, merged.first_part)):
        rows = {row["key"]: row for row in rows_of(bound, table, part)}
        assert len(rows) == 5
        assert {key for key, row in rows.items() if all(row[name] is None for name in ERASED_PROVENANCE)} == hidden
        assert rows[image_key("openverse", "free")]["creator"] == "Ann Muller"
    images = {row["key"]: row for row in rows_of(bound, IMAGES, merged.first_part)}
    gone = hidden | {image_key("openverse", "by bytes")}
    assert {key for key, row in images.items() if row["status"] == "taken_down" and row["bytes"] is None} == gone
    assert images[image_key("openverse", "free")]["status"] == "ok"
    assert finished_parts(bound, IMAGES)[merged.first_part].failures == {"taken_down": 4}


def test_a_second_round_deals_none_of_them_again(bound: Store) -> None:
    with serving({"/v1/images/": _answering, "/bytes.jpg": giving(SERVED), "/free.jpg": giving(SERVED)}) as site:
        first, second = _round(bound, site), _round(bound, site)
    assert len(rows_of(bound, ITEMS, first.first_part)) == 5
    assert rows_of(bound, ITEMS, second.first_part) == []


def test_answers_can_be_forgotten(store: Store, tmp_path: Path) -> None:
    store.write_bytes("crawl/answers/ab/abcd.json", b"{}")
    store.write_bytes("crawl/quotas/x.json", b"{}")
    forget_answers(store)
    assert list(store.files("crawl")) == ["crawl/quotas/x.json"]
    assert Answers(store).find("http://a.example", {}) is None
