"""What the seal writes for people and programs that meet the archive for the first time."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from moodarchive.archive.manifest import ArchiveManifest
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH
from moodarchive.tables.schemas import ITEMS, SELECTION
from shards import attribution
from shards.card import render_card
from shards.licences import licence_address, licence_row
from shards.pack import ShardSettings
from shards.seal import seal
from tests.making import Fate, pack_parts, rows_of, sealed_archive, write_fates
from validate.verify import verify

DESCRIPTIONS = ("README.md", "croissant.json", "ATTRIBUTION.parquet")


@pytest.fixture
def sealed(store: Store) -> Store:
    sealed_archive(store)
    return store


def _manifest(store: Store) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(store.read_bytes(MANIFEST_PATH))
    return manifest


def _sealed_contents(store: Store) -> ArchiveManifest:
    return ArchiveManifest.from_json(store.read_bytes(MANIFEST_PATH))


def _attributed(store: Store) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(store.read_bytes("ATTRIBUTION.parquet"))).to_pylist()
    return rows


def _header(text: str) -> dict[str, Any]:
    header: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return header


def test_every_kept_image_is_attributed_and_no_other(sealed: Store) -> None:
    expected = [
        {name: items[name] for name in attribution.COLUMNS}
        for part in (0, 1)
        for items, kept in zip(rows_of(sealed, ITEMS, part), rows_of(sealed, SELECTION, part), strict=True)
        if kept["kept"]
    ]
    assert _attributed(sealed) == expected
    assert len(expected) == _manifest(sealed)["counts"]["shards"]["rows"]


@pytest.mark.parametrize("group", [1, 7, 52, 53])
def test_attributions_stand_in_groups_of_a_fixed_size(
    sealed: Store, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _attributed(sealed)
    monkeypatch.setattr(attribution, "ROWS_PER_GROUP", group)
    attribution.write_attribution(sealed, [0, 1])
    assert _attributed(sealed) == before
    metadata = pq.ParquetFile(io.BytesIO(sealed.read_bytes("ATTRIBUTION.parquet"))).metadata
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sizes[:-1] == [group] * (len(sizes) - 1) and 0 < sizes[-1] <= group


def test_an_archive_that_keeps_nothing_describes_itself_too(store: Store) -> None:
    write_fates(store, 0, [Fate(number=i, reason="low_score") for i in range(3)])
    store.write_bytes("settings.json", b"{}")
    pack_parts(store, [0])
    seal(store)
    assert _attributed(store) == []
    assert "configs" not in _header(store.read_bytes("README.md").decode())


def test_the_card_has_the_hub_s_header_and_the_manifest_s_figures(sealed: Store) -> None:
    text, told = sealed.read_bytes("README.md").decode(), _manifest(sealed)
    header = _header(text)
    assert header["license"] == "other" and header["size_categories"] == ["n<1K"]
    assert [(f["split"], f["path"]) for f in header["configs"][0]["data_files"]] == [
        ("train", "shards/train/*.tar"), ("validation", "shards/validation/*.tar"), ("test", "shards/heldout/*.tar"),
    ]  # fmt: skip
    for name, of_set in told["sets"].items():
        assert f"| `shards/{name}/` | {of_set['shards']} | {of_set['samples']} |" in text
    assert f"| by 2.0 | {told['licences']['by 2.0']} |" in text
    for word in ("## Licences", "by-sa", "## People and intended use", "## Known limits", "not what the person in"):
        assert word in text


def test_the_private_set_is_in_no_split_and_marked(store: Store) -> None:
    sealed_archive(store, ShardSettings(private_sources=("openverse",)))
    text = store.read_bytes("README.md").decode()
    assert "configs" not in _header(text) and "may not be passed on" in text
    assert "shards/private" not in store.read_bytes("croissant.json").decode()


def test_a_stranger_s_licence_cannot_write_into_the_card(sealed: Store) -> None:
    text = render_card(replace(_sealed_contents(sealed), licences={"by 2.0 |\n\n# Free\n<script>": 3}))
    assert "<script>" not in text and "\n# Free" not in text
    assert "| by 2.0 \\| # Free &lt;script> | 3 |" in text


@pytest.mark.parametrize(("samples", "size"), [(999, "n<1K"), (1_000, "1K<n<10K"), (8_000_000, "1M<n<10M")])
def test_the_hub_s_size_is_that_of_the_samples(sealed: Store, samples: int, size: str) -> None:
    contents = replace(_sealed_contents(sealed), sets={"train": {"shards": 1, "samples": samples}})
    assert _header(render_card(contents))["size_categories"] == [size]


@pytest.mark.parametrize(
    ("licence", "row", "address"),
    [
        ("by 2.0", ("yes", "yes", "yes", "yes", "name the creator"), "https://creativecommons.org/licenses/by/2.0/"),
        ("by-sa 4.0", ("yes", "yes", "yes", "yes", "under the same licence"),
         "https://creativecommons.org/licenses/by-sa/4.0/"),
        ("by-nc 2.0", ("yes", "yes", "no", "yes", "nothing for profit"), "https://creativecommons.org/licenses/by-nc/2.0/"),
        ("by-nd 2.0", ("yes", "no", "yes", "no", "no changed copy"), "https://creativecommons.org/licenses/by-nd/2.0/"),
        ("cc0 1.0", ("yes", "yes", "yes", "yes", "nothing"), "https://creativecommons.org/publicdomain/zero/1.0/"),
        ("pdm 1.0", ("yes", "yes", "yes", "yes", "nothing"), "https://creativecommons.org/publicdomain/mark/1.0/"),
        ("pexels", ("no", "yes", "yes", "no", "own terms"), "https://www.pexels.com/license/"),
        ("by ../x", ("no", "no", "no", "no", "do not pass"), None),
        ("unknown", ("no", "no", "no", "no", "do not pass"), None),
    ],
)  # fmt: skip
def test_what_a_licence_allows_and_asks(licence: str, row: tuple[str, ...], address: str | None) -> None:
    name, images, *allowed, asks = licence_row(licence, 7)
    assert (name, images, tuple(allowed)) == (licence, 7, row[:4]) and row[4] in str(asks)
    assert licence_address(licence) == address


def test_the_card_says_what_each_use_may_take(sealed: Store) -> None:
    licences = {"by 2.0": 10, "by-nc 2.0": 20, "by-nd 3.0": 40, "cc0 1.0": 100, "pexels": 300, "unknown": 1_000}
    sets = {"train": {"shards": 1, "samples": 110}, "private": {"shards": 1, "samples": 1_360}}
    text = render_card(replace(_sealed_contents(sealed), licences=licences, sets=sets))
    assert "(`commercial-training`) | 110 | by 2.0, cc0 1.0 |" in text
    assert "(`redistribution`) | 110 | whatever lies in the public sets |" in text
    assert "(`adaptation`) | 430 | by 2.0, by-nc 2.0, cc0 1.0, pexels |" in text
    assert "| by-nd 3.0 | 40 | yes | no | yes | no |" in text
    assert "moodarchive licences ROOT\n--for USE" in text


def test_mlcroissant_validates_the_metadata_and_reads_its_tables(sealed: Store) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(jsonld=sealed.path("croissant.json"))
    assert not dataset.metadata.issues.errors
    keys = [row["attribution/key"].decode() for row in dataset.records("attribution")]
    assert keys == [row["key"] for row in _attributed(sealed)]
    told = _manifest(sealed)["sets"]
    for name, of_set in told.items():
        assert sum(1 for _ in dataset.records(name)) == of_set["samples"]


def test_the_descriptions_are_equal_for_equal_tables(sealed: Store, tmp_path: Path) -> None:
    other = Store(str(tmp_path / "other"))
    sealed_archive(other)
    for path in DESCRIPTIONS:
        assert other.read_bytes(path) == sealed.read_bytes(path), path


@pytest.mark.parametrize("path", DESCRIPTIONS)
def test_a_description_that_is_missing_or_changed_is_named_and_the_next_seal_mends_it(sealed: Store, path: str) -> None:
    whole = sealed.read_bytes(path)
    sealed.remove(path)
    assert [str(problem) for problem in verify(sealed)] == [f"{path}: missing"]
    sealed.write_bytes(path, whole[:-1])
    assert [problem.where for problem in verify(sealed, fast=True)] == [path]
    assert seal(sealed) is False, "the manifest was right, and stays"
    assert sealed.read_bytes(path) == whole
    sealed.write_bytes("ATTRIBUTION.csv", b"")
    assert [str(problem) for problem in verify(sealed)] == ["ATTRIBUTION.csv: not in the manifest"]


def test_a_second_seal_leaves_the_descriptions_alone(sealed: Store) -> None:
    before = {path: Path(sealed.path(path)).stat().st_mtime_ns for path in DESCRIPTIONS}
    assert seal(sealed) is False
    assert {path: Path(sealed.path(path)).stat().st_mtime_ns for path in DESCRIPTIONS} == before
