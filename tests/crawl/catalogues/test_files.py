"""A list is one or many files on any store: they are found by name, told apart by content, and never sought outside."""

import gzip
import os
import shutil
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from crawl.catalogues.embeddings import match_embeddings, read_embeddings
from crawl.catalogues.files import LeftOut, find_files, fingerprint
from crawl.catalogues.presets import PRESETS
from crawl.catalogues.rows import parse_row_address, read_pictures, read_rows, row_address
from moodarchive.errors import ConfigError
from tests.crawl.catalogues.published import (
    vectors,
    write_commoncatalog,
    write_commons_tar,
    write_open_images,
    write_pd12m,
    yfcc100m_lines,
)
from tests.object_store import BUCKET, ObjectStore, object_store

assert object_store  # the fixture ``server``


def _names(*roots: Path | str, pattern: str = "*", kind: str | None = None) -> list[str]:
    return [file.name for file in find_files([str(root) for root in roots], pattern, kind)]


def _folder(top: Path) -> Path:
    for name in ("b.parquet", "a/0.csv", "a/1.TSV.gz", "c.jsonl", "d/e/f.tar", "photos.tsv000"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(name.encode())
    for name in (
        "README.md",
        "_SUCCESS",
        "a/_temporary.parquet",
        "_old/x.parquet",
        ".cache/x.parquet",
        "a/.hidden.csv",
    ):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"x")
    return top


def test_a_folder_a_glob_and_a_file_are_found_in_the_order_of_their_names(tmp_path: Path) -> None:
    top = _folder(tmp_path)
    assert _names(top) == ["a/0.csv", "a/1.TSV.gz", "b.parquet", "c.jsonl", "d/e/f.tar", "photos.tsv000"]
    assert _names(top / "*" / "*.csv", top / "b.parquet", top / "b.parquet") == ["a/0.csv", "b.parquet"]
    assert _names(top / "c.jsonl") == ["c.jsonl"] and _names(top, pattern="photos.tsv*") == ["photos.tsv000"]
    for roots, says in {
        (): "without files",
        (top / "no",): "no is not there",
        (top / "*.npy",): "matches no file",
        (top / "README.md",): "none of the endings",
        (top / ".cache",): None,
        (top / "a", top / "other"): "other is a folder without lists",
        (top / "b.parquet", top / "copy"): "have one name in the catalogue",
    }.items():
        (top / "other").mkdir(exist_ok=True)
        (top / "copy").mkdir(exist_ok=True)
        shutil.copy(top / "b.parquet", top / "copy")
        if says is not None:
            with pytest.raises(ConfigError, match=rf"{says}.*; remedy: "):
                _names(*roots)
    with pytest.raises(ConfigError, match="holds credentials"):
        _names("s3://key:secret@bucket/lists")


def test_links_out_of_a_folder_are_not_walked(tmp_path: Path) -> None:
    top = _folder(tmp_path / "lists")
    (tmp_path / "outside").mkdir()
    write_pd12m(tmp_path / "outside" / "secret.parquet")
    before = _names(top)
    os.symlink(tmp_path / "outside", top / "linked")
    os.symlink(top, top / "a" / "itself")
    os.symlink(top / "nowhere", top / "broken.csv")
    assert _names(top) == before


def test_a_fingerprint_is_of_names_and_contents_alone(tmp_path: Path) -> None:
    one = _folder(tmp_path / "one")
    shutil.copytree(one, tmp_path / "elsewhere" / "two")
    two = tmp_path / "elsewhere" / "two"
    first, second = find_files([str(one)]), find_files([str(two)])
    assert [file.fingerprint for file in first] == [file.fingerprint for file in second]
    assert fingerprint(first) == fingerprint(second[::-1])
    os.utime(two / "b.parquet", (1, 1))
    assert fingerprint(find_files([str(two)])) == fingerprint(first)
    (two / "b.parquet").write_bytes(b"b.parquer")
    assert fingerprint(find_files([str(two)])) != fingerprint(first)
    (two / "b.parquet").rename(two / "c.parquet")
    changed = find_files([str(two)])
    assert len({file.fingerprint for file in (*first, *changed)}) == len(first) + 1


def test_addresses_of_rows_hold_any_name_and_survive() -> None:
    for name in ("a b/ü!#?%41.parquet", "pd12m.000.parquet"):
        url = row_address(name, 12, 3456)
        assert parse_row_address(url) == (name, 12, 3456) and "#" not in url and " " not in url
    for other in ("http://h.test/!1.2", "row:a.parquet", "row:a!1", "row:a!1.-2", "row:a!x.1", "folder:a!1.2"):
        assert parse_row_address(other) is None


def _check_all_kinds(local: Path, root: str) -> None:
    """The same rows, pictures and embeddings from the folder and from a store that holds its copy."""
    pictures = [b"\xff\xd8a", b"\xff\xd8b", b"\xff\xd8c"]
    write_pd12m(local / "pd12m.000.parquet", 30)
    (local / "embeddings").mkdir()
    (local / "embeddings" / "pd12m.000.npy").touch()
    import numpy as np

    np.save(local / "embeddings" / "pd12m.000.npy", vectors(30))
    write_commoncatalog(local / "part 1.parquet", list(pictures))
    write_open_images(local / "images.csv")
    (local / "yfcc100m_dataset.gz").write_bytes(gzip.compress(yfcc100m_lines(4).encode()))
    write_commons_tar(local / "00.tar", pictures)
    fs = fsspec.core.url_to_fs(root)[0]
    fs.put(f"{local}/", root, recursive=True)
    for preset, name in {
        "pd12m": "pd12m.000.parquet",
        "commoncatalog": "part 1.parquet",
        "open-images": "images.csv",
        "yfcc100m": "yfcc100m_dataset.gz",
        "wikimedia-commons": "00.tar",
    }.items():
        one, kind = PRESETS[preset], PRESETS[preset].format.kind
        tables = []
        for top in (str(local), root):
            (file,) = find_files([f"{top}/{name}"], one.pattern, kind)
            assert file.name == name and file in find_files([f"{top}/*"], one.pattern, kind or "csv")
            rows = pa.Table.from_batches(read_rows(file, one, {}, LeftOut(name)))
            tables.append(rows)
            if "bytes" in one.columns:
                wanted = {parse_row_address(url)[1:]: url for url in rows["url"].to_pylist()}  # type: ignore[index]
                assert list(dict(read_pictures(file, one, {}, wanted)).values()) == pictures
        assert tables[0] == tables[1] and tables[0].num_rows
    files = find_files([f"{root}/pd12m.000.parquet"])
    segments = match_embeddings(files, PRESETS["pd12m"], {}, [f"{root}/embeddings"])
    ((_, block),) = read_embeddings(files[0], PRESETS["pd12m"], {}, LeftOut("x"), segments[files[0].name])
    assert np.array_equal(block, vectors(30))
    both = find_files([root]), find_files([str(local)])
    assert [(file.name, file.fingerprint) for file in both[0]] == [(file.name, file.fingerprint) for file in both[1]]


def test_lists_in_memory_are_read_as_on_a_disk(tmp_path: Path) -> None:
    _check_all_kinds(tmp_path, "memory://lists-of-test-files/one")


def test_lists_on_s3_are_read_as_on_a_disk(tmp_path: Path, server: ObjectStore) -> None:
    _check_all_kinds(tmp_path, f"s3://{BUCKET}/lists/one")
    with pytest.raises(ConfigError, match=r"s3://archives/nothing is not there; remedy"):
        find_files([f"s3://{BUCKET}/nothing"])
