"""Parquet lists are read by position; no cell, page or row group makes the reader lose a row that is sound."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crawl.catalogues.files import LeftOut, ListFile, find_files
from crawl.catalogues.presets import PRESETS
from crawl.catalogues.rows import LISTING, parse_row_address, read_pictures, read_rows, read_texts, row_address
from moodarchive.errors import ConfigError, RowError
from tests.crawl.catalogues.published import MARK, ZERO, write_commoncatalog, write_pd12m

NOTHING: Mapping[str, str] = {}


def _rows(
    file: ListFile, preset: str, columns: Mapping[str, str] = NOTHING, left_out: LeftOut | None = None
) -> list[dict[str, object]]:
    batches = read_rows(file, PRESETS[preset], columns, left_out or LeftOut(file.name))
    return pa.Table.from_batches(batches, LISTING).to_pylist()


def _file(path: Path) -> ListFile:
    (file,) = find_files([str(path)])
    return file


def test_pd12ms_rows_carry_licence_address_and_words(tmp_path: Path) -> None:
    file = _file(write_pd12m(tmp_path / "pd12m.000.parquet"))
    rows = _rows(file, "pd12m")
    assert [row["row"] for row in rows] == [0, 1, 2, 3]
    assert rows[1] == {
        "row": 1, "source_id": f"{1:032x}",
        "url": f"https://pd12m.s3.us-west-2.amazonaws.com/image/{1:032x}.jpeg", "landing_url": None, "title": None,
        "alt_text": "A sunlit meadow with 1 flowers.", "creator": None, "creator_url": None, "licence": "pdm 1.0",
        "licence_url": MARK, "width": 641, "height": 480, "mature": False, "searched": None,
    }  # fmt: skip
    ((positions, texts, licences),) = read_texts(file, PRESETS["pd12m"], {}, LeftOut(file.name))
    assert positions.tolist() == [0, 1, 2, 3] and licences.to_pylist() == ["cc0 1.0", "pdm 1.0"] * 2
    assert texts.to_pylist() == [row["alt_text"] for row in rows]
    assert rows[0]["licence_url"] == ZERO


def test_commoncatalogs_pictures_lie_in_the_row(tmp_path: Path) -> None:
    pictures = [b"\xff\xd8one", b"\xff\xd8two", b"\xff\xd8three", None, b"\xff\xd8five"]
    for as_structure in (True, False):
        path = tmp_path / f"part 0 {as_structure}.parquet"
        file = _file(write_commoncatalog(path, pictures, as_structure=as_structure))
        rows = _rows(file, "commoncatalog")
        assert rows[2]["url"] == row_address(file.name, 1, 0) and rows[2]["licence"] == "by 2.0"
        assert (rows[2]["title"], rows[2]["creator"]) == ("Sheep & flowers 2", "Ana María")
        assert rows[2]["creator_url"] == "https://www.flickr.com/people/39089491@N00/"
        assert rows[2]["landing_url"] == "http://www.flickr.com/photos/39089491@N00/6185218913/"
        wanted = {parse_row_address(str(row["url"]))[1:]: str(row["row"]) for row in rows}  # type: ignore[index]
        given = dict(read_pictures(file, PRESETS["commoncatalog"], {}, wanted, most_bytes=6))
        assert [given[str(n)] for n in (0, 1)] == pictures[:2]
        errors = [given[str(n)] for n in (2, 3)]
        assert [error.kind for error in errors if isinstance(error, RowError)] == ["too_many_bytes", "missing_file"]
        (missing,) = dict(read_pictures(file, PRESETS["commoncatalog"], {}, {(9, 9): "x"})).values()
        assert isinstance(missing, RowError)


def test_chosen_rows_alone_are_read(tmp_path: Path) -> None:
    path = tmp_path / "pd12m.000.parquet"
    write_pd12m(path, 50_000)
    pq.write_table(pq.read_table(path), path, row_group_size=7_000)
    file = _file(path)
    whole = pa.Table.from_batches(read_rows(file, PRESETS["pd12m"], {}, LeftOut("x")))
    assert whole["row"].to_pylist() == list(range(50_000))
    chosen = np.array([0, 6_999, 7_000, 23_456, 49_999])
    some = pa.Table.from_batches(read_rows(file, PRESETS["pd12m"], {}, LeftOut("x"), chosen=chosen))
    assert some == whole.take(chosen)


def test_columns_may_stand_in_any_case_and_order_with_others_beside_them(tmp_path: Path) -> None:
    plain = _file(write_pd12m(tmp_path / "pd12m.000.parquet"))
    table = pq.read_table(plain.path)
    other = table.select(table.column_names[::-1]).rename_columns(
        [f" {name.upper()}" for name in table.column_names[::-1]]
    )
    odd = {
        "nothing": pa.nulls(4), "list": [[1], None, [], [2, 3]], "structure": [{"a": {"b": 1}}] * 4,
        "map": pa.array([[("a", 1)]] * 4, pa.map_(pa.string(), pa.int64())),
    }  # fmt: skip
    for name, column in odd.items():
        other = other.append_column(name, pa.array(column) if isinstance(column, list) else column)
    pq.write_table(other, tmp_path / "other.parquet")
    assert _rows(_file(tmp_path / "other.parquet"), "pd12m") == _rows(plain, "pd12m")


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"own"}))
def test_a_file_of_another_format_is_refused_by_the_missing_column(tmp_path: Path, preset: str) -> None:
    pq.write_table(pa.table({"photo": ["x"], "words": ["y"]}), tmp_path / "l.parquet")
    with pytest.raises(ConfigError, match=rf"no column called .*{preset}.*it has photo, words; remedy"):
        _rows(_file(tmp_path / "l.parquet"), preset)
    with pytest.raises(ConfigError, match=r"has no column caption2, which columns\.alt_text names"):
        _rows(_file(tmp_path / "l.parquet"), preset, {"alt_text": "caption2"})


@pytest.mark.parametrize(
    "column",
    [
        pa.nulls(3),
        pa.array([["a meadow", "sunlit"], None, []]),
        pa.array([{"en": "a meadow"}, None, {"en": None}]),
        pa.array([1.5, None, float("nan")]),
        pa.array([b"a meadow", b"\xff\xfe", None]),
        pa.array([True, False, None]),
        pa.array(["a", "b", "a"]).dictionary_encode(),
        pa.array([[("en", "meadow")], None, []], pa.map_(pa.string(), pa.string())),
        pa.array(["a", None, "b"], pa.large_string()),
        pa.array([1, 2, None], pa.timestamp("ns", "UTC")),
    ],
    ids=lambda column: str(column.type),
)
def test_columns_of_any_type_become_texts(tmp_path: Path, column: pa.Array) -> None:
    addresses = [f"http://h.test/{n}.jpg" for n in range(3)]
    fields = dict.fromkeys(("caption", "title", "license", "width", "nsfw", "author", "tags"), column)
    pq.write_table(pa.table({"url": addresses, **fields}), tmp_path / "l.parquet")
    file = _file(tmp_path / "l.parquet")
    rows = _rows(file, "own")
    assert [row["url"] for row in rows] == addresses
    ((_, texts, licences),) = read_texts(file, PRESETS["own"], {}, LeftOut("x"))
    assert len(texts) == 3 and texts.null_count == 0 and licences.to_pylist() == ["unknown"] * 3
    # and a column of any type in the place of the address names its rows
    left_out = LeftOut("x")
    pq.write_table(pa.table({"url": column}), tmp_path / "u.parquet")
    assert _rows(_file(tmp_path / "u.parquet"), "own", {}, left_out) == [] and sum(left_out.counts.values()) == 3


def test_long_texts_are_cut_and_counted_also_where_one_stands_in_every_row(tmp_path: Path) -> None:
    rows = 20_000
    long = "meadow " * 300_000  # 2 MB, once in the file; 40 GB when written out
    indices = pa.array(np.zeros(rows, np.int32))
    table = pa.table({
        "url": [f"http://h.test/{n}.jpg" for n in range(rows)],
        "caption": pa.DictionaryArray.from_arrays(indices, [long]),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "l.parquet", store_schema=False, dictionary_pagesize_limit=1 << 26)
    left_out = LeftOut("l")
    count = 0
    for positions, texts, _ in read_texts(_file(tmp_path / "l.parquet"), PRESETS["own"], {}, left_out):
        count += len(positions)
        assert len(texts[0].as_py()) == 4096
    assert (count, left_out.cut, left_out.taken) == (rows, rows, rows)


def test_a_damaged_row_group_is_counted_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "pd12m.000.parquet"
    write_pd12m(path, 300)
    pq.write_table(pq.read_table(path), path, row_group_size=100, compression="none", use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(1).column(2)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset : column.data_page_offset + 40] = b"\xff" * 40
    path.write_bytes(content)
    left_out = LeftOut("x")
    rows = _rows(_file(path), "pd12m", {}, left_out)
    assert [row["row"] for row in rows] == [*range(100), *range(200, 300)]
    assert (left_out.rows, left_out.taken) == (300, 200)
    ((why, count),) = left_out.counts.items()
    assert "cannot be read" in why and count == 100 and left_out.examples[why] == ["row group 1"]
