"""Lists as people have them are read whole, and what of them is no row is named; nothing is guessed or mixed up."""

import csv
import io
import json
import logging
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crawl.http.search_client import WebClient
from crawl.images.local_folder import read_from_folder
from crawl.sites.urls import Urls, UrlsSettings
from crawl.source import Found, Query
from moodarchive.errors import ConfigError
from tests.making import encoded, textured


def _search(*lists: Path, folder: Path | None = None) -> list[Found]:
    source = Urls(UrlsSettings(lists=tuple(map(str, lists)), folder=str(folder or "")))
    query = Query(source="urls", emotion="joy", context="natural_scenery", phrase="sunlit meadow", results=2000)
    return list(source.search(query, WebClient(user_agent="T/1 (a@b.example)")))


def _refusal(*lists: Path, folder: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        _search(*lists, folder=folder)
    assert "remedy" in str(caught.value)
    return str(caught.value)


def _file(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _tar(path: Path, **members: bytes) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name.replace("_", "."))
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def _sample(number: int, **more: Any) -> bytes:
    return json.dumps({"url": f"http://h.test/{number}.jpg", "caption": "sunlit meadow", **more}).encode()


def test_lists_that_count_from_one_do_not_mix_their_pictures(tmp_path: Path) -> None:
    lists = [
        _file(
            tmp_path / f"{host}.csv",
            "id,url,caption,author,license\n"
            + "".join(f"{n},http://{host}.test/{n}.jpg,sunlit meadow,Author {host},{host}\n" for n in range(1, count)),
        )
        for host, count in (("a", 4), ("b", 6), ("c", 3))
    ]
    found = _search(*lists)
    assert len(found) == 10 and len({image.source_id for image in found}) == 10
    assert all(image.creator == f"Author {image.licence}" and f"//{image.licence}." in image.url for image in found)
    alone = {image.url: image.source_id for image in _search(lists[1])}
    assert alone.items() <= {image.url: image.source_id for image in found}.items(), "another list changes no key"


def test_samples_of_two_tars_that_count_from_zero_are_two(tmp_path: Path) -> None:
    one = _tar(tmp_path / "a.tar", **{"000000000_json": _sample(1, key="000000000"), "000000000_txt": b"sunlit meadow"})
    other = _tar(tmp_path / "b.TAR", **{"000000000_json": _sample(2, key="000000000"), "000000000_jpg": b"x"})
    assert len({image.source_id for image in _search(one, other)}) == 2


@pytest.mark.parametrize("rows_before", [0, 1, 20_600, 45_000])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_quote_may_come_at_any_line(tmp_path: Path, rows_before: int, delimiter: str, line_end: str) -> None:
    captions = [
        'sunlit meadow "LATE" print',
        "sunlit meadow, LATE; here",
        "sunlit meadow\nof two lines",
        "sunlit meadow",
    ]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end)
    writer.writerow(["url", "caption"])
    writer.writerows([f"http://h.test/{n}", "w"] for n in range(rows_before))
    writer.writerows([f"http://h.test/late{n}.jpg", caption] for n, caption in enumerate(captions))
    quoted = f'"http://h.test/quoted.jpg"{delimiter}"sunlit meadow"{line_end}'
    found = {image.url: image.alt_text for image in _search(_file(tmp_path / "l.csv", text.getvalue() + quoted))}
    assert found == {
        **{f"http://h.test/late{n}.jpg": caption for n, caption in enumerate(captions)},
        "http://h.test/quoted.jpg": "sunlit meadow",
    }


@pytest.mark.parametrize("seed", range(10))
def test_what_a_csv_writer_writes_is_read_as_it_was(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    letters = np.array(list("ab ,;\"'\n\r\t|é€\u2028"))
    rows = [
        (f"http://h.test/{n}?a=1,2&b={n}", "sunlit meadow " + "".join(random.choice(letters, 12)) + "x")
        for n in range(50)
    ]
    path = tmp_path / "l.csv"
    with path.open("w", encoding="utf-8-sig" if seed % 2 else "utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=",;"[seed % 2], quoting=(csv.QUOTE_MINIMAL, csv.QUOTE_ALL)[seed % 3 == 0])
        writer.writerows([("URL", "Caption"), *rows])
    assert {(image.url, image.alt_text) for image in _search(path)} == set(rows)


@pytest.mark.parametrize(
    "names", ["url,text,license", "URL,TEXT,LICENSE", "Url , Text,License ", "\ufeffUrl,text,license"][:4]
)
def test_columns_are_known_in_any_case(tmp_path: Path, names: str) -> None:
    (image,) = _search(_file(tmp_path / "l.csv", f"{names}\nhttp://h.test/1.jpg,sunlit meadow,by 2.0\n"))
    assert (image.url, image.alt_text, image.licence) == ("http://h.test/1.jpg", "sunlit meadow", "by 2.0")


def test_laions_columns_are_known(tmp_path: Path) -> None:
    table = {
        "SAMPLE_ID": [1.0, 2.0, 3.0], "URL": [f"http://h.test/{n}.jpg" for n in range(3)],
        "TEXT": ["sunlit meadow"] * 3,
        "HEIGHT": [300, None, 200], "WIDTH": [400, 500, 300], "LICENSE": ["cc-by-nc-nd", "?", None],
        "NSFW": ["NSFW", "UNLIKELY", "UNSURE"], "similarity": [0.3, 0.4, 0.35],
    }  # fmt: skip
    pq.write_table(pa.table(table), tmp_path / "laion.PARQUET")
    found = sorted(_search(tmp_path / "laion.PARQUET"), key=lambda image: image.url)
    assert [image.licence for image in found] == ["cc-by-nc-nd", None, None]
    assert [image.mature for image in found] == [True, False, False]
    assert [(image.width, image.height) for image in found] == [(400, 300), (500, None), (300, 200)]


def test_a_folder_of_parquet_parts_is_one_list(tmp_path: Path) -> None:
    parts = tmp_path / "parts.parquet"
    (parts / "year=2026").mkdir(parents=True)
    for n, place in enumerate((parts, parts / "year=2026")):
        row = {"url": [f"http://h.test/{n}.jpg"], "caption": ["sunlit meadow"]} | ({"author": ["Ana"]} if n else {})
        pq.write_table(pa.table(row), place / f"part-{n}.snappy.parquet")
    _file(parts / "_SUCCESS", "")
    _file(parts / "_temporary.parquet", "half")
    assert {image.url: image.creator for image in _search(parts)} == {
        "http://h.test/0.jpg": None,
        "http://h.test/1.jpg": "Ana",
    }
    assert "sources.urls.lists" in _refusal(folder=parts)
    (tmp_path / "empty").mkdir()
    assert "sources.urls.folder" in _refusal(tmp_path / "empty")


def test_a_single_column_may_hold_commas(tmp_path: Path) -> None:
    lines = "http://h.test/sunlit_meadow.jpg\nhttp://h.test/sunlit-meadow/u=1,2&fm=15.jpg\n"
    source = Urls(UrlsSettings(lists=(str(_file(tmp_path / "l.csv", f"url\n{lines}")),)))
    rows = source._index.execute("SELECT url FROM images ORDER BY url").fetchall()
    assert [url for (url,) in rows] == sorted(lines.split())


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("http://h.test/2.jpg,sunlit meadow two,by,extra", "line 3"),
        ("http://h.test/2.jpg,sunlit meadow two", "line 3"),
        ('http://h.test/2.jpg,"sunlit" meadow,by', "line 3"),
        ("NULL,sunlit meadow,by", "line 3"),
        (",sunlit meadow,by", "line 3"),
        ("nan,sunlit meadow,by", "line 3"),
        ("example.org/a.jpg,sunlit meadow,by", "example.org/a.jpg"),
        ("http://h.test/a\0b.jpg,sunlit meadow,by", "line 3"),
        ("ftp://h.test/a.jpg,sunlit meadow,by", "ftp://h.test"),
        ("folder:../a.jpg,sunlit meadow,by", "line 3"),
    ],
)
def test_a_row_that_is_none_is_named_and_the_others_are_read(
    tmp_path: Path, row: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    good = "http://h.test/1.jpg,sunlit meadow,by", "  http://h.test/3.jpg  , sunlit meadow ,by"
    text = f"url,caption,license\n{good[0]}\n{row}\n\n{good[1]}\n"
    found = _search(_file(tmp_path / "l.csv", text))
    assert {image.url for image in found} == {"http://h.test/1.jpg", "http://h.test/3.jpg"}
    assert {image.alt_text for image in found} == {"sunlit meadow"}
    assert "1 left out" in caplog.text and says in caplog.text


def test_words_for_nothing_are_nothing(tmp_path: Path) -> None:
    rows = "".join(
        f"http://h.test/{n}.jpg,sunlit meadow,{word}\n" for n, word in enumerate(("NULL", "nan", "None", "?", ""))
    )
    assert {image.licence for image in _search(_file(tmp_path / "l.csv", f"url,caption,license\n{rows}"))} == {None}
    pq.write_table(
        pa.table({"url": ["http://h.test/1.jpg", None, ""], "caption": ["sunlit meadow"] * 3}), tmp_path / "p.parquet"
    )
    assert len(_search(tmp_path / "p.parquet")) == 1


def test_what_cannot_be_read_is_refused_with_what_to_do(tmp_path: Path) -> None:
    latin = _file(tmp_path / "l.csv", "url,caption\nhttp://h.test/1.jpg,café\n".encode("latin-1"))
    assert "line 2" in (said := _refusal(latin)) and "UTF-8" in said and str(latin) in said
    wide = _file(tmp_path / "w.csv", "url,caption\nhttp://h.test/1.jpg,a\n".encode("utf-16"))
    assert "UTF-8" in _refusal(wide)
    bare = _file(tmp_path / "b.csv", "http://h.test/1.jpg,sunlit meadow\n")
    assert "heading" in _refusal(bare)
    assert "it has link, caption" in _refusal(_file(tmp_path / "n.csv", "link,caption\nx,y\n"))
    pq.write_table(pa.table({"url": ["http://h.test/1.jpg"] * 1000}), tmp_path / "p.parquet")
    cut = _file(tmp_path / "cut.parquet", (tmp_path / "p.parquet").read_bytes()[:-50])
    assert str(cut) in _refusal(cut)
    whole = _tar(tmp_path / "t.tar", **{f"{n}_json": _sample(n) for n in range(3)})
    cut = _file(tmp_path / "cut.tar", whole.read_bytes()[:1700])
    assert str(cut) in _refusal(cut)
    assert "ending" in _refusal(_file(tmp_path / "l.xlsx", "x"))


@pytest.mark.parametrize(
    "bad", [b'{"url": ', b"", b"[1, 2]", b"null", b"\xff\xfe{", b"[" * 100_000, b'{"url": null}'],
    ids=["cut", "empty", "list", "null", "no UTF-8", "deep", "no address"],
)  # fmt: skip
def test_a_bad_member_of_a_tar_is_named_and_the_others_are_read(
    tmp_path: Path, bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    path = _tar(
        tmp_path / "t.tar", **{"000_json": b"\xef\xbb\xbf" + _sample(0), "001_json": bad, "002_json": _sample(2)}
    )
    assert len(_search(path)) == 2
    assert "1 left out" in caplog.text and "001" in caplog.text


def test_values_of_any_kind_in_a_tar_become_texts(tmp_path: Path) -> None:
    odd = {
        "title": 7,
        "author": ["Ana"],
        "width": "640.0",
        "height": "wide",
        "tags": ["sunlit", None],
        "license": "\ud800by",
    }
    (image,) = _search(_tar(tmp_path / "t.tar", **{"0_json": _sample(0, **odd)}))
    assert (image.title, image.creator, image.width, image.height, image.licence) == ("7", '["Ana"]', 640, None, "?by")


def test_a_tar_may_hold_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "t.tar"
    with tarfile.open(path, "w", encoding="latin-1") as tar:
        for name, content in (("caf\xe9.json", _sample(0)), ("b.json", _sample(1))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    assert len(_search(path)) == 2


@pytest.mark.parametrize("ending", [".jpg", ".JPG", ".jpe", ".jfif", ".JFIF", ".jpeg", "", ".download", ".jpg.1"])
def test_a_picture_is_found_under_any_ending(tmp_path: Path, ending: str) -> None:
    served = encoded(textured())
    _file(tmp_path / f"sunlit_meadow{ending}", served)
    (image,) = _search(folder=tmp_path)
    assert read_from_folder(str(tmp_path), image.url, 10**6) == served


def test_files_that_are_no_pictures_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    _file(tmp_path / "sunlit meadow.jpg", encoded(textured()))
    for name in ("notes.txt", ".DS_Store", "film.mp4"):
        _file(tmp_path / name, b"no picture")
    assert len(_search(folder=tmp_path)) == 1
    assert "3 left out" in caplog.text and "notes.txt" in caplog.text


def test_a_file_name_that_is_not_utf8_is_taken_and_downloaded(tmp_path: Path) -> None:
    served = encoded(textured())
    with open(os.path.join(os.fsencode(tmp_path), b"sunlit meadow in bloom \xe9.jpg"), "wb") as file:
        file.write(served)
    _file(tmp_path / "sunlit meadow %41 é.jpg", served)
    found = _search(folder=tmp_path)
    assert len(found) == 2
    for image in found:
        assert image.title and image.title.encode() and image.title.startswith("sunlit meadow")
        assert read_from_folder(str(tmp_path), image.url, 10**6) == served
