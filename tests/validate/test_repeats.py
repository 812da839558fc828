"""Verify proves that what was marked before captions was described by nobody and is cut for just that."""

import json
from pathlib import Path

import pytest

from crawl.rounds.rounds import read_rounds
from filter.cut import CutSettings
from moodarchive.storage.store import Store
from moodarchive.tables.parts import Origin, finished_parts
from moodarchive.tables.schemas import CAPTIONS, REPEATS, SELECTION
from pipelines.change.reseal import bring_marks_up_to_date, finish
from pipelines.change.verbs import take_down
from shards.seal import unseal
from tests.making import Row, rows_of, write_rows
from tests.whole_root import CUT, Pictured, built_root, timeless_files
from validate.verify import verify


@pytest.fixture(scope="module")
def marked_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A sealed archive whose repeats were found before captions; picture 8 shows what picture 7 shows."""
    store = Store(str(tmp_path_factory.mktemp("marked") / "root"))
    built_root(store, pictures=14)
    unseal(store)
    bring_marks_up_to_date(store, CUT, 0)
    for part in finished_parts(store, REPEATS):
        marks = {row["key"] for row in rows_of(store, REPEATS, part) if row["reason"]}
        _write_captions(
            store, part, lambda row, m=marks: {"key": row["key"], "status": "skipped"} if row["key"] in m else row
        )
    assert finish(store)
    return {path: store.read_bytes(path) for path in store.files()}


@pytest.fixture
def marked(marked_files: dict[str, bytes], store: Store) -> Store:
    for path, data in marked_files.items():
        store.write_bytes(path, data)
    return store


def _write_captions(store: Store, part: int, changed: object) -> None:
    done = finished_parts(store, CAPTIONS)[part]
    inputs = {**done.inputs, f"repeats/{part:05d}": finished_parts(store, REPEATS)[part].sha256}
    rows = [changed(row) for row in rows_of(store, CAPTIONS, part)]  # type: ignore[operator]
    write_rows(store, CAPTIONS, part, rows, Origin(settings="test", inputs=inputs, started=0.0))


def _of(store: Store, key: str) -> tuple[int, Row]:
    found = [
        (part, row)
        for part in finished_parts(store, SELECTION)
        for row in rows_of(store, SELECTION, part)
        if row["key"] == key
    ]
    return found[0]


def _repeat(store: Store) -> str:
    keys = [
        row["key"] for part in finished_parts(store, REPEATS) for row in rows_of(store, REPEATS, part) if row["reason"]
    ]
    assert len(keys) == 1 and keys[0] in {Pictured(7).key, Pictured(8).key}
    return str(keys[0])


def test_an_archive_with_early_repeats_is_whole_and_counts_them(marked: Store) -> None:
    assert list(verify(marked)) == []
    manifest = json.loads(marked.read_bytes("manifest.json"))
    assert manifest["counts"]["repeats"]["failures"] in ({"repeat": 1}, {"near_heldout": 1})
    assert _of(marked, _repeat(marked))[1]["reason"] in manifest["counts"]["repeats"]["failures"]


def test_a_repeat_that_was_described_is_named(marked: Store) -> None:
    key = _repeat(marked)
    part, _ = _of(marked, key)
    described = {row["key"]: row for row in rows_of(marked, CAPTIONS, part)}
    sound = next(row for row in described.values() if row["status"] == "ok")
    _write_captions(marked, part, lambda row: {**sound, "key": key} if row["key"] == key else row)
    unseal(marked)
    assert finish(marked)
    assert any(problem.where == key and "but described" in problem.what for problem in verify(marked))


def test_a_picture_that_was_neither_marked_nor_described_is_named(marked: Store) -> None:
    part = next(iter(finished_parts(marked, CAPTIONS)))
    key = next(row["key"] for row in rows_of(marked, CAPTIONS, part) if row["status"] == "ok")
    _write_captions(marked, part, lambda row: {"key": key, "status": "skipped"} if row["key"] == key else row)
    unseal(marked)
    assert finish(marked)
    assert [p.where for p in verify(marked) if "neither marked" in p.what] == [key]


def test_a_takedown_of_a_survivor_keeps_its_repeat_out_and_the_marks_as_they_are(marked: Store, tmp_path: Path) -> None:
    key = _repeat(marked)
    survivor = next(p.key for p in (Pictured(7), Pictured(8)) if p.key != key)
    marks = [rows_of(marked, REPEATS, part) for part in finished_parts(marked, REPEATS)]
    names = tmp_path / "list.txt"
    names.write_text(f"{survivor}\n")
    take_down(marked, str(names), lambda _: None)
    assert list(verify(marked)) == []
    assert [rows_of(marked, REPEATS, part) for part in finished_parts(marked, REPEATS)] == marks
    assert not _of(marked, key)[1]["kept"]
    files = timeless_files(marked)
    bring_marks_up_to_date(marked, CutSettings(heldout=CUT.heldout), max(r.number for r in read_rounds(marked)))
    finish(marked)
    assert timeless_files(marked) == files
