"""Every seal leaves a record of what changed; what did not change leaves none."""

import json

import pytest

from moodarchive.errors import DamagedPartError, UnknownSealError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH
from moodarchive.tables.schemas import SCHEMA_VERSION, SELECTION
from shards.history import Changes, changes_between, read_entry, seal_numbers
from shards.seal import seal, unseal
from tests.making import Fate, pack_parts, rows_of, sealed_archive, write_fates, write_rows


@pytest.fixture
def sealed(store: Store) -> Store:
    sealed_archive(store)
    return store


def _rejudged(store: Store) -> None:
    """Part 1: one sample falls, one that had fallen comes in, one moves to another set; a setting changes."""
    unseal(store)
    rows = rows_of(store, SELECTION, 1)
    fallen, moved = [row for row in rows if row["kept"] and row["split"] == "train"][:2]
    raised = next(row for row in rows if row["reason"] == "low_score")
    fallen |= {"kept": False, "reason": "repeat"}
    moved |= {"split": "validation"}
    raised |= {"kept": True, "reason": None}
    write_rows(store, SELECTION, 1, rows)
    pack_parts(store, [1])
    settings = {"schema_version": SCHEMA_VERSION, "per_row": {"download": {"longest_side": 512}}}
    store.write_bytes("settings.json", json.dumps(settings).encode())
    assert seal(store)


def test_the_first_seal_says_that_everything_came_in(sealed: Store) -> None:
    assert seal_numbers(sealed) == [0]
    manifest = json.loads(sealed.read_bytes(MANIFEST_PATH))
    assert manifest["seal"] == 0
    kept = manifest["counts"]["shards"]["rows"]
    assert manifest["changes"] == {
        "since": None, "shards_added": 6, "shards_rewritten": 0, "shards_removed": 0, "samples_in": {"new": kept},
        "samples_out": {}, "samples_moved": {}, "samples_relabelled": {}, "settings": [],
    }  # fmt: skip


def test_a_seal_of_what_has_not_changed_touches_no_file_and_makes_no_record(sealed: Store) -> None:
    before = {path: sealed.fs.info(sealed.path(path))["mtime"] for path in sealed.files()}
    whole = sealed.read_bytes(MANIFEST_PATH)
    assert not seal(sealed)
    assert {path: sealed.fs.info(sealed.path(path))["mtime"] for path in sealed.files()} == before
    unseal(sealed)
    assert seal(sealed)
    assert sealed.read_bytes(MANIFEST_PATH) == whole


def test_the_next_seal_says_what_changed_and_the_earlier_record_stays(sealed: Store) -> None:
    first = sealed.read_bytes("seals/0000.json")
    _rejudged(sealed)
    assert sealed.read_bytes("seals/0000.json") == first
    assert changes_between(sealed, 0, 1) == Changes(
        since=0,
        shards_added=[],
        shards_rewritten=["shards/train/00001.tar", "shards/validation/00001.tar"],
        shards_removed=[],
        samples_in={"low_score": 1},
        samples_out={"repeat": 1},
        samples_moved={"train to validation": 1},
        samples_relabelled={},
        settings=changes_between(sealed, 0, 1).settings,
    )
    (setting,) = changes_between(sealed, 0, 1).settings
    assert (setting.setting, setting.was, setting.now) == ("per_row.download.longest_side", 768, 512)
    told = json.loads(sealed.read_bytes(MANIFEST_PATH))["changes"]
    assert told["shards_rewritten"] == 2 and told["samples_in"] == {"low_score": 1}


def test_any_two_seals_can_be_compared_and_a_way_back_is_its_reverse(sealed: Store) -> None:
    whole = {path: sealed.read_bytes(path) for path in sealed.files() if path.startswith(("selection", "settings"))}
    _rejudged(sealed)
    unseal(sealed)
    for path, data in whole.items():
        sealed.write_bytes(path, data)
    pack_parts(sealed, [1])
    assert seal(sealed)
    there, back = changes_between(sealed, 0, 1), changes_between(sealed, 1, 2)
    assert back.samples_in == {"repeat": 1} and back.samples_out == {"low_score": 1}
    assert back.shards_rewritten == there.shards_rewritten
    whole_way = changes_between(sealed, 0, 2)
    assert not (whole_way.shards_rewritten or whole_way.samples_in or whole_way.samples_out or whole_way.settings)


def test_removed_parts_and_rows_are_named(sealed: Store) -> None:
    unseal(sealed)
    write_fates(sealed, 1, [Fate(number=i) for i in range(36, 40)])
    pack_parts(sealed, [1])
    seal(sealed)
    changes = changes_between(sealed, 0, 1)
    assert changes.shards_removed == ["shards/heldout/00001.tar", "shards/validation/00001.tar"]
    assert set(changes.samples_out) == {"gone"}


def test_a_seal_killed_before_its_manifest_is_completed_under_the_same_number(sealed: Store) -> None:
    _rejudged(sealed)
    whole = {path: sealed.read_bytes(path) for path in sealed.files()}
    for gone in (("manifest.json",), ("manifest.json", "seals/0001.json")):
        for path in gone:
            sealed.remove(path)
        assert seal(sealed)
        assert {path: sealed.read_bytes(path) for path in sealed.files()} == whole


def test_verdicts_of_a_seal_that_never_was_are_removed(sealed: Store) -> None:
    sealed.write_bytes("seals/0001.parquet", b"cut short")
    seal(sealed)
    assert sealed.names("seals") == ["0000.json", "0000.parquet"]


def test_an_unknown_seal_is_named_with_those_there_are(sealed: Store) -> None:
    with pytest.raises(UnknownSealError, match="has no seal 7: it has 0 to 0"):
        read_entry(sealed, 7)


def test_a_damaged_record_is_named(sealed: Store) -> None:
    sealed.write_bytes("seals/0000.json", b"{")
    with pytest.raises(DamagedPartError, match=r"seals/0000.json is no record.*remedy"):
        read_entry(sealed, 0)
