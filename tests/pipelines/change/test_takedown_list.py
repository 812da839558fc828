"""A takedown list is read as people write it, and a line that means nothing is named."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moodarchive.archive.takedown import Identifiers, creator_digest, url_digest
from moodarchive.errors import TakedownListError
from moodarchive.tables.keys import image_key
from pipelines.change.takedown_list import read_list

KEY, HASH, URL = "00ff" * 4, "ab" * 32, "https://Img.test/a.jpg?utm_source=x"


def _list(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_lines_are_told_by_their_look(tmp_path: Path) -> None:
    text = (
        f"# who asked: a photographer\n{KEY}\n\n{HASH.upper()}\n{URL}\ncreator: Ann  MÜLLER\nurl: http://img.test/b\n"
    )
    assert read_list(_list(tmp_path, "list.txt", text)).identifiers == Identifiers(
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
    named = read_list(path).identifiers
    assert named.urls == {url_digest(URL)} and named.hashes == {HASH} and not named.keys
    assert named.creators == {url_digest("https://s.test/ann")}


def test_a_single_column_without_a_head_is_a_list_of_lines(tmp_path: Path) -> None:
    assert read_list(_list(tmp_path, "list.csv", f"{URL}\n{KEY}\n")).identifiers.keys == {KEY}


def test_a_parquet_file_is_read_by_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"key": [KEY, None], "url": [None, URL], "n": [1, 2]}), tmp_path / "list.parquet")
    named = read_list(str(tmp_path / "list.parquet")).identifiers
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


ADDRESSES = (
    "https://img.test/1,2.jpg", "https://img.test/a b.jpg", "https://img.test/é;|.jpg", "http://img.test/x?a=1&b=2",
)  # fmt: skip


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize("saved", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("said", [True, False])
def test_tables_are_read_however_a_spreadsheet_saved_them(
    tmp_path: Path, *, mark: str, ending: str, saved: str, line_end: str, said: bool
) -> None:
    rows = [("Remark", "URL", "Creator"), *(("mine, all", address, "Zoë One") for address in ADDRESSES)]
    lines = [mark.join(f'"{cell}"' for cell in row) for row in rows]
    head = [f"sep={mark}"] if said else []
    (tmp_path / f"list.{ending}").write_bytes(line_end.join([*head, *lines]).encode(saved))
    read = read_list(str(tmp_path / f"list.{ending}"))
    assert read.identifiers.urls == {url_digest(address) for address in ADDRESSES}
    assert read.identifiers.creators == {creator_digest("Zoë One")}
    assert [line.location for line in read.lines] == [f"line {n}" for n in range(2 + said, 6 + said)]


@pytest.mark.parametrize("form", ["{}", " {} ", "<{}>", '"{}"', "url: {}", "URL:{}", "link: <{}>"])
@pytest.mark.parametrize("ending", ["txt", "csv", "list"])
def test_lines_are_read_with_commas_blanks_and_what_mails_put_around(tmp_path: Path, form: str, ending: str) -> None:
    text = "\ufeff" + "\r\n".join(form.format(address) for address in ADDRESSES)
    read = read_list(_list(tmp_path, f"list.{ending}", text))
    assert read.identifiers.urls == {url_digest(address) for address in ADDRESSES}


@pytest.mark.parametrize("address", ["www.img.test/1.jpg", "img.test/2.jpg", "img.test:8080/a/b", "bücher.test/x"])
@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
def test_an_address_without_a_scheme_is_one(tmp_path: Path, address: str, name: str) -> None:
    for text in (f"{address}\n", f"url\n{address}\n"):
        path = _list(tmp_path, name, text if name == "list.csv" else text.replace("url\n", "url: "))
        assert read_list(path).identifiers.urls == {url_digest(f"http://{address}")}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("list.csv", "creator\nNaï One\n".encode("latin-1"), "line 2: .* 0xef is no UTF-8.*save the list as UTF-8"),
        ("list.txt", "creator: Zoë\n".encode("cp1252"), "line 1: .*UTF-8"),
        ("list.csv", b"url\nhttp://img.test/1.jpg\0\n", "line 2: .*control character"),
        ("list.txt", b"http://img.test/1.jpg\0\n", "line 1: .*control character"),
        ("list.csv", b'url\n"http://img.test/1.jpg\nhttp://img.test/2.jpg"\n', "line 3: .*control character"),
        ("list.txt", b"http://img.test/1.jpg http://img.test/2.jpg\n", "line 1: .*stands alone"),
        ("list.txt", b"picture.jpg\n", "line 1: .*no key"),
        ("list.txt", b"1.2.3.4\n", "line 1: .*no key"),
        ("list.csv", b"url\n" + b"x" * 200_000, "line 2: "),
        ("list.csv", b"sep=;\n", "no column"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_line_and_remedy(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TakedownListError, match=words):
        read_list(str(tmp_path / name))


def test_an_image_is_named_by_its_source_and_the_name_that_it_has_there(tmp_path: Path) -> None:
    lines, table = tmp_path / "list.txt", tmp_path / "list.csv"
    lines.write_text("source_and_id: pd12m/9f/3c\n")
    table.write_text("source_and_id,source_id\npd12m/9f/3c,7\n")
    wanted = frozenset({image_key("pd12m", "9f/3c")})
    assert read_list(str(lines)).identifiers.keys == read_list(str(table)).identifiers.keys == wanted
    lines.write_text("source_and_id: 9f3c\n")
    with pytest.raises(TakedownListError, match="SOURCE/ID"):
        read_list(str(lines))
