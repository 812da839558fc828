"""Imports: every row that is no answer is counted and named, nothing else changes, and no worker's name is kept."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from moodarchive.storage.store import Store
from tests.validate.study.archives import study_archive
from validate.study.answers.importing import Imported, ImportRules, RawAnswer, import_answers
from validate.study.answers.table import read_table
from validate.study.design.items import read_items
from validate.study.design.study import CAPTIONS, StudyDesign, read_design
from validate.study.sampling.sample import SampleOptions, sample

OPTIONS = SampleOptions(n=12, heldout=0, workers=2, gold=0, seed=1)


@pytest.fixture
def study(store: Store) -> tuple[Store, StudyDesign, list[str]]:
    study_archive(store, images=48)
    sample(store, OPTIONS)
    return store, read_design(store, CAPTIONS), [item.item for item in read_items(store)]


def _answer(item: str, worker: str, **changes: object) -> RawAnswer:
    plain = RawAnswer(
        where=f"{worker} {item}",
        item=item,
        worker=worker,
        assignment=f"{worker}-{item}",
        left=True,
        choice="generated",
        accurate=(True,) * 5,
        began=100.0,
        submitted=160.0,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def _all(items: Iterable[str], *workers: str) -> list[RawAnswer]:
    return [_answer(item, worker) for item in items for worker in workers]


def _take(study: tuple[Store, StudyDesign, list[str]], rows: list[RawAnswer], closed: float = 1e9) -> Imported:
    store, design, items = study
    return import_answers(store, design, "test", rows, items, rules=ImportRules(closed=closed))


def test_every_faulty_row_is_counted_and_named(study: tuple[Store, StudyDesign, list[str]]) -> None:
    store, _, items = study
    rows = _all(items, "ann", "bob")
    rows[3] = replace(rows[3], choice="both")
    rows[5] = replace(rows[5], accurate=(True, True, None, True, True))
    rows[7] = replace(rows[7], accurate=(False, True, True, True, True))  # no reason
    rows[9] = replace(rows[9], item="0123456789abcdef")
    rows[11] = replace(rows[11], submitted=2e9)
    rows[13] = replace(rows[13], submitted=float("nan"))
    rows += [replace(rows[0], assignment="again", choice="neither", reason="other")]
    done = _take(study, rows)
    assert dict(done.counts) == {
        "accepted": len(items) * 2 - 6, "already imported": 0, "malformed": 4, "foreign": 1, "late": 1, "duplicate": 1,
        "missing": 6,
    }  # fmt: skip
    named = Counter(fault.kind for fault in done.faults)
    assert named == {"malformed": 4, "foreign": 1, "late": 1, "duplicate": 1, "missing": 6}
    assert {fault.where for fault in done.faults if fault.kind == "foreign"} == {rows[9].where}
    listed = store.read_bytes(done.path).decode().splitlines()
    assert len(listed) == 1 + len(done.faults)
    assert json.loads(store.read_bytes(done.path.replace(".csv", ".json"))) == dict(done.counts)
    kept = read_table(store, CAPTIONS)
    # the first answer of the worker stands
    assert set(kept["choice"].to_pylist()) == {"generated"}


def test_a_repeated_import_adds_nothing_and_a_longer_one_only_what_is_new(
    study: tuple[Store, StudyDesign, list[str]],
) -> None:
    store, _, items = study
    rows = _all(items, "ann", "bob")
    _take(study, rows[:10])
    before = {path: store.sha256(path) for path in store.files("study/captions/answers")}
    assert _take(study, rows[:10]).counts["already imported"] == 10
    assert {path: store.sha256(path) for path in store.files("study/captions/answers")} == before
    done = _take(study, rows)
    assert (done.counts["accepted"], done.counts["already imported"], done.counts["missing"]) == (len(rows) - 10, 10, 0)
    assert read_table(store, CAPTIONS).num_rows == len(rows)


def test_an_import_changes_nothing_outside_its_study(study: tuple[Store, StudyDesign, list[str]]) -> None:
    store, _, items = study
    before = {path: store.sha256(path) for path in store.files() if not path.startswith("study/captions/")}
    _take(study, _all(items, "ann"))
    after = {path: store.sha256(path) for path in store.files() if not path.startswith("study/captions/")}
    assert after == before


def test_no_workers_name_reaches_a_file(study: tuple[Store, StudyDesign, list[str]]) -> None:
    store, _, items = study
    rows = [
        replace(row, assignment=f"a{number}", where=f"row {number}")
        for number, row in enumerate(_all(items, "A1WORKERID"))
    ]
    _take(study, rows)
    assert len(set(read_table(store, CAPTIONS)["worker"].to_pylist())) == 1
    for path in store.files():
        assert b"A1WORKERID" not in store.read_bytes(path), path


def test_hashes_of_one_worker_differ_between_studies(tmp_path: Path) -> None:
    from validate.study.design.study import hash_worker

    one, other = Store(str(tmp_path / "one")), Store(str(tmp_path / "other"))
    assert hash_worker(one, CAPTIONS, "ann") == hash_worker(one, CAPTIONS, "ann")
    assert hash_worker(one, CAPTIONS, "ann") != hash_worker(other, CAPTIONS, "ann")
