"""A takedown list is read as people write it, and a line that means nothing is named."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moodarchive.archive.takedown import Identifiers, creator_digest, url_digest
from moodarchive.errors import TakedownListError
from pipelines.change.takedown_list import read_list

KEY, HASH, URL = "00ff" * 4, "ab" * 32, "https://Img.test/a.jpg?utm_source=x"


def _list(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_lines_are_told_by_their_look(tmp_path: Path) -> None:
    text = (
        f"# who asked: a photographer\n{KEY}\n\n{HASH.upper()}\n{URL}\ncreator: Ann  MÜLLER\nurl: http://img.test/b\n"
    )
    assert read_list(_list(tmp_path, "list.txt", text)) == Identifiers(
        keys=frozenset({KEY}),
        hashes=frozenset({HASH}),
        urls=frozenset({url_digest("https://img.test/a.jpg"), url_digest("https://img.test/b")}),
        creators=frozenset({creator_digest("ann müller")}),
    )


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_columns_are_told_by_their_names(tmp_path: Path, ending: str) -> None:
    mark = "," if ending == "csv" else "\t"
    rows = [("Image URL", "note", "creator", "sha256"), (URL, "mine", "", ""), ("", "", "https://s.test/ann", HASH)]
    path = _list(tmp_path, f"list.{ending}", "\r\n".join(mark.join(row) for row in rows))
    named = read_list(path)
    assert named.urls == {url_digest(URL)} and named.hashes == {HASH} and not named.keys
    assert named.creators == {url_digest("https://s.test/ann")}


def test_a_single_column_without_a_head_is_a_list_of_lines(tmp_path: Path) -> None:
    assert read_list(_list(tmp_path, "list.csv", f"{URL}\n{KEY}\n")).keys == {KEY}


def test_a_parquet_file_is_read_by_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"key": [KEY, None], "url": [None, URL], "n": [1, 2]}), tmp_path / "list.parquet")
    named = read_list(str(tmp_path / "list.parquet"))
    assert (named.keys, named.urls) == ({KEY}, {url_digest(URL)})


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("list.txt", f"{KEY}\n{HASH[:-1]}\n", "line 2: .* is no key .*remedy"),
        ("list.txt", "Ann Müller\n", "line 1: 'Ann Müller' is no key.*creator: NAME"),
        ("list.csv", f"key,url\n{KEY},\nxyz,\n", "line 3: 'xyz': a key has 16 hex digits"),
        ("list.csv", "url\nftp://img.test/a\n", "line 2: .*begins with http"),
        ("list.csv", "name,note\na,b\n", "no column that names images among name, note; legal: url, key"),
        ("list.txt", "# nobody\n", "names nothing; remedy"),
        ("list.csv", "", "no column|names nothing"),
        ("list.parquet", "no parquet", "no Parquet file"),
    ],
)
def test_what_means_nothing_is_named_with_its_line(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(TakedownListError, match=words):
        read_list(_list(tmp_path, name, text))


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TakedownListError, match=r"gone\.txt cannot be read"):
        read_list(str(tmp_path / "gone.txt"))
