"""Repeats marked before captions are those that the cut finds after them, and no later round changes a mark."""

from dataclasses import replace

import pytest

from filter.cut import CutSettings, cut, is_cut_current
from filter.early_repeats import are_marks_current, mark_before_captions
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts, part_path, sidecar_path
from moodarchive.tables.schemas import CAPTIONS, REPEATS, SELECTION
from tests.filter.reference import Case, crowd, write_cases
from tests.making import rows_of, write_rows

SETTINGS = CutSettings(heldout=0.1, validation=0.05, smallest_cell=5)
EARLY_FATES = ("ok", "unsafe", "failed_download", "failed_safety")


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Three rounds, many look-alikes; what safety lets through is described."""
    return [case if case.fate in EARLY_FATES else replace(case, fate="ok") for case in crowd(600, seed=3)]


def _mark(store: Store, parts: list[int]) -> None:
    """Round by round, three parts each."""
    for first in range(0, len(parts), 3):
        mark_before_captions(store, SETTINGS, parts[first : first + 3], parts[: first + 3])


def _leave_repeats_undescribed(store: Store, parts: list[int]) -> int:
    marked = 0
    for part in parts:
        marks = {row["key"] for row in rows_of(store, REPEATS, part) if row["reason"]}
        rows = rows_of(store, CAPTIONS, part)
        described = [{"key": r["key"], "status": "skipped"} if r["key"] in marks else r for r in rows]
        write_rows(store, CAPTIONS, part, described)
        marked += len(marks)
    return marked


def _bytes_of(store: Store, parts: list[int]) -> list[bytes]:
    return [store.read_bytes(part_path(SELECTION, part)) for part in parts]


def test_verdicts_are_the_same_bytes_though_no_repeat_was_described(store: Store, cases: list[Case]) -> None:
    parts = write_cases(store, cases)
    cut(store, SETTINGS, parts)
    expected = _bytes_of(store, parts)
    _mark(store, parts)
    assert not is_cut_current(store, SETTINGS, parts)
    marked = _leave_repeats_undescribed(store, parts)
    cut(store, SETTINGS, parts)
    assert _bytes_of(store, parts) == expected
    assert is_cut_current(store, SETTINGS, parts)
    verdicts = [row["reason"] for part in parts for row in rows_of(store, SELECTION, part)]
    assert sum(reason in ("repeat", "near_heldout") for reason in verdicts) == marked > 50
    assert "near_heldout" in verdicts and "failed_caption" not in verdicts


def test_each_repeat_names_a_survivor(store: Store, cases: list[Case]) -> None:
    parts = write_cases(store, cases)
    _mark(store, parts)
    rows = {row["key"]: row for part in parts for row in rows_of(store, REPEATS, part)}
    assert len(rows) == len(cases)
    for row in rows.values():
        assert (row["reason"] is None) == (row["of"] is None)
        assert row["of"] is None or rows[row["of"]]["reason"] is None


def test_later_rounds_and_half_finished_barriers_change_no_byte(store: Store, cases: list[Case]) -> None:
    parts = write_cases(store, cases)
    _mark(store, parts)
    marks = [store.read_bytes(part_path(REPEATS, part)) for part in parts]
    assert are_marks_current(store, SETTINGS, parts[:3], parts[:3])
    assert are_marks_current(store, SETTINGS, parts[3:6], parts[:6])
    store.remove(sidecar_path(REPEATS, parts[4]))
    store.remove(part_path(REPEATS, parts[5]))
    store.remove(sidecar_path(REPEATS, parts[5]))
    assert not are_marks_current(store, SETTINGS, parts[3:6], parts[:6])
    _mark(store, parts)
    assert [store.read_bytes(part_path(REPEATS, part)) for part in parts] == marks


def test_another_held_out_share_asks_for_new_marks(store: Store, cases: list[Case]) -> None:
    parts = write_cases(store, cases)
    _mark(store, parts)
    assert not are_marks_current(store, SETTINGS.model_copy(update={"heldout": 0.2}), parts[:3], parts[:3])
    assert are_marks_current(store, SETTINGS.model_copy(update={"percentile": 50.0}), parts[:3], parts[:3])


def test_a_survivor_that_nobody_could_describe_leaves_its_like_cut(store: Store) -> None:
    better = Case(name="better", phash=1, area=20_000, fate="failed_caption")
    parts = write_cases(store, [better, Case(name="worse", phash=1)])
    _mark(store, parts)
    _leave_repeats_undescribed(store, parts)
    cut(store, CutSettings(percentile=0), parts)
    reasons = {row["key"]: row["reason"] for part in parts for row in rows_of(store, SELECTION, part)}
    assert reasons[better.key] == "failed_caption"
    assert sorted(map(str, reasons.values())) == ["failed_caption", "repeat"]
    assert sorted(finished_parts(store, REPEATS)) == parts
