"""A part of items/ becomes a part of pictures: every row one row, in order, whatever the sites do."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest
from aiohttp import web

from crawl.download import DownloadSettings, download_stage
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import Limit
from moodarchive.running.part_log import part_log
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.keys import image_key
from moodarchive.tables.parts import Sidecar
from moodarchive.tables.schemas import IMAGES, ITEMS
from tests.crawl.hostile_site import HANDLERS, MAX_BYTES, SITE
from tests.making import Row, encoded, giving, opened, rows_of, serving, textured, write_rows

SETTINGS = DownloadSettings(max_bytes=MAX_BYTES, deadline_s=1.0, in_flight=8, longest_side=200)
AGENT = "MoodArchive-test/0.1"


def _merge(store: Store, urls: Mapping[str, str]) -> None:
    """One row of items/ for each id → URL, in key order."""
    rows: list[Row] = [{"key": image_key("stock", name), "url": url} for name, url in urls.items()]
    write_rows(store, ITEMS, 0, sorted(rows, key=lambda row: str(row["key"])))


def _download(store: Store, hosts: Mapping[str, str], settings: DownloadSettings = SETTINGS) -> Sidecar:
    stage = download_stage(settings, AGENT, hosts)
    with part_log(store, "download", 0):
        return run_part(stage, store, stage.make_worker(), 0)


def test_a_failed_row_holds_nothing_but_its_failure(store: Store) -> None:
    _merge(store, {"a": f"{SITE}/absent"})
    with serving(HANDLERS) as site:
        _download(store, site.hosts)
    (row,) = rows_of(store, IMAGES, 0)
    assert {name for name, value in row.items() if value is not None} == {"key", "status", "error"}


@pytest.mark.parametrize("first", [0, 1])
def test_which_rows_of_a_failing_host_were_asked_for_does_not_show(store: Store, first: int) -> None:
    parts = {0: [f"{SITE}/bad/{n}" for n in range(12)], 1: [f"{SITE}/bad/{n}" for n in range(12, 30)]}
    for part, urls in parts.items():
        keys = {image_key("stock", url): url for url in (*urls, f"http://good.test/{part}")}
        write_rows(store, ITEMS, part, [{"key": key, "url": keys[key]} for key in sorted(keys)])
    bad = {f"/bad/{n}": giving(b"", 500) for n in range(30)}
    good = {f"/{part}": giving(encoded(textured(220, 160, part))) for part in parts}
    rate_limits = RateLimitClient(store=store, host_limit=Limit(500, 0.1))
    with serving({**bad, **good}) as site:
        hosts = {**site.hosts, "good.test": site.address}
        for part in (first, 1 - first):
            stage = download_stage(SETTINGS.model_copy(update={"in_flight": 16}), AGENT, hosts, rate_limits)
            run_part(stage, store, stage.make_worker(), part)
        asked = {path for path in site.paths() if path.startswith("/bad")}
    assert len(asked) < 30, "the host was left alone, also by a worker that had never asked it"
    for part, urls in parts.items():
        ended = sorted((row["status"], row["error"] or "") for row in rows_of(store, IMAGES, part))
        assert ended == [*[("failed", "http_500")] * len(urls), ("ok", "")]


def _shuffled_site(count: int, seed: int) -> dict[str, object]:
    random = Random(seed)

    def delayed(number: int) -> object:
        body, wait = encoded(textured(220, 160, number)), random.random() * 0.08

        async def answer(_: web.Request) -> web.Response:
            await asyncio.sleep(wait)
            return web.Response(body=body)

        return answer

    return {f"/{number}": delayed(number) for number in range(count)}


def test_equal_answers_give_equal_bytes_in_whatever_order_they_come(tmp_path: Path) -> None:
    digests = set()
    for seed in range(2):
        store = Store(str(tmp_path / str(seed)))
        _merge(store, {str(i): f"{SITE}/{i}" for i in range(120)})
        with serving(_shuffled_site(120, seed)) as site:  # type: ignore[arg-type]
            digests.add(_download(store, site.hosts).sha256)
    assert len(digests) == 1
    rows = rows_of(store, IMAGES, 0)
    assert [row["key"] for row in rows] == sorted(image_key("stock", str(i)) for i in range(120))
    by_key = {image_key("stock", str(i)): encoded(textured(220, 160, i)) for i in range(120)}
    assert all(row["original_bytes"] == len(by_key[row["key"]]) for row in rows)
    assert all(opened(row["bytes"]).size == (200, 145) for row in rows)


@pytest.mark.parametrize("in_flight", [1, 4])
def test_a_site_never_sees_more_requests_at_once_than_agreed(store: Store, in_flight: int) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.03)
        return web.Response(status=404)

    _merge(store, {str(i): f"{SITE}/{i}" for i in range(24)})
    with serving({f"/{i}": slow for i in range(24)}) as site:
        _download(store, site.hosts, SETTINGS.model_copy(update={"in_flight": in_flight}))
    assert len(site.requests) == 24
    assert site.most_working == in_flight


def test_settings_of_execution_make_no_part_stale_and_per_row_settings_do(store: Store) -> None:
    _merge(store, {"a": f"{SITE}/good"})
    with serving(HANDLERS) as site:
        _download(store, site.hosts)
        _download(store, {**site.hosts, "other.test": "127.0.0.1:1"}, SETTINGS.model_copy(update={"in_flight": 2}))
        assert len(site.requests) == 1
        _download(store, site.hosts, SETTINGS.model_copy(update={"longest_side": 150}))
        assert len(site.requests) == 2
    assert rows_of(store, IMAGES, 0)[0]["width"] == 150


def test_what_is_kept_of_a_picture_is_told(store: Store) -> None:
    served = encoded(textured(400, 300), "PNG")
    _merge(store, {"a": f"{SITE}/a"})
    with serving({"/a": giving(served, headers={"Content-Type": "text/html"})}) as site:
        _download(store, site.hosts)
    (row,) = rows_of(store, IMAGES, 0)
    assert (row["original_type"], row["original_width"], row["original_height"]) == ("PNG", 400, 300)
    assert (row["original_bytes"], row["width"], row["height"]) == (len(served), 200, 150)
    assert 0 <= row["phash"] < 2**64
