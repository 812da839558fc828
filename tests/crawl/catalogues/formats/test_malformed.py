"""Malformed lists, more than forty: each ends in a count and a name, and the sound rows beside the bad are read."""

import csv
import gzip
import io
import json
import re
import resource
import tarfile
import zlib
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crawl.catalogues.files import LeftOut, find_files
from crawl.catalogues.presets import PRESETS
from crawl.catalogues.rows import read_rows, read_texts
from moodarchive.errors import ConfigError
from tests.crawl.catalogues.published import (
    write_commoncatalog,
    write_commons_tar,
    write_open_images,
    write_pd12m,
    yfcc100m_lines,
)

HEADING = "url,caption,license\n"


def _line(number: int, words: str = "sunlit meadow") -> str:
    return f"http://h.test/{number}.jpg,{words},by 2.0\n"


def _csv(middle: str | bytes) -> bytes:
    inside = middle if isinstance(middle, bytes) else middle.encode()
    return (HEADING + _line(0)).encode() + inside + _line(1).encode()


def _json(number: int, **more: object) -> bytes:
    return json.dumps({"url": f"http://h.test/{number}.jpg", "caption": "sunlit meadow", **more}).encode()


def _jsonl(middle: bytes) -> bytes:
    return _json(0) + b"\n" + middle + b"\n" + _json(1) + b"\n"


def _tar(*members: tuple[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, data in (("000.json", _json(0)), *members, ("999.json", _json(1))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def _parquet(middle: list[object], kind: pa.DataType | None = None) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.table({"url": pa.array(["http://h.test/0.jpg", *middle, "http://h.test/1.jpg"], kind)}), content)
    return content.getvalue()


def _long_header() -> bytes:
    member = tarfile.TarInfo("a" * (2 << 20) + ".json")
    return member.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024


NO_ADDRESS = "no address that begins with http"
COUNTED: dict[str, tuple[str, bytes, int, str, str]] = {
    # what: (ending, content, how many are left out, why, and the name of the first)
    "a value too many": (".csv", _csv("http://h.test/x.jpg,a,by,more\n"), 1, "not the 3 values", "line 3"),
    "a value too few": (".csv", _csv("http://h.test/x.jpg\n"), 1, "not the 3 values", "line 3"),
    "text after a quote": (".csv", _csv('http://h.test/x.jpg,"a" b,by\n'), 1, "not quoted as CSV", "line 3"),
    "a quote that nobody closes": (".csv", _csv('http://h.test/x.jpg,"a,by\n'), 1, "not quoted as CSV", "line 3"),
    "two quotes that nobody closes": (".csv", _csv('x,"a,by\n' * 2), 2, "not quoted as CSV", "line 3"),
    "a cell of 200,000 letters": (".csv", _csv(_line(9, "a" * 200_000)), 1, "field larger", "line 3"),
    "a line of three million letters": (".csv", _csv("a" * 3_000_000 + "\n"), 1, "lines of more than", "line 3"),
    "a line that is not UTF-8": (
        ".csv", _csv(_line(2).encode() * 40_000 + b"http://h.test/x.jpg,caf\xe9,by\n"), 1, "not UTF-8", "line 40003",
    ),
    "a NUL in an address": (".csv", _csv("http://h.test/\0.jpg,a,by\n"), 1, NO_ADDRESS, "line 3"),
    "an address of another scheme": (".tsv", _csv("ftp://h.test/x.jpg,a,by\n"), 1, NO_ADDRESS, "line 3: 'ftp:"),
    "a script in place of an address": (".csv", _csv("javascript:alert(1),a,by\n"), 1, NO_ADDRESS, "line 3"),
    "an address of this machine's files": (".csv", _csv("file:///etc/passwd,a,by\n"), 1, NO_ADDRESS, "line 3"),
    "an address of a folder": (".csv", _csv("folder:../a.jpg,a,by\n"), 1, "addresses of a folder", "line 3"),
    "an address of a row": (".csv", _csv("row:other!0.1,a,by\n"), 1, "addresses of a folder", "line 3"),
    "an address without a host": (".csv", _csv("http:///x.jpg,a,by\n"), 1, NO_ADDRESS, "line 3"),
    "an address of 9,000 letters": (".csv", _csv(f"http://h.test/{'a' * 9000},,\n"), 1, "more than 4096", "line 3"),
    "no address": (".csv", _csv(",a,by\nNULL,a,by\n"), 2, NO_ADDRESS, "line 3"),
    "JSON that is cut": (".jsonl", _jsonl(b'{"url": "http'), 1, "no JSON object", "line 2"),
    "JSON that is a list": (".jsonl", _jsonl(b"[1, 2]"), 1, "no JSON object", "line 2"),
    "JSON of a hundred thousand brackets": (".jsonl", _jsonl(b"[" * 100_000), 1, "no JSON object", "line 2"),
    "JSON of ten thousand digits": (".jsonl", _jsonl(b'{"a": ' + b"9" * 10_000 + b"}"), 1, "no JSON", "line 2"),
    "JSON of two million bytes": (".jsonl", _jsonl(b'{"a": ' + b" " * 2_000_000 + b"1}"), 1, "lines of more", "line 2"),
    "an address that is a structure": (".jsonl", _jsonl(_json(5, url={"a": 1})), 1, NO_ADDRESS, "line 2"),
    "a member that is no JSON": (".tar", _tar(("5.json", b"{")), 1, "no JSON object", "'5.json'"),
    "a member of two million bytes": (".tar", _tar(("5.json", b" " * 2_000_000)), 1, "members of more", "'5.json'"),
    "a member without an address": (".tar", _tar(("../../etc/5.json", b'{"a": 1}')), 1, NO_ADDRESS, "'../../etc/5'"),
    "nulls and empty texts": (".parquet", _parquet([None, "", "nan"]), 3, NO_ADDRESS, "row 1"),
    "bytes that are no text": (".parquet", _parquet([b"\xff\xfe"], pa.binary()), 1, NO_ADDRESS, "row 1"),
}  # fmt: skip
REFUSED: dict[str, tuple[str, bytes, str]] = {
    "no bytes at all": (".csv", b"", "has no column called url"),
    "a picture called CSV": (".csv", b"\x89PNG\r\n\x1a\n", "not UTF-8"),
    "another encoding": (".csv", (HEADING + _line(1, "caf\xe9")).encode("utf-16"), "not UTF-8"),
    "no heading": (".csv", _line(1).encode(), "not with a heading"),
    "a heading with a quote too many": (".csv", b'url,"cap"tion\n', "not quoted as CSV"),
    "a gzip that is cut": (".csv.gz", gzip.compress(_csv(_line(3) * 5000))[:-20], "no whole .gz file"),
    "a gzip that is none": (".csv.gz", _csv(""), "no whole .gz file"),
    "a gzip with a damaged middle": (".jsonl.gz", gzip.compress(_json(1) * 9, 0)[:40] + b"\xff" * 400, "no whole .gz"),
    "a tar that is cut": (".tar", _tar(("5.json", _json(5)))[:1700], "no whole tar"),
    "a tar that is a picture": (".tar", b"\x89PNG\r\n\x1a\n" * 100, "no whole tar"),
    "a tar with a name of two million letters": (".tar", _long_header(), "no whole tar .*header of 2,0"),
    "a Parquet that is cut": (".parquet", _parquet([])[:-50], "no whole Parquet"),
    "a Parquet without a middle": (".parquet", b"PAR1PAR1", "no whole Parquet"),
    "JSON lines without an address": (".jsonl", b'{"a": 1}\n', "has no column called url"),
    "an unknown ending": (".xlsx", b"x", "endings .parquet"),
}  # fmt: skip


@pytest.mark.parametrize("what", COUNTED)
def test_what_is_no_row_is_counted_and_named(tmp_path: Path, what: str) -> None:
    ending, content, count, why, first = COUNTED[what]
    path = tmp_path / f"list{ending}"
    path.write_bytes(content)
    (file,) = find_files([str(path)])
    left_out = LeftOut(file.name)
    rows = pa.Table.from_batches(read_rows(file, PRESETS["own"], {}, left_out)).to_pylist()
    assert {row["url"] for row in rows} >= {"http://h.test/0.jpg", "http://h.test/1.jpg"}, "the sound rows are read"
    assert sum(left_out.counts.values()) == count, left_out
    assert any(re.search(re.escape(why), reason) for reason in left_out.counts), left_out
    assert any(names[0].startswith(first) for names in left_out.examples.values()), left_out
    assert left_out.taken == len(rows)
    assert left_out.rows == len(rows) + count or ending == ".tar", "a bad member is no row"
    again = LeftOut(file.name)
    positions = [int(row) for rows, _, _ in read_texts(file, PRESETS["own"], {}, again) for row in rows]
    assert positions == [row["row"] for row in rows] and again == left_out, "both readings take the same rows"


def test_a_limit_that_another_library_has_lifted_holds_all_the_same(
    tmp_path: Path,
) -> None:
    before = csv.field_size_limit(10**9)
    try:
        test_what_is_no_row_is_counted_and_named(tmp_path, "a cell of 200,000 letters")
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_refused_by_name_with_a_remedy(tmp_path: Path, what: str) -> None:
    ending, content, why = REFUSED[what]
    path = tmp_path / f"list{ending}"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"list{ending} .*{why}.*remedy: "):
        list(read_rows(*find_files([str(path)]), PRESETS["own"], {}, LeftOut("list")))


def test_lines_that_a_stray_quote_swallowed_are_read_again(tmp_path: Path) -> None:
    lines = [_line(number) for number in range(5000)]
    lines[100] = 'http://h.test/100.jpg,"sunlit meadow,by\n'
    lines[4998] = '"http://h.test/4998.jpg,a,by\n'
    (tmp_path / "l.csv").write_text(HEADING + "".join(lines))
    (file,) = find_files([str(tmp_path / "l.csv")])
    left_out = LeftOut("l")
    rows = pa.Table.from_batches(read_rows(file, PRESETS["own"], {}, left_out))["row"].to_pylist()
    assert rows == [number for number in range(5000) if number not in (100, 4998)]
    assert sorted(chain(*left_out.examples.values())) == ["line 102", "line 5000"]
    # a list of nothing but stray quotes ends, and every line of it is counted
    (tmp_path / "l.csv").write_text(HEADING + 'http://h.test/1.jpg,"a,by\n' * 20_000)
    left_out = LeftOut("l")
    assert not list(read_rows(*find_files([str(tmp_path / "l.csv")]), PRESETS["own"], {}, left_out))
    assert sum(left_out.counts.values()) == 20_000 == left_out.rows


@pytest.mark.parametrize("ending", [".csv.gz", ".jsonl.gz", ".tar.gz"])
def test_a_bomb_streams_by_without_filling_the_memory(tmp_path: Path, ending: str) -> None:
    size = 128 << 20
    start: Callable[[], bytes] = {
        ".csv.gz": lambda: HEADING.encode() + b"http://h.test/0.jpg,",
        ".jsonl.gz": lambda: b'{"url": "',
        ".tar.gz": lambda: _bomb_header(size),
    }[ending]
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    with (tmp_path / f"l{ending}").open("wb") as file:
        file.write(packer.compress(start()))
        for _ in range(size >> 20):
            file.write(packer.compress(b"a" * (1 << 20)))
        file.write(
            packer.compress(b"\n" + (_line(1).encode() if ending == ".csv.gz" else _json(1)) + b"\n") + packer.flush()
        )
    assert (tmp_path / f"l{ending}").stat().st_size < 4 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    left_out = LeftOut("l")
    rows = 0
    try:
        rows = sum(batch.num_rows for batch in read_rows(*find_files([str(tmp_path)]), PRESETS["own"], {}, left_out))
    except ConfigError as error:
        assert ending == ".tar.gz" and "no whole tar" in str(error)  # after the member comes no tar
    assert rows == (ending != ".tar.gz") and sum(left_out.counts.values()) == 1, left_out
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10, "KiB"


def _bomb_header(size: int) -> bytes:
    member = tarfile.TarInfo("0.json")
    member.size = size
    return member.tobuf()


def test_a_row_group_that_would_become_gigabytes_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crawl.catalogues.formats import parquet

    monkeypatch.setattr(parquet, "MOST_CHUNK_BYTES", 1 << 20)
    small = {"url": ["http://h.test/0.jpg"] * 10, "caption": ["a"] * 10}
    large = {"url": ["http://h.test/1.jpg"] * 10, "caption": [f"{n}" * 500_000 for n in range(10)]}
    lists = {"url": ["http://h.test/2.jpg"] * 10, "caption": ["b"] * 10}
    with pq.ParquetWriter(tmp_path / "l.parquet", pa.table(small).schema) as writer:
        for rows in (small, large, lists):
            writer.write_table(pa.table(rows))
    left_out = LeftOut("l")
    batches = list(read_rows(*find_files([str(tmp_path)]), PRESETS["own"], {}, left_out))
    assert [row for batch in batches for row in batch["row"].to_pylist()] == [*range(10), *range(20, 30)]
    assert list(left_out.counts.values()) == [10] and left_out.examples.popitem()[1] == ["row group 1"]
    values = pa.array([list(range(30_000)), [1]], pa.list_(pa.int64()))
    pq.write_table(pa.table({"url": ["http://h.test/0.jpg"] * 2, "caption": values}), tmp_path / "l.parquet")
    left_out = LeftOut("l")
    assert not list(read_rows(*find_files([str(tmp_path)]), PRESETS["own"], {}, left_out)) and left_out.rows == 2


@pytest.mark.parametrize("seed", range(8))
def test_a_list_with_any_bytes_changed_is_read_or_refused_by_name(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    whole = {
        "pd12m.parquet": ("pd12m", write_pd12m(tmp_path / "pd12m.parquet", 30).read_bytes()),
        "c.parquet": ("commoncatalog", write_commoncatalog(tmp_path / "c.parquet", [b"x" * 50] * 9).read_bytes()),
        "images.csv": ("open-images", write_open_images(tmp_path / "images.csv").read_bytes()),
        "yfcc100m_dataset.gz": ("yfcc100m", gzip.compress(yfcc100m_lines(9).encode())),
        "commons.tar": ("wikimedia-commons", write_commons_tar(tmp_path / "commons.tar", [b"x"] * 3).read_bytes()),
        "l.jsonl": ("own", b"\n".join(_json(n, tags=["a"]) for n in range(9))),
    }
    for name, (preset, content) in whole.items():
        for _ in range(8):
            changed = bytearray(content)
            for _ in range(random.choice((1, 3, 12))):
                at = random.randrange(len(changed))
                changed[at : at + random.randrange(3)] = random.choice((b"", b"\xff", b"\0\0", b'"\n', b"{[,\t"))
            (tmp_path / name).write_bytes(changed)
            left_out = LeftOut(name)
            try:
                (file,) = find_files([str(tmp_path / name)], kind=PRESETS[preset].format.kind)
                rows = sum(batch.num_rows for batch in read_rows(file, PRESETS[preset], {}, left_out))
            except ConfigError as error:
                assert name in str(error) and "remedy" in str(error)
            else:
                assert rows == left_out.taken <= left_out.rows
