"""The sealed archive describes itself, once, and the seal breaks before anything under it changes."""

import json
from pathlib import Path

import pytest

from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import IMAGES, ITEMS, SHARD_INDEX
from shards.pack import ShardSettings, pack_stage
from shards.seal import seal, unseal
from tests.making import Fate, fates, pack_parts, rows_of, sealed_archive, write_fates, write_rows
from validate.verify import verify

BY = "https://creativecommons.org/licenses/by/2.0/"


@pytest.fixture
def sealed(store: Store) -> Store:
    sealed_archive(store)
    return store


def test_the_manifest_counts_what_is_there(sealed: Store) -> None:
    manifest = json.loads(sealed.read_bytes(MANIFEST_PATH))
    chosen = fates(0, 36) + fates(36, 30)
    kept = [fate for fate in chosen if fate.downloaded and fate.reason is None]
    counts = manifest["counts"]
    assert [counts[name]["rows"] for name in ("items", "images", "selection", "shards")] == [66, 66, 66, len(kept)]
    missing = sum(not fate.downloaded for fate in chosen)
    assert counts["images"]["failures"] == {"http_404": missing}
    assert counts["selection"]["failures"] == {"failed_download": missing, "low_score": 66 - missing - len(kept)}
    images = finished_parts(sealed, IMAGES)
    assert counts["images"]["bytes"] == sum(sidecar.bytes for sidecar in images.values())
    by_set = {name: sum(fate.split == name for fate in kept) for name in ("train", "validation", "heldout")}
    assert manifest["sets"] == {name: {"shards": 2, "samples": count} for name, count in by_set.items()}
    assert manifest["licences"] == {"by 2.0": len(kept)}
    assert manifest["sources"] == {"openverse": len(kept)}
    assert manifest["settings"] == json.loads(sealed.read_bytes("settings.json"))


def test_the_manifest_has_the_digest_of_every_file_that_matters(sealed: Store) -> None:
    manifest = json.loads(sealed.read_bytes(MANIFEST_PATH))
    told = {path: sha for part in manifest["parts"].values() for path, sha in part["files"].items()}
    told |= manifest["records"]
    present = [
        path for path in sealed.files() if path != MANIFEST_PATH and path.removesuffix(".json") not in manifest["parts"]
    ]
    assert told == {path: sealed.sha256(path) for path in present}


def test_sizes_name_every_tar_of_a_set(sealed: Store) -> None:
    for name in ("train", "validation", "heldout"):
        sizes = json.loads(sealed.read_bytes(f"shards/{name}/sizes.json"))
        sidecars = finished_parts(sealed, SHARD_INDEX)
        assert sizes == {f"{part:05d}.tar": sidecar.sets[name] for part, sidecar in sidecars.items()}
        assert sorted(sizes) == [file for file in sealed.names(f"shards/{name}") if file.endswith(".tar")]
    assert not sealed.exists("shards/private/sizes.json")


def test_a_second_seal_changes_nothing(sealed: Store) -> None:
    before = sealed.read_bytes(MANIFEST_PATH)
    assert seal(sealed) is False
    assert sealed.read_bytes(MANIFEST_PATH) == before


def test_two_archives_of_equal_tables_have_equal_manifests(sealed: Store, tmp_path: Path) -> None:
    other = Store(str(tmp_path / "other"))
    sealed_archive(other)
    assert other.read_bytes(MANIFEST_PATH) == sealed.read_bytes(MANIFEST_PATH)


def test_an_unsealed_archive_has_no_manifest_and_is_sealed_again(sealed: Store) -> None:
    before = sealed.read_bytes(MANIFEST_PATH)
    unseal(sealed)
    assert not sealed.exists(MANIFEST_PATH)
    unseal(sealed)
    assert seal(sealed) is True
    assert sealed.read_bytes(MANIFEST_PATH) == before


def test_what_changed_is_in_the_next_manifest(sealed: Store) -> None:
    unseal(sealed)
    write_fates(sealed, 1, [Fate(number=i) for i in range(36, 66)])
    pack_parts(sealed, [1])
    assert seal(sealed) is True
    manifest = json.loads(sealed.read_bytes(MANIFEST_PATH))
    assert manifest["sets"]["validation"]["shards"] == 1
    assert list(json.loads(sealed.read_bytes("shards/validation/sizes.json"))) == ["00000.tar"]


def test_a_set_that_is_gone_loses_its_sizes(sealed: Store) -> None:
    for part, first in ((0, 0), (1, 36)):
        write_fates(sealed, part, [Fate(number=i) for i in range(first, first + 10)])
    pack_parts(sealed, [0, 1])
    seal(sealed)
    sets = {path.split("/")[1] for path in sealed.files("shards")}
    assert sets == {"00000.json", "00001.json", "train"}
    assert finished_parts(sealed, ITEMS)[1].rows == 10


def test_licences_are_counted_as_they_are_read(store: Store) -> None:
    sealed_archive(store)
    rows = rows_of(store, ITEMS, 0)
    stated = (("Attribution License", None), (None, None), ("cc0", BY), ("by 2.0", BY)) * 9
    for row, (licence, url) in zip(rows, stated, strict=True):
        row |= {"licence": licence, "licence_url": url}
    write_rows(store, ITEMS, 0, rows)
    pack_parts(store, [0])
    seal(store)
    manifest = json.loads(store.read_bytes(MANIFEST_PATH))
    assert list(manifest["licences"]) == ["by 2.0", "unknown"]
    assert sum(manifest["licences"].values()) == sum(of_set["samples"] for of_set in manifest["sets"].values())
    assert manifest["licences"]["unknown"] == manifest["sets"]["private"]["samples"]
    assert not [problem for problem in verify(store, fast=True) if "licences" in str(problem)]


def test_a_licence_that_no_site_stated_is_unknown(store: Store) -> None:
    sealed_archive(store, licence=None)
    manifest = json.loads(store.read_bytes(MANIFEST_PATH))
    assert list(manifest["licences"]) == ["unknown"]
    assert not [problem for problem in verify(store) if "licence" in str(problem)]
    assert list(manifest["sets"]) == ["private"]
    assert pack_stage(ShardSettings()).writes is SHARD_INDEX
