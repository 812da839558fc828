"""Lists of addresses as people have them, as in the field cases."""

import logging
from pathlib import Path

import duckdb
import pytest

from crawl.http.search_client import WebClient
from crawl.sites.urls import Urls, UrlsSettings
from crawl.source import Found, Query
from moodarchive.errors import ConfigError
from tests.field_cases.cases import case, needs_cases

pytestmark = needs_cases


def _search(*names: str, phrase: str = "sunlit meadow") -> list[Found]:
    source = Urls(UrlsSettings(lists=tuple(str(case(f"lists/{name}")) for name in names)))
    query = Query(source="urls", emotion="joy", context="natural_scenery", phrase=phrase, results=2000)
    found = source.search(query, WebClient(user_agent="T/1 (a@b.example)"))
    return sorted(found, key=lambda image: image.url)


def _all_rows(name: str) -> list[str]:
    """Every address of the list, whatever it is described as."""
    index: duckdb.DuckDBPyConnection = Urls(UrlsSettings(lists=(str(case(f"lists/{name}")),)))._index
    return [url for (url,) in index.execute("SELECT url FROM images ORDER BY url").fetchall()]


def test_equal_ids() -> None:
    found = _search("same_ids_first.csv", "same_ids_second.csv", phrase="sunflower field in bloom")
    assert {(image.url, image.creator, image.licence) for image in found} == {
        *((f"http://a.test/{n}.jpg", "Author One", "by") for n in (1, 2)),
        *((f"http://b.test/{n}.jpg", "Author Two", "cc0") for n in (1, 2, 3)),
    }
    assert len({image.source_id for image in found}) == 5
    tars = Urls(UrlsSettings(lists=tuple(str(case(f"lists/same_keys_{one}.tar")) for one in ("first", "second"))))
    assert tars._index.execute("SELECT count(DISTINCT source_id), count(DISTINCT url) FROM images").fetchall() == [
        (2, 2)
    ]


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("late_quote.csv", 'sunlit meadow "LATE" print'),
        ("late_comma.csv", "sunlit meadow, LATE"),
        ("late_quoted_row.csv", "sunlit meadow LATE"),
    ],
)
def test_late_quotes(name: str, caption: str) -> None:
    found = {image.url: image.alt_text for image in _search(name)}
    assert caption in found.values()
    if name == "late_quoted_row.csv":
        assert found["http://h.test/x.jpg"] == caption


def test_laion_columns() -> None:
    index = Urls(UrlsSettings(lists=(str(case("lists/laion_columns.parquet")),)))._index
    listed = index.execute("SELECT licence, mature FROM images ORDER BY url").fetchall()
    assert sorted(licence or "" for licence, _ in listed) == ["", "", "cc-by-nc-nd"]
    assert sorted(bool(mature) for _, mature in listed) == [False, False, True]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("parts.parquet", 2), ("one_column_commas.csv", 2), ("header_spaces.csv", 1), ("null_words.csv", 1),
        ("empty_address.parquet", 1), ("spaces_around.csv", 1), ("bad_json_member.tar", 2),
        ("empty_json_member.tar", 1), ("bom_json_member.tar", 1), ("UPPER.CSV", 1), ("one_row_too_long.csv", 2),
        ("one_row_too_short.csv", 2),
    ],
)  # fmt: skip
def test_rows(name: str, rows: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    addresses = _all_rows(name)
    assert len(addresses) == rows
    assert all(address == address.strip() for address in addresses)
    if name in ("one_row_too_long.csv", "one_row_too_short.csv", "bad_json_member.tar", "empty_json_member.tar"):
        assert "1 left out" in caplog.text
    if name == "one_column_commas.csv":
        assert any("u=1,2&fm=15" in address for address in addresses)


@pytest.mark.parametrize(
    ("name", "says"),
    [("no_header.csv", "heading"), ("latin1.csv", "UTF-8"), ("truncated.parquet", "remedy"), ("cut_off.tar", "remedy")],
)
def test_refusals(name: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _search(name)
    assert name in str(caught.value) and says in str(caught.value) and "remedy" in str(caught.value)


def test_every_list_is_replayed() -> None:
    replayed = Path(__file__).read_text(encoding="utf-8").replace("{one}", "first") + "same_keys_second.tar"
    assert not [path.name for path in case("lists").iterdir() if path.name not in replayed]
