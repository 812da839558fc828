"""Both manifests come back from their bytes as they were, and what is none is refused with what is wrong."""

import json

import pytest

from moodarchive.archive.manifest import ArchiveManifest, Manifest, VerifiedManifest
from moodarchive.tables.parts import Sidecar

PART = Sidecar(
    table="shards", part=3, rows=2, failures={}, 
    files={"shards/train/00003.tar": "aa", "shards/train/00003.parquet": "b"},
    bytes=9, settings="s", inputs={"items/00003": "cc"}, started=0.0, finished=0.0, sets={"train": 2},
)  # fmt: skip
ARCHIVE = ArchiveManifest(
    code_version="0.1.0", settings={"per_row": {}}, counts={}, sets={"train": {"shards": 1, "samples": 2}},
    licences={"by 2.0 “ü”": 2}, sources={"openverse": 2}, pruned={"images/00003.parquet": "dd"},
    parts={"shards/00003": PART}, records={"settings.json": "ee", "seals/0000.json": "ff"}, seal=0,
    changes={"since": None},
)  # fmt: skip
VERIFIED = VerifiedManifest(
    name="n", samples=1, wanted=5, simulated=True, answers_per_image={"5": 1}, licences={}, emotions={"joy": 1},
    files={"README.md": "aa"},
)  # fmt: skip


@pytest.mark.parametrize("manifest", [ARCHIVE, VERIFIED], ids=["archive", "verified set"])
def test_a_manifest_comes_back_from_its_bytes(manifest: Manifest) -> None:
    assert type(manifest).from_json(manifest.to_json()) == manifest


def test_the_timings_of_a_part_are_not_sealed() -> None:
    assert not {"started", "finished", "measured"} & json.loads(ARCHIVE.to_json())["parts"]["shards/00003"].keys()


def test_files_are_those_of_parts_records_and_what_pruning_left() -> None:
    assert ARCHIVE.files == {
        "shards/train/00003.tar": "aa", "shards/train/00003.parquet": "b", "images/00003.parquet": "dd",
        "settings.json": "ee", "seals/0000.json": "ff",
    }  # fmt: skip
    assert ARCHIVE.tars == {"shards/train/00003.tar": "aa"}


@pytest.mark.parametrize("manifest", [ARCHIVE, VERIFIED], ids=["archive", "verified set"])
def test_each_missing_or_misshapen_section_is_named(manifest: Manifest) -> None:
    sections = json.loads(manifest.to_json())
    for name in sections.keys() - {"schema_version"}:
        for wrong in ({}, {name: None}, {name: [1]}):
            text = json.dumps({key: value for key, value in sections.items() if key != name} | wrong)
            with pytest.raises(ValueError, match=f"no {name}"):
                type(manifest).from_json(text.encode())


def test_a_manifest_of_another_version_is_refused_with_both_versions() -> None:
    text = json.dumps(json.loads(ARCHIVE.to_json()) | {"schema_version": 99})
    with pytest.raises(ValueError, match="schema version 99, this program reads 3"):
        ArchiveManifest.from_json(text.encode())
