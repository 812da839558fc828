"""img2dataset fetches for hosts that accept it, and what lands in the table is what aiohttp would have brought."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawl.download import DownloadSettings, download_stage
from crawl.http.bulk import PYTHON, kind_of
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import parse_limit
from moodarchive.errors import ConfigError, ServiceError
from moodarchive.running.stage import run_part
from moodarchive.settings import load
from moodarchive.storage.store import Store
from moodarchive.tables.keys import image_key
from moodarchive.tables.schemas import IMAGES, ITEMS
from tests.making import HOST, Site, encoded, giving, rows_of, serving, textured, write_rows

AGENT, OTHER = "MoodArchive-test/0.1 (mailto:someone@a.example)", "other.test"
ACCEPTING = {"engine": "img2dataset", "img2dataset_hosts": (HOST,), "deadline_s": 3.0, "max_bytes": 100_000}
HANDLERS = {
    **{f"/{number}": giving(encoded(textured(240, 180, number))) for number in range(30)},
    "/large.png": giving(encoded(textured(900, 700), "PNG")),
    "/page": giving(b"<html>"),
    "/gone": giving(b"", 410),
    "/noai": giving(b"", headers={"X-Robots-Tag": "noai"}),
    "/noml": giving(b"", headers={"X-Robots-Tag": "noml"}),
    "/loop": giving(b"", 302, {"Location": "/loop"}),
    "/no/picture": giving(encoded(textured(240, 180))),
    "/robots.txt": giving(b"User-agent: *\nDisallow: /no/\n"),
}
KINDS = {
    "/large.png": "too_many_bytes", "/page": "not_an_image", "/gone": "http_410", "/absent": "http_404",
    "/noai": "opt_out", "/noml": "opt_out", "/loop": "too_many_redirects", "/no/picture": "robots_disallowed",
}  # fmt: skip
HOSTILE = {"file:///etc/passwd": "forbidden_scheme", "http://127.0.0.1:1/x": "forbidden_address"}
needs_img2dataset = pytest.mark.skipif(
    not (os.environ.get(PYTHON) or importlib.util.find_spec("img2dataset")),
    reason=f"img2dataset is neither installed nor named in {PYTHON}",
)


def _downloaded(root: Path, site: Site, hosts: dict[str, str], **settings: Any) -> dict[str, dict[str, Any]]:
    store = Store(str(root))
    urls = [f"http://{HOST}/{number}" for number in range(30)] + [f"http://{HOST}{path}" for path in KINDS] + [*HOSTILE]
    rows = [{"key": image_key("s", url), "url": url} for url in [*urls, f"http://{OTHER}/3"]]
    write_rows(store, ITEMS, 0, sorted(rows, key=lambda row: row["key"]))
    rate_limits = RateLimitClient(store=store, host_limit=parse_limit("500/s"))
    stage = download_stage(DownloadSettings(**settings), AGENT, {**site.hosts, **hosts}, rate_limits)
    run_part(stage, store, stage.make_worker(), 0)
    return {row["key"]: row for row in rows_of(store, IMAGES, 0)}


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any, Site]]:
    """The same part by img2dataset and by aiohttp, and the server that img2dataset may not be sent to."""
    root = tmp_path_factory.mktemp("bulk")
    with serving(HANDLERS) as site, serving(HANDLERS) as other:
        hosts = {OTHER: other.address}
        theirs = _downloaded(root / "theirs", site, hosts, **ACCEPTING)
        agents = {request.headers["User-Agent"] for request in other.requests}
        assert agents == {AGENT}, "only aiohttp asks a host that is not named"
        assert any("img2dataset" in request.headers["User-Agent"] for request in site.requests)
        yield theirs, _downloaded(root / "ours", site, hosts, deadline_s=3.0, max_bytes=100_000), site


@pytest.mark.torture
@needs_img2dataset
def test_pictures_are_the_same_bytes_whoever_fetched_them(downloads: tuple[Any, Any, Site]) -> None:
    theirs, ours, _ = downloads
    assert list(theirs) == list(ours)
    good = [key for key, row in ours.items() if row["status"] == "ok"]
    assert len(good) == 31
    assert {key: theirs[key] for key in good} == {key: ours[key] for key in good}


@pytest.mark.torture
@needs_img2dataset
def test_failures_are_named_and_what_can_be_judged_before_is(downloads: tuple[Any, Any, Site]) -> None:
    theirs, _, site = downloads
    expected = {image_key("s", f"http://{HOST}{path}"): kind for path, kind in KINDS.items()}
    expected |= {image_key("s", url): kind for url, kind in HOSTILE.items()}
    assert {key: row["error"] for key, row in theirs.items() if row["status"] == "failed"} == expected
    assert "/no/picture" not in site.paths()


def test_an_interpreter_without_it_is_an_error_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\necho 'No module named img2dataset' >&2\nexit 1\n")
    bare.chmod(0o755)
    monkeypatch.setenv(PYTHON, str(bare))
    with serving(HANDLERS) as site, pytest.raises(ServiceError, match=r"No module named img2dataset; remedy: pip"):
        _downloaded(tmp_path / "root", site, {OTHER: site.address}, **ACCEPTING)


def test_the_engine_is_refused_until_hosts_that_accept_it_are_named() -> None:
    with pytest.raises(ConfigError, match="name the hosts whose operators accept that"):
        load(DownloadSettings, 'engine = "img2dataset"', "test.toml")
    with pytest.raises(ConfigError, match="engine"):
        load(DownloadSettings, 'engine = "curl"', "test.toml")
    assert DownloadSettings(**ACCEPTING).digest() == DownloadSettings(max_bytes=100_000).digest()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("HTTP Error 404: Not Found", "http_404"),
        ("HTTP Error 503: Service Unavailable", "throttled"),
        ("<urlopen error [Errno -2] Name or service not known>", "unknown_host"),
        ("<urlopen error timed out>", "deadline"),
        ("The read operation timed out", "deadline"),
        ("<urlopen error [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed>", "tls_failed"),
        ("IncompleteRead(10 bytes read, 90 more expected)", "truncated"),
        ("Use of image disallowed by X-Robots-Tag directive", "opt_out"),
        ("<urlopen error [Errno 111] Connection refused>", "unreachable"),
    ],
)
def test_what_img2dataset_says_has_a_kind(said: str, kind: str) -> None:
    assert kind_of(said) == kind
