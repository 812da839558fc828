"""A site that wants to know which pictures are used is told once a picture, within its quota, whatever happens."""

import pytest
from aiohttp import web
from pydantic import SecretStr

from crawl.http.search_client import WebClient
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import Limit
from crawl.rounds.usage_reports import report_uses
from crawl.sites.openverse import Openverse, OpenverseSettings
from crawl.sites.unsplash import KEY, Unsplash, UnsplashSettings
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import ITEMS, SELECTION
from tests.making import HOST, Fate, Site, serving, write_rows

SOURCES = (
    Unsplash(UnsplashSettings(base_url=f"http://{HOST}"), {KEY: SecretStr("hush-1")}),
    Openverse(OpenverseSettings()),
)
FATES = {
    0: [Fate(number=1, source="unsplash"), Fate(number=2), Fate(number=3, source="unsplash", reason="low_score")],
    1: [Fate(number=4, source="unsplash"), Fate(number=5, source="unsplash")],
}
USED = ["/photos/p1/download", "/photos/p4/download", "/photos/p5/download"]


@pytest.fixture(autouse=True)
def tables(store: Store) -> None:
    for part, fates in FATES.items():
        rows = sorted((fate.rows() for fate in fates), key=lambda row: str(row["items"]["key"]))
        for table in (ITEMS, SELECTION):
            write_rows(store, table, part, [row[table.name] for row in rows])


def _report(store: Store, site: Site, quota: int = 1000) -> str:
    limits = {"unsplash": (Limit(quota, 3600.0),)}
    rate_limits = RateLimitClient(store=store, host_limit=Limit(100, 0.1), source_limits=limits, longest_wait_s=1)
    client = WebClient(user_agent="T/1 (a@b.example)", retries=0, loopback_hosts=site.hosts, rate_limits=rate_limits)
    return report_uses(store, (0, 1), SOURCES, client)


def _site(status: int = 200) -> dict[str, object]:
    async def told(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Client-ID hush-1"
        return web.json_response({"url": "http://x.example"}, status=status)

    return {f"/photos/p{n}/download": told for n in range(1, 6)}


def test_every_kept_picture_of_the_site_is_reported_once(store: Store) -> None:
    with serving(_site()) as site:  # type: ignore[arg-type]
        assert _report(store, site) == ""
        assert _report(store, site) == ""
        assert sorted(site.paths()) == USED


def test_a_spent_quota_leaves_the_rest_to_the_next_run(store: Store) -> None:
    with serving(_site()) as site:  # type: ignore[arg-type]
        assert "2 uses are still to be reported" in _report(store, site, quota=1)
        assert len(site.requests) == 1
        assert _report(store, site, quota=1000) == ""
        assert sorted(site.paths()) == USED


def test_a_site_that_does_not_listen_ends_no_run(store: Store) -> None:
    with serving(_site(403)) as site:  # type: ignore[arg-type]
        assert "3 uses are still to be reported" in _report(store, site)
        assert len(site.requests) == 1, "one refusal is enough"


def test_sources_that_ask_for_nothing_are_told_nothing(store: Store) -> None:
    client = WebClient(user_agent="T/1 (a@b.example)")
    assert report_uses(store, (0, 1), SOURCES[1:], client) == ""
