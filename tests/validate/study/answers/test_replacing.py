"""Answers that change after they were imported: edited, refused by a reviewer, damaged on the way, renamed."""

from dataclasses import replace

import pytest

from moodarchive.storage.store import Store
from tests.validate.study.archives import study_archive
from validate.study.answers.importing import Imported, ImportRules, RawAnswer, import_answers
from validate.study.answers.table import read_references, read_table
from validate.study.design.items import read_items
from validate.study.design.study import CAPTIONS, read_design
from validate.study.sampling.sample import SampleOptions, sample
from validate.study.statistics.study import load_study
from validate.study.statistics.verdict import judge

EDITS, REPLACE = ImportRules(edits=True), ImportRules(replace=True)


@pytest.fixture
def drawn(store: Store) -> Store:
    study_archive(store, images=48)
    sample(store, SampleOptions(n=12, heldout=0, workers=2, gold=0, seed=1))
    return store


def _items(store: Store) -> list[str]:
    return [item.item for item in read_items(store)]


def _answer(item: str, worker: str = "ann", **changes: object) -> RawAnswer:
    plain = RawAnswer(
        where=f"{worker} {item}", item=item, worker=worker, assignment=f"{worker}-{item}", left=True,
        choice="generated", accurate=(True,) * 5, began=100.0, submitted=160.0,
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def _take(store: Store, rows: list[RawAnswer], rules: ImportRules = ImportRules()) -> Imported:  # noqa: B008 - frozen
    return import_answers(store, read_design(store, CAPTIONS), "test", rows, _items(store), rules=rules)


def _counts(done: Imported) -> dict[str, int]:
    return {kind: count for kind, count in done.counts.items() if count and kind != "missing"}


def _choices(store: Store) -> list[str]:
    return list(read_table(store, CAPTIONS)["choice"].to_pylist())


def test_an_edited_answer_takes_the_older_ones_place_says_so_and_an_older_export_does_not_bring_it_back(
    drawn: Store,
) -> None:
    item = _items(drawn)[0]
    first = _answer(item, edited=200.0)
    edited = replace(first, choice="neither", reason="other", edited=300.0)
    _take(drawn, [first], EDITS)
    done = _take(drawn, [edited], EDITS)
    assert _counts(done) == {"replaced": 1} and "takes the place" in done.faults[0].detail
    assert _choices(drawn) == ["neither"]
    for rows in ([edited], [first], [first, edited]):
        assert set(_counts(_take(drawn, rows, EDITS))) == {"already imported"}
        assert _choices(drawn) == ["neither"]


def test_a_changed_row_of_a_channel_without_edits_is_named_and_comes_in_when_asked_for(drawn: Store) -> None:
    item = _items(drawn)[0]
    damaged, sound = _answer(item, comment="caf\ufffd"), _answer(item, comment="café")
    _take(drawn, [damaged])
    done = _take(drawn, [sound])
    assert _counts(done) == {"changed": 1} and "--replace" in done.faults[0].detail
    assert read_table(drawn, CAPTIONS)["comment"].to_pylist() == ["caf\ufffd"]
    assert _counts(_take(drawn, [sound], REPLACE)) == {"replaced": 1}
    assert read_table(drawn, CAPTIONS)["comment"].to_pylist() == ["café"]
    before = {path: drawn.sha256(path) for path in drawn.files("study/captions/answers")}
    assert _counts(_take(drawn, [sound], REPLACE)) == {"already imported": 1}
    assert {path: drawn.sha256(path) for path in drawn.files("study/captions/answers")} == before


@pytest.mark.parametrize("damage", [{"assignment": "3.1E+29"}, {"worker": "1.00E+05"}])
def test_names_that_an_import_damaged_are_mended_by_importing_again(drawn: Store, damage: dict[str, str]) -> None:
    items = _items(drawn)
    sound = [_answer(item) for item in items]
    _take(drawn, [replace(row, **damage) for row in sound[:4]])  # type: ignore[arg-type]
    _take(drawn, sound, REPLACE)
    mended = read_table(drawn, CAPTIONS)
    assert mended.num_rows == len(items) and len(set(mended["worker"].to_pylist())) == 1
    assert set(mended["assignment"].to_pylist()) == {row.assignment for row in sound}


def test_replacing_leaves_the_answers_of_others_and_of_other_files_alone(drawn: Store) -> None:
    items = _items(drawn)
    _take(drawn, [_answer(item, worker) for item in items for worker in ("ann", "bob")])
    done = _take(drawn, [_answer(items[0], choice="neither", reason="other")], REPLACE)
    assert _counts(done) == {"replaced": 1} and done.counts["missing"] == 0
    table = read_table(drawn, CAPTIONS)
    assert table.num_rows == 2 * len(items) and table["choice"].to_pylist().count("neither") == 1


def test_a_second_answer_of_a_worker_in_one_file_stays_a_duplicate_also_when_replacing(drawn: Store) -> None:
    item = _items(drawn)[0]
    rows = [_answer(item), _answer(item, assignment="other", choice="neither", reason="other")]
    for rules in (ImportRules(), REPLACE, REPLACE):
        assert _take(drawn, rows, rules).counts["duplicate"] == 1
        assert _choices(drawn) == ["generated"]


def test_what_the_reviewer_refused_does_not_count_and_is_withdrawn_if_it_did(drawn: Store) -> None:
    items = _items(drawn)
    refused = _answer(items[0], "bob", rejected=True)
    done = _take(drawn, [_answer(items[0]), refused])
    assert _counts(done) == {"accepted": 1, "rejected": 1}
    counted = _take(drawn, [refused], ImportRules(count_rejected=True))
    assert _counts(counted) == {"accepted": 1} and len(_choices(drawn)) == 2
    withdrawn = _take(drawn, [refused])
    assert _counts(withdrawn) == {"rejected": 1} and "withdrawn" in withdrawn.faults[0].detail
    assert len(_choices(drawn)) == 1
    # the refusal is taken back
    assert _counts(_take(drawn, [replace(refused, rejected=False)])) == {"accepted": 1}
    assert len(_choices(drawn)) == 2


def test_an_annotator_whom_another_export_names_otherwise_is_not_counted_twice(drawn: Store) -> None:
    item = _items(drawn)[0]
    named = [_answer(item, worker, assignment="annotation-11") for worker in ("label-studio-1", "someone@example.org")]
    _take(drawn, named[:1], EDITS)
    assert _counts(_take(drawn, named[1:], EDITS)) == {"already imported": 1}
    assert _counts(_take(drawn, [replace(named[1], choice="neither", reason="other")], EDITS)) == {"replaced": 1}
    assert _choices(drawn) == ["neither"]


def test_a_reference_answer_is_in_no_rate_and_tells_a_workers_quality(drawn: Store) -> None:
    items = _items(drawn)
    wrong = {"choice": "original", "accurate": (False, True, True, True, True), "reason": "other"}
    rows = [_answer(item) for item in items] + [_answer(item, "bob", **wrong) for item in items]
    rows += [_answer(item, "lead", reference=True) for item in items[:3]]
    done = _take(drawn, rows)
    assert _counts(done) == {"accepted": 2 * len(items), "ground truth": 3} and done.counts["missing"] == 0
    assert read_table(drawn, CAPTIONS).num_rows == 2 * len(items)
    assert read_references(drawn, CAPTIONS).num_rows == 3
    study = load_study(drawn)
    assert len(study.answers.workers) == 2
    passed = sorted((worker.gold_asked, worker.gold_passed) for worker in judge(study).workers)
    assert passed == [(3, 0), (3, 3)]


def test_an_answer_that_becomes_the_reference_leaves_the_rate(drawn: Store) -> None:
    item = _items(drawn)[0]
    _take(drawn, [_answer(item)], EDITS)
    _take(drawn, [_answer(item, reference=True)], EDITS)
    assert _choices(drawn) == [] and read_references(drawn, CAPTIONS).num_rows == 1
    _take(drawn, [_answer(item)], EDITS)
    assert _choices(drawn) == ["generated"] and read_references(drawn, CAPTIONS).num_rows == 0
