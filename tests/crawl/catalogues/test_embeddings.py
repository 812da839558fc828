"""Embeddings find their rows wherever they stand; what is none is counted, and nothing that a file says is executed."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crawl.catalogues.embeddings import BLOCK_ROWS, match_embeddings, read_embeddings
from crawl.catalogues.files import LeftOut, ListFile, find_files
from crawl.catalogues.presets import PRESETS
from moodarchive.errors import ConfigError
from tests.crawl.catalogues.published import vectors, write_links, write_pd12m

PD12M = PRESETS["pd12m"]


def _lists(folder: Path, *rows: int) -> tuple[ListFile, ...]:
    folder.mkdir(exist_ok=True)
    for number, count in enumerate(rows):
        write_pd12m(folder / f"pd12m.{number:03d}.parquet", count, sum(rows[:number]))
    return find_files([str(folder)])


def _by_row(blocks: Iterator[tuple[np.ndarray, np.ndarray]]) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for rows, block in blocks:
        assert len(rows) == len(block) <= BLOCK_ROWS and block.dtype in (np.float16, np.float32)
        for row, vector in zip(rows.tolist(), block.astype(np.float32).tolist(), strict=True):
            assert row not in found
            found[row] = vector
    return found


def _all(files: tuple[ListFile, ...], *roots: Path, left_out: LeftOut | None = None) -> list[list[float]]:
    """The vectors in the list's order."""
    segments = match_embeddings(files, PD12M, {}, [str(root) for root in roots])
    found: list[list[float]] = []
    for file in files:
        here = _by_row(read_embeddings(file, PD12M, {}, left_out or LeftOut("x"), segments.get(file.name, ())))
        found += [here[row] for row in sorted(here)]
    return found


def test_pd12ms_files_of_a_million_follow_the_lists_of_a_hundred_thousand(tmp_path: Path) -> None:
    files = _lists(tmp_path / "metadata", 20, 20, 13)
    made = vectors(53)
    (tmp_path / "embeddings").mkdir()
    np.save(tmp_path / "embeddings" / "pd12m.00.npy", made[:30])
    np.save(tmp_path / "embeddings" / "pd12m.01.npy", made[30:])
    assert _all(files, tmp_path / "embeddings") == made.tolist()
    with pytest.raises(ConfigError, match="the list has 40 rows, its embeddings 53; remedy"):
        _all(files[:2], tmp_path / "embeddings")


@pytest.mark.parametrize("kind", ["<f2", "<f4", ">f4", "<f8"])
def test_files_called_alike_belong_together(tmp_path: Path, kind: str) -> None:
    files = _lists(tmp_path / "metadata", 5, 7)
    made = vectors(12).astype(kind)
    (tmp_path / "e").mkdir()
    np.save(tmp_path / "e" / "pd12m.001.npy", made[5:])
    np.save(tmp_path / "e" / "pd12m.000.npy", made[:5])
    assert _all(files, tmp_path / "e") == made.astype(np.float32).tolist()
    np.save(tmp_path / "e" / "pd12m.000.npy", made[:4])
    with pytest.raises(ConfigError, match=r"pd12m\.000\.parquet has 5 rows, .*pd12m\.000\.npy 4"):
        _all(files, tmp_path / "e")


def test_files_in_folders_pair_by_their_whole_names(tmp_path: Path) -> None:
    made = vectors(12)
    for name, first in (("a", 0), ("b", 6)):
        (tmp_path / "list" / name).mkdir(parents=True)
        (tmp_path / "e" / name).mkdir(parents=True)
        write_pd12m(tmp_path / "list" / name / "0.parquet", 6, first)
        np.save(tmp_path / "e" / name / "0.parquet.npy", made[first : first + 6])
    files = find_files([str(tmp_path / "list")])
    segments = match_embeddings(files, PD12M, {}, [str(tmp_path / "e")])
    assert [segments[file.name][0].file.name for file in files] == ["a/0.parquet.npy", "b/0.parquet.npy"]
    assert _all(files, tmp_path / "e") == made.tolist()


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("named", ["id", "row", ""])
def test_parquet_by_id_by_row_and_in_order(tmp_path: Path, named: str, fixed: bool) -> None:
    (file,) = _lists(tmp_path / "metadata", 40_000 if named == "row" else 50)
    rows = 40_000 if named == "row" else 50
    made = vectors(rows, 4)
    order = np.random.default_rng(1).permutation(rows) if named else np.arange(rows)
    numbers = pa.array(made[order].ravel())
    column = pa.FixedSizeListArray.from_arrays(numbers, 4) if fixed else pa.array(made[order].tolist())
    names = {"id": {"id": [f"{row:032x}" for row in order]}, "row": {"row": order}, "": {}}[named]
    pq.write_table(pa.table({**names, "embedding": column}), tmp_path / "e.parquet", row_group_size=17_000)
    assert _all((file,), tmp_path / "e.parquet") == made.tolist()


def test_a_column_of_the_list_holds_them(tmp_path: Path) -> None:
    made = vectors(4).astype(np.float16)
    column = pa.FixedSizeListArray.from_arrays(pa.array(made.ravel()), 8)
    write_pd12m(tmp_path / "l.parquet", embedding=column)
    (file,) = find_files([str(tmp_path / "l.parquet")])
    ((rows, block),) = read_embeddings(file, PD12M, {}, LeftOut("x"))
    assert block.dtype == np.float16 and np.array_equal(block, made) and rows.tolist() == [0, 1, 2, 3]
    (file,) = find_files([str(write_links(tmp_path / "m.parquet"))])
    with pytest.raises(ConfigError, match=r"m\.parquet has no column called embedding or .*columns\.embedding"):
        list(read_embeddings(file, PRESETS["links"], {}, LeftOut("x")))


def test_what_is_no_embedding_is_left_out_and_counted(tmp_path: Path) -> None:
    (file,) = _lists(tmp_path / "metadata", 8)
    column = [[1.0, 0.0], None, [1.0], [1.0, float("nan")], [1.0, float("inf")], [1.0, None], [0.0, 1.0], [0.5, 0.5]]
    ids = [0, 1, 2, 3, 4, 5, 6, 0]
    table = pa.table({"id": [f"{n:032x}" for n in ids], "embedding": pa.array(column, pa.list_(pa.float32()))})
    pq.write_table(table, tmp_path / "e.parquet")
    left_out = LeftOut("e")
    assert _all((file,), tmp_path / "e.parquet", left_out=left_out) == [[1.0, 0.0], [0.0, 1.0]]
    assert sum(left_out.counts.values()) == 6 and len(left_out.counts) == 3, left_out


def test_a_file_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    files = _lists(tmp_path / "metadata", 4)

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (f"open({str(tmp_path / 'executed')!r}, 'w')",)

    bad = {
        "pickled": lambda path: np.save(path, np.array([Bomb()] * 4, object), allow_pickle=True),
        "flat": lambda path: np.save(path, np.zeros(4, np.float32)),
        "in_columns": lambda path: np.save(path, np.asfortranarray(vectors(4))),
        "texts": lambda path: np.save(path, np.array([["a"] * 2] * 4)),
        "wide": lambda path: np.save(path, np.zeros((4, 10_000), np.float16)),
        "a_pickle": lambda path: path.write_bytes(pickle.dumps([1, 2])),
        "empty": lambda path: path.write_bytes(b""),
    }
    for name, write in bad.items():
        path = tmp_path / f"{name}.npy"
        write(path)
        with pytest.raises(ConfigError, match=rf"{name}\.npy .*remedy"):
            _all(files, path)
    np.save(tmp_path / "cut.npy", vectors(4))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-3])
    with pytest.raises(ConfigError, match=r"cut\.npy has \d+ bytes, its heading says \d+"):
        _all(files, tmp_path / "cut.npy")
    assert not (tmp_path / "executed").exists()
