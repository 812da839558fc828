"""A sound archive verifies; every damage to it is found and named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from moodarchive.errors import NotAnArchiveError
from moodarchive.storage.store import Store
from moodarchive.tables.parts import Origin, finished_parts, run_of_parts, sidecar_path
from moodarchive.tables.schemas import (
    CANDIDATES,
    CAPTIONS,
    DESCRIPTORS,
    IMAGES,
    ITEMS,
    OPTIONAL,
    REDISCOVERED,
    SCORES,
    SELECTION,
    SHARD_INDEX,
    TABLES,
    Table,
)
from shards.seal import seal
from tests.making import IMAGE_TABLES, pack_parts, rows_of, sealed_archive, write_rows
from validate.verify import verify

ROW_TABLES = (DESCRIPTORS, CANDIDATES, REDISCOVERED, *IMAGE_TABLES)
Change = Callable[[dict[str, Any]], object]
SEALED_FIELDS = ("rows", "settings", "inputs", "failures", "files", "bytes", "sets", "schema_version")
TAR = "shards/train/00000.tar"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(str(tmp_path_factory.mktemp("sound") / "root"))
    sealed_archive(store)
    return store


@pytest.fixture
def archive(sound: Store, tmp_path: Path) -> Store:
    """A copy that a test may damage."""
    shutil.copytree(sound.root, tmp_path / "root")
    return Store(str(tmp_path / "root"))


def _problems(store: Store, fast: bool = False) -> dict[str, str]:
    """Where → what; several of one place joined."""
    found: dict[str, str] = {}
    for problem in verify(store, fast=fast):
        assert str(problem) == f"{problem.where}: {problem.what}"
        found[problem.where] = "; ".join(filter(None, (found.get(problem.where), problem.what)))
    return found


def _flip(store: Store, path: str, at: int) -> None:
    data = bytearray(store.read_bytes(path))
    data[at] ^= 1
    store.write_bytes(path, bytes(data))


def _change_json(store: Store, path: str, change: Change) -> None:
    value = json.loads(store.read_bytes(path))
    change(value)
    store.write_bytes(path, json.dumps(value).encode())


@pytest.mark.parametrize("fast", [False, True])
def test_a_sound_archive_has_no_problem(sound: Store, fast: bool) -> None:
    assert _problems(sound, fast) == {}


def test_an_archive_that_is_not_sealed_is_refused(archive: Store) -> None:
    archive.remove("manifest.json")
    with pytest.raises(NotAnArchiveError, match=r"is not sealed.*remedy"):
        _problems(archive)


def test_what_runs_leave_beside_the_archive_is_no_problem(archive: Store) -> None:
    for path in ("logs/download/00000.log", "report/index.html", "crawl/quota.json", "study/a.csv", "model/m.bin"):
        archive.write_bytes(path, b"x")
    assert _problems(archive) == {}


@pytest.mark.parametrize("fast", [False, True])
def test_one_flipped_byte_of_any_file_is_found(archive: Store, fast: bool) -> None:
    manifest = json.loads(archive.read_bytes("manifest.json"))
    digested = [path for part in manifest["parts"].values() for path in part["files"]]
    for path in [*digested, *manifest["records"]]:
        whole = archive.read_bytes(path)
        _flip(archive, path, len(whole) // 2)
        assert "not those that were sealed" in _problems(archive, fast)[path]
        archive.write_bytes(path, whole)
    assert len(digested) > 20
    assert _problems(archive, fast) == {}


@pytest.mark.parametrize("fast", [False, True])
def test_every_missing_file_is_named_whatever_it_is(archive: Store, fast: bool) -> None:
    for path in [path for path in archive.files() if path != "manifest.json"]:
        whole = archive.read_bytes(path)
        archive.remove(path)
        assert "missing" in _problems(archive, fast)[path]
        archive.write_bytes(path, whole)


@pytest.mark.parametrize(
    "path",
    [
        "shards/train/00002.tar",
        "shards/private/00000.tar",
        "images/00000.parquet.bak",
        "items/00002.json",
        "notes.txt",
        "rounds/0001.json",
    ],
)
def test_a_file_too_many_is_named(archive: Store, path: str) -> None:
    archive.write_bytes(path, b"{}")
    assert _problems(archive) == {path: "not in the manifest"}


@pytest.mark.parametrize("path", ["images/00001.parquet", "shards/heldout/00001.parquet", TAR])
def test_a_truncated_file_is_found(archive: Store, path: str) -> None:
    archive.write_bytes(path, archive.read_bytes(path)[:-100])
    assert "not those that were sealed" in _problems(archive)[path]


@pytest.mark.parametrize("table", ROW_TABLES, ids=lambda table: table.name)
@pytest.mark.parametrize("with_sidecar", [False, True], ids=["file only", "with its sidecar"])
def test_a_row_less_in_any_table_is_found(archive: Store, table: Table, with_sidecar: bool) -> None:
    sidecar = archive.read_bytes(sidecar_path(table, 0))
    write_rows(archive, table, 0, rows_of(archive, table, 0)[:-1])
    if not with_sidecar:
        archive.write_bytes(sidecar_path(table, 0), sidecar)
    problems = _problems(archive)
    assert "not those that were sealed" in problems[f"{table.name}/00000.parquet"]
    if with_sidecar:
        assert "rows is not what was sealed" in problems[sidecar_path(table, 0)]


@pytest.mark.parametrize("table", IMAGE_TABLES, ids=lambda table: table.name)
def test_a_row_less_in_one_table_is_found_even_under_a_new_seal(archive: Store, table: Table) -> None:
    write_rows(archive, table, 0, rows_of(archive, table, 0)[:-1])
    assert seal(archive)
    problems = _problems(archive)
    assert any("rows, items has" in what for what in problems.values())
    other = "images" if table is ITEMS else table.name
    assert "keys are not those of items" in problems[f"{other}/00000.parquet"]
    assert f"was made from another {table.name}/00000" in problems["shards/00000"]


def test_another_order_of_rows_is_found_under_a_new_seal(archive: Store) -> None:
    write_rows(archive, SCORES, 1, rows_of(archive, SCORES, 1)[::-1])
    assert seal(archive)
    assert "its keys are not those of items" in _problems(archive)["scores/00001.parquet"]


def test_a_caption_short_of_a_sentence_is_found_under_a_new_seal(archive: Store) -> None:
    rows = rows_of(archive, CAPTIONS, 0)
    kept = {row["key"] for row in rows_of(archive, SELECTION, 0) if row["kept"]}
    short = next(row for row in rows if row["key"] in kept)
    write_rows(archive, CAPTIONS, 0, [{**row, "stimuli": row["stimuli"][:2]} if row is short else row for row in rows])
    assert seal(archive)
    assert "has not five sentences" in _problems(archive)[short["key"]]


def test_a_picture_that_changed_after_it_was_stored_is_found_in_its_shard(archive: Store) -> None:
    rows = rows_of(archive, IMAGES, 0)
    kept = {row["key"] for row in rows_of(archive, SELECTION, 0) if row["kept"] and row["split"] == "train"}
    changed = next(row for row in rows if row["key"] in kept)
    other = next(row["bytes"] for row in rows if row["key"] in kept - {changed["key"]})
    write_rows(archive, IMAGES, 0, [{**row, "bytes": other} if row is changed else row for row in rows])
    archive.remove(sidecar_path(SHARD_INDEX, 0))
    pack_parts(archive, (0,))
    assert seal(archive)
    assert f"{changed['key']} has not the digest of the index" in _problems(archive)["shards/train/00000.tar"]


def test_a_part_made_from_another_run_of_parts_is_found_under_a_new_seal(archive: Store) -> None:
    made = run_of_parts(CANDIDATES, finished_parts(archive, CANDIDATES), [0])
    for sha256, found in ((made["candidates/00000-00000"], False), ("0" * 16, True)):
        origin = Origin(settings="test", inputs={"candidates/00000-00000": sha256}, started=0.0)
        write_rows(archive, ITEMS, 0, rows_of(archive, ITEMS, 0), origin)
        assert seal(archive)
        told = "was made from another candidates/00000-00000"
        assert (_problems(archive).get("items/00000") == told) is found


def test_a_verdict_against_the_shards_is_found_under_a_new_seal(archive: Store) -> None:
    rows = rows_of(archive, SELECTION, 1)
    fallen, moved = [row for row in rows if row["kept"] and row["split"] == "train"][:2]
    raised = next(row for row in rows if not row["kept"] and row["reason"] == "low_score")
    fallen |= {"kept": False, "reason": "repeat"}
    moved |= {"split": "heldout"}
    raised |= {"kept": True, "reason": None}
    write_rows(archive, SELECTION, 1, rows)
    assert seal(archive)
    problems = _problems(archive)
    assert problems[fallen["key"]] == "in shards/train/00001.tar, but not kept"
    assert problems[moved["key"]] == "in train, but its split is heldout"
    assert problems[raised["key"]] == "kept, but in no shard of part 00001"


def test_a_changed_setting_is_found(archive: Store) -> None:
    _change_json(archive, "settings.json", lambda s: s["per_row"]["download"].update(longest_side=512))
    assert "the settings are not those that were sealed" in _problems(archive)["settings.json"]


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(
    "field", ["rows", "settings", "inputs", "failures", "files", "bytes", "sets", "schema_version"]
)
def test_a_changed_field_of_a_sidecar_is_found(archive: Store, field: str, fast: bool) -> None:
    _change_json(archive, "images/00000.json", lambda sidecar: sidecar.update({field: "changed"}))
    assert _problems(archive, fast) == {"images/00000.json": f"{field} is not what was sealed"}


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"null", b"\xff"])
def test_a_sidecar_of_garbage_is_found(archive: Store, garbage: bytes) -> None:
    archive.write_bytes("images/00000.json", garbage)
    assert list(_problems(archive)) == ["images/00000.json"]


@pytest.mark.parametrize("fast", [False, True])
def test_swapped_tars_are_found(archive: Store, fast: bool) -> None:
    one, other = archive.read_bytes(TAR), archive.read_bytes("shards/train/00001.tar")
    archive.write_bytes(TAR, other)
    archive.write_bytes("shards/train/00001.tar", one)
    assert set(_problems(archive, fast)) == {TAR, "shards/train/00001.tar"}


def _without(*names: str) -> Change:
    return lambda manifest: [manifest.pop(name) for name in names]


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"{}", b"null", b'"text"', b"\xff\xfe", b'{"parts": 3}'])
def test_a_manifest_of_garbage_is_named(archive: Store, garbage: bytes) -> None:
    archive.write_bytes("manifest.json", garbage)
    assert set(_problems(archive)) == {"manifest.json"}


DAMAGES: dict[str, Change] = {
    "no counts": _without("counts"),
    "no settings": _without("settings"),
    "no records": _without("records"),
    "no sets": _without("sets"),
    "a part without its files": lambda manifest: manifest["parts"]["selection/00000"].pop("files"),
    "a part without its table": lambda manifest: manifest["parts"]["selection/00000"].pop("table"),
    "a part of no number": lambda manifest: manifest["parts"].update({"items/x": manifest["parts"]["items/00000"]}),
    "other rows": lambda manifest: manifest["counts"]["items"].update(rows=65),
    "other bytes": lambda manifest: manifest["counts"]["images"].update(bytes=1),
    "other failures": lambda manifest: manifest["counts"]["selection"].update(failures={}),
    "other samples": lambda manifest: manifest["sets"]["train"].update(samples=1),
    "another licence": lambda manifest: manifest.update(licences={"cc0 1.0": 1}),
    "another source": lambda manifest: manifest.update(sources={"elsewhere": 1}),
    "a part forgotten": lambda manifest: manifest["parts"].pop("images/00001"),
    "another seal": lambda manifest: manifest.update(seal=7),
    "no seal": _without("seal"),
    "other changes": lambda manifest: manifest["changes"].update(shards_added=0),
    "another schema": lambda manifest: manifest.update(schema_version=99),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_manifest_that_says_something_else_is_found(archive: Store, damage: Change) -> None:
    _change_json(archive, "manifest.json", damage)
    problems = _problems(archive)
    places = ("manifest.json", "images/00001", "seals/")
    assert any(where.startswith(places) for where in problems), problems


def _rerecorded(store: Store, path: str) -> None:
    """The manifest's digest of the file is brought up to date: what remains is what the file says."""
    _change_json(store, "manifest.json", lambda manifest: manifest["records"].update({path: store.sha256(path)}))


HISTORIES: dict[str, Change] = {
    "another number": lambda entry: entry.update(seal=3),
    "other counts": lambda entry: entry["counts"]["selection"].update(rows=1),
    "another shard": lambda entry: entry["shards"].update({TAR: "0" * 64}),
    "other verdicts": lambda entry: entry.update(verdicts="0" * 64),
    "no shards": lambda entry: entry.pop("shards"),
}


@pytest.mark.parametrize("damage", HISTORIES.values(), ids=HISTORIES.keys())
@pytest.mark.parametrize("fast", [False, True])
def test_a_record_of_the_seal_that_says_something_else_is_found(archive: Store, damage: Change, fast: bool) -> None:
    _change_json(archive, "seals/0000.json", damage)
    _rerecorded(archive, "seals/0000.json")
    assert set(_problems(archive, fast)) == {"seals/0000.json"}


def test_verdicts_of_the_seal_that_are_not_those_of_kept_are_found(archive: Store) -> None:
    path = "seals/0000.parquet"
    verdicts = pq.read_table(archive.path(path))
    pq.write_table(verdicts.slice(1), archive.path(path))
    _rerecorded(archive, path)
    _change_json(archive, "seals/0000.json", lambda entry: entry.update(verdicts=archive.sha256(path)))
    _rerecorded(archive, "seals/0000.json")
    assert _problems(archive) == {path: "1 verdicts are not those of selection/"}


def test_every_table_is_tried_here() -> None:
    optional = {table.name for table in OPTIONAL}
    assert {table.name for table in ROW_TABLES} == {table.name for table in TABLES} - {"shards"} - optional
