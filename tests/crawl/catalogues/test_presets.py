"""Each published format is read as its authors write it: words, licence, creator and pages stand where they belong."""

import bz2
import gzip
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crawl.catalogues.files import LeftOut, ListFile, find_files
from crawl.catalogues.presets import FIELDS, PRESETS
from crawl.catalogues.rows import LISTING, parse_row_address, read_pictures, read_rows, read_texts
from crawl.politeness.rate_limits import parse_limit
from moodarchive.errors import ConfigError
from tests.crawl.catalogues.published import (
    write_commoncatalog,
    write_commons_tar,
    write_links,
    write_open_images,
    write_pd12m,
    write_unsplash,
    yfcc100m_lines,
)


def _find(root: Path, preset: str) -> tuple[ListFile, ...]:
    return find_files([str(root)], PRESETS[preset].pattern, PRESETS[preset].format.kind)


def _rows(root: Path, preset: str, left_out: LeftOut | None = None) -> list[dict[str, object]]:
    (file,) = _find(root, preset)
    counts = left_out or LeftOut(file.name)
    rows = pa.Table.from_batches(read_rows(file, PRESETS[preset], {}, counts), LISTING).to_pylist()
    same: list[object] = []
    for positions, texts, licences in read_texts(file, PRESETS[preset], {}, LeftOut(file.name)):
        same.extend(zip(positions.tolist(), texts.to_pylist(), licences.to_pylist(), strict=True))
    words = [" ".join(str(row[name]) for name in ("title", "alt_text", "searched") if row[name]) for row in rows]
    assert same == [(row["row"], text, row["licence"]) for row, text in zip(rows, words, strict=True)]
    return rows


def _are(row: Mapping[str, object], /, **values: object) -> None:
    assert {name: row[name] for name in values} == values


def test_open_images(tmp_path: Path) -> None:
    write_open_images(tmp_path / "image_ids_and_rotation.csv")
    rows = _rows(tmp_path, "open-images")
    _are(
        rows[2], row=2, source_id=f"{2:016x}", url="https://c1.staticflickr.com/5/4129/2_o.jpg", licence="by 2.0",
        landing_url="https://www.flickr.com/photos/brokentaco/2", creator="David", alt_text=None,
        creator_url="https://www.flickr.com/people/brokentaco/", title='28 Nov 2010, "our" meadow 2.', width=None,
    )  # fmt: skip


@pytest.mark.parametrize("columns", [23, 25])
@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("yfcc100m_dataset", bytes),
        ("yfcc100m_dataset-0.bz2", bz2.compress),
        ("yfcc100m_dataset.tsv.gz", gzip.compress),
    ],
)
def test_yfcc100m(tmp_path: Path, name: str, pack: Callable[[bytes], bytes], columns: int) -> None:
    (tmp_path / name).write_bytes(pack(yfcc100m_lines(3, columns=columns).encode()))
    (tmp_path / "yfcc100m_autotags.bz2").write_bytes(b"another of its files")
    rows = _rows(tmp_path, "yfcc100m")
    _are(
        rows[1], row=1, source_id="6185218912", title='A "sunlit" meadow 1', alt_text="My vacation here & there",
        searched="canon,green meadow", creator="guckxzs", creator_url="https://www.flickr.com/people/39019111@N00/",
        url="http://farm8.staticflickr.com/7205/6985418912_df7747990d.jpg", licence="by-sa 2.0", mature=False,
        landing_url="http://www.flickr.com/photos/39089491@N00/6985418912/",
    )  # fmt: skip


@pytest.mark.parametrize("preset", ["unsplash-full", "unsplash-lite"])
def test_unsplash(tmp_path: Path, preset: str) -> None:
    rows = _rows(write_unsplash(tmp_path), preset)
    assert [row["title"] for row in rows] == ["Woman exploring\ta forest", None, 'The "late" light']
    assert [row["creator"] for row in rows] == ["Michelle Spencer", "Michelle", "Michelle Spencer"]
    _are(
        rows[1], source_id="XMyPniM9LF1", url="https://images.unsplash.com/uploads/1/meadow.jpg", width=4272,
        landing_url="https://unsplash.com/photos/XMyPniM9LF1", alt_text="woman in meadow 1", searched="meadow, tree",
        creator_url="https://unsplash.com/@michellespencer77", licence="unsplash",
    )  # fmt: skip
    (file,) = _find(tmp_path, preset)
    (beside,) = find_files([str(tmp_path)], "photos.tsv*", "tsv", beside="keywords.tsv*")
    (tmp_path / "keywords.tsv000").unlink()
    assert {row["searched"] for row in _rows(tmp_path, preset)} == {None}
    (without,) = find_files([str(tmp_path)], "photos.tsv*", "tsv", beside="keywords.tsv*")
    assert beside.fingerprint != without.fingerprint == file.fingerprint


def test_wikimedia_commons(tmp_path: Path) -> None:
    pictures = [b"\xff\xd8zero", b"\xff\xd8one"]
    write_commons_tar(tmp_path / "00.tar", pictures)
    rows = _rows(tmp_path, "wikimedia-commons")
    _are(
        rows[1], row=1, source_id="35679", url="row:00.tar!0.1", title="Meadow 1", alt_text="A sunlit meadow",
        creator="Ana", licence="by-sa 4.0", landing_url="https://commons.wikimedia.org/?curid=35679", width=640,
        searched="Meadows|Sunlight",
    )  # fmt: skip
    (file,) = _find(tmp_path, "wikimedia-commons")
    wanted = {parse_row_address(str(row["url"]))[1:]: str(row["row"]) for row in rows}  # type: ignore[index]
    assert dict(read_pictures(file, PRESETS["wikimedia-commons"], {}, wanted)) == {"0": pictures[0], "1": pictures[1]}


def test_links_without_licences(tmp_path: Path) -> None:
    write_links(tmp_path / "coyo.parquet")
    rows = _rows(tmp_path, "links")
    assert [row["mature"] for row in rows] == [False, True, False]
    assert {row["licence"] for row in rows} == {"unknown"}
    assert str(rows[0]["source_id"]).startswith("841814333321-") and rows[0]["alt_text"] == "A dog in a meadow 0"


def test_a_column_may_be_named_and_so_may_one_of_a_list_without_heading(tmp_path: Path) -> None:
    (tmp_path / "l.tsv").write_text("7\thttp://h.test/1.jpg\ta meadow\n8\thttp://h.test/2.jpg\ta lake\n")
    (file,) = find_files([str(tmp_path / "l.tsv")])
    columns = {"url": "#2", "alt_text": "#3"}
    batches = read_rows(file, PRESETS["own"], columns, LeftOut("l"))
    assert [row["alt_text"] for row in pa.Table.from_batches(batches).to_pylist()] == ["a meadow", "a lake"]
    write_pd12m(tmp_path / "p.parquet", words=["one", "two", "three", "four"])
    (file,) = find_files([str(tmp_path / "p.parquet")])
    batches = read_rows(file, PRESETS["pd12m"], {"alt_text": " WORDS"}, LeftOut("l"))
    assert pa.Table.from_batches(batches)["alt_text"].to_pylist() == ["one", "two", "three", "four"]
    with pytest.raises(ConfigError, match=r"columns\.words is no field of a list; legal: source_id, url"):
        list(read_rows(file, PRESETS["pd12m"], {"words": "caption"}, LeftOut("l")))


WRITERS: Mapping[str, Callable[[Path], Path]] = {
    "pd12m": lambda folder: write_pd12m(folder / "l.parquet"),
    "commoncatalog": lambda folder: write_commoncatalog(folder / "l.parquet", [b"x"]),
    "links": lambda folder: write_links(folder / "l.parquet"),
}


@pytest.mark.parametrize("preset", sorted(WRITERS))
def test_each_missing_column_of_a_format_is_named(tmp_path: Path, preset: str) -> None:
    table = pq.read_table(WRITERS[preset](tmp_path))
    names = {name.casefold(): name for name in table.column_names}
    for field in PRESETS[preset].required:
        aliases = PRESETS[preset].columns["url" if field == "picture" else field]
        pq.write_table(
            table.drop_columns([names[alias] for alias in aliases if alias in names]), tmp_path / "m.parquet"
        )
        (file,) = find_files([str(tmp_path / "m.parquet")])
        with pytest.raises(ConfigError, match=f"m.parquet has no column called {aliases[0]}.*{preset}"):
            list(read_rows(file, PRESETS[preset], {}, LeftOut("m")))


def test_every_preset_names_its_terms_its_fields_and_rates_that_hold() -> None:
    for name, preset in PRESETS.items():
        assert preset.name == name and preset.policy.says and preset.policy.terms_url
        assert set(preset.columns) <= set(FIELDS)
        assert all(alias == alias.casefold().strip() for aliases in preset.columns.values() for alias in aliases)
        assert preset.policy.locked or preset.policy.terms_reviewed_on, "unlocked by a record with a date"
        for limit in preset.hosts.values():
            parse_limit(limit)
