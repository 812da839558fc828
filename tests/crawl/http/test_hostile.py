"""Every way to misbehave ends in a failed row of its own kind, in bounded time, and keeps no good picture back."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from crawl.download import DownloadSettings, download_stage
from moodarchive.running.part_log import log_path, part_log
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.keys import image_key
from moodarchive.tables.parts import Sidecar
from moodarchive.tables.schemas import IMAGES, ITEMS
from tests.crawl.hostile_pictures import HOSTILE_PICTURES
from tests.crawl.hostile_site import FAILURES, HANDLERS, MAX_BYTES, SITE
from tests.crawl.raw_site import MISBEHAVIOURS, OTHER_HOSTS, RAW_HOST, misbehaving
from tests.making import giving, rows_of, serving, write_rows

DEADLINE_S, GOOD_ROWS = 2.0, 20
PICTURES = {path: entry for path, entry in HOSTILE_PICTURES.items() if len(entry[0]) <= MAX_BYTES}
"""Larger ones end at the limit on bytes; tests/crawl/test_pictures.py has them all."""
KINDS: Mapping[str, str] = {
    **FAILURES,
    **OTHER_HOSTS,
    **{f"http://{RAW_HOST}{path}": kind for path, (_, kind) in MISBEHAVIOURS.items()},
    **{f"{SITE}{path}": kind for path, (_, kind) in PICTURES.items()},
    **{f"{SITE}{path}": "too_many_bytes" for path in sorted(HOSTILE_PICTURES.keys() - PICTURES.keys())},
    f"{SITE}/endless-redirects": "too_many_redirects",
    f"{SITE}/noai": "opt_out_noai",
    f"{SITE}/tdm": "opt_out_tdm",
    f"{SITE}/part-of-it": "http_206",
    f"{SITE}/nothing": "http_204",
    f"{SITE}/invented-status": "http_999",
}
"""URL → the kind of error that its row must end in."""


@dataclass(frozen=True)
class Outcome:
    """What became of a part that holds every hostile address and some good ones."""

    rows: Mapping[str, dict[str, Any]]
    keys: list[str]
    sidecar: Sidecar
    log: str
    seconds: float


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    store = Store(str(tmp_path_factory.mktemp("hostile") / "root"))
    urls = [*KINDS, *(f"{SITE}/good?{number}" for number in range(GOOD_ROWS))]
    write_rows(store, ITEMS, 0, sorted(({"key": image_key("s", url), "url": url} for url in urls), key=_key))
    handlers = {
        **HANDLERS,
        **{
            path: giving(served, headers={"Content-Type": "image/jpeg"})
            for path, (served, _) in HOSTILE_PICTURES.items()
        },
        "/endless-redirects": giving(b"", 302, {"Location": "/endless-redirects?again"}),
        "/noai": giving(b"", headers={"X-Robots-Tag": "noai"}),
        "/tdm": giving(b"", headers={"tdm-reservation": "1"}),
        "/part-of-it": giving(b"half", 206),
        "/nothing": giving(b"", 204),
        "/invented-status": giving(b"", 999),
    }
    with serving(handlers) as site, misbehaving() as hosts, part_log(store, "download", 0):
        settings = DownloadSettings(max_bytes=MAX_BYTES, deadline_s=DEADLINE_S, in_flight=40)
        stage = download_stage(settings, "MoodArchive-test/0.1", {**site.hosts, **hosts})
        began = time.monotonic()
        sidecar = run_part(stage, store, stage.make_worker(), 0)
        seconds = time.monotonic() - began
    rows = rows_of(store, IMAGES, 0)
    log = store.read_bytes(log_path("download", 0)).decode()
    yield Outcome({row["key"]: row for row in rows}, [row["key"] for row in rows], sidecar, log, seconds)


def _key(row: dict[str, Any]) -> str:
    return str(row["key"])


def test_there_are_many_ways_to_misbehave() -> None:
    assert len(KINDS) >= 90
    assert len(set(KINDS.values())) >= 25


@pytest.mark.parametrize("url", KINDS)
def test_each_ends_in_its_own_kind(outcome: Outcome, url: str) -> None:
    row = outcome.rows[image_key("s", url)]
    assert (row["status"], row["error"]) == ("failed", KINDS[url])
    assert {name for name, value in row.items() if value is not None} == {"key", "status", "error"}


def test_good_pictures_among_them_are_kept_and_no_row_is_lost(outcome: Outcome) -> None:
    good = [outcome.rows[image_key("s", f"{SITE}/good?{number}")] for number in range(GOOD_ROWS)]
    assert {(row["status"], row["width"]) for row in good} == {("ok", 300)}
    assert outcome.keys == sorted(outcome.keys)
    assert len(outcome.keys) == outcome.sidecar.rows == len(KINDS) + GOOD_ROWS
    assert sum(outcome.sidecar.failures.values()) == len(KINDS)
    assert "forbidden_address" in outcome.log


def test_the_part_ends_soon_after_its_last_deadline(outcome: Outcome) -> None:
    rounds = 1 + len(KINDS) // 40
    assert outcome.seconds < rounds * (DEADLINE_S + 6)
