"""A source's `licences` choose which of its images enter the archive at all."""

from pathlib import Path

import pytest
from aiohttp import web
from pydantic import ValidationError

from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import Limit
from crawl.rounds.rounds import open_round
from crawl.rounds.search import SearchSettings, search_stage
from crawl.sites.openverse import Openverse, OpenverseSettings
from crawl.sites.urls import Urls, UrlsSettings
from crawl.source import Query, Source
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import CANDIDATES
from tests.making import HOST, Site, rows_of, serving

LIST = """url,caption,license,license_url
http://h.test/0.jpg,happy dog,CC BY 2.0,
http://h.test/1.jpg,happy dog,cc-by-nc-2.0,
http://h.test/2.jpg,happy dog,https://creativecommons.org/publicdomain/zero/1.0/,
http://h.test/3.jpg,happy dog,CC BY 2.0,https://creativecommons.org/licenses/by-nc/2.0/
http://h.test/4.jpg,happy dog,,
http://h.test/5.jpg,happy dog,by 4.0,https://creativecommons.org/licenses/by/4.0/
"""


def _enter(store: Store, source: Source, site: Site) -> list[str]:
    """The last digit of each address that became a candidate."""
    query = Query(source=source.name, emotion="joy", context="natural_scenery", phrase="happy dog", results=100)
    record = open_round(store, [], [query], {}, 1000)
    assert record
    settings = SearchSettings(user_agent="T/1 (a@b.example)", loopback_hosts=site.hosts)
    rate_limits = RateLimitClient(store=store, host_limit=Limit(100, 0.1))
    stage = search_stage(settings, {source.name: source}, store, record, rate_limits)
    run_part(stage, store, stage.make_worker(), 0)
    return sorted(row["url"][-5] for row in rows_of(store, CANDIDATES, 0))


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        ((), "012345"), (("by", "cc0"), "025"), (("by 4.0",), "5"), (("unknown",), "34"), (("by-nc", "unknown"), "134"),
        (("by-sa",), ""),
    ],
)  # fmt: skip
def test_images_of_other_licences_do_not_enter(
    store: Store, tmp_path: Path, licences: tuple[str, ...], expected: str
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(LIST)
    with serving({}) as site:
        assert _enter(store, Urls(UrlsSettings(lists=(str(path),), licences=licences)), site) == list(expected)


def test_openverse_is_asked_for_its_licences_and_what_it_answers_beside_them_does_not_enter(store: Store) -> None:
    asked = []

    async def answering(request: web.Request) -> web.Response:
        asked.append(request.query["license"])
        stated = [("by", "2.0"), ("by-nc", "2.0"), ("cc0", "1.0"), (None, None), ("by", None)]
        records = [
            {"id": str(n), "url": f"https://x.example/{n}.jpg", "license": name, "license_version": version}
            for n, (name, version) in enumerate(stated)
        ]
        return web.json_response({"page_count": 1, "results": records})

    with serving({"/v1/images/": answering}) as site:
        settings = OpenverseSettings(base_url=f"http://{HOST}/v1", licences=("by", "cc0"))
        assert _enter(store, Openverse(settings), site) == ["0", "2", "3", "4"]
    assert asked == ["by,cc0"]


def test_a_name_that_no_licence_has_is_refused_with_the_legal_ones() -> None:
    with pytest.raises(ValidationError, match="'cc-by' is no licence; legal: cc0, pdm, by, "):
        UrlsSettings(licences=("cc-by",))
    with pytest.raises(ValidationError, match="is no licence of Openverse"):
        OpenverseSettings(licences=("unsplash",))
