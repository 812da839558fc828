"""Cosines of all phrases with all rows: as NumPy's full product has them, the same bits however rows are divided."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawl.catalogues import meaning
from crawl.catalogues.meaning import score_meaning
from crawl.catalogues.ranking import Matches, merge_matches

EXAMPLES = settings(deadline=None, derandomize=True, database=None, max_examples=30)


def vectors(seed: int, rows: int, width: int, dtype: type = np.float16) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(rows, width))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(dtype)


def bits(found: Matches) -> tuple[bytes, ...]:
    return found.phrase.tobytes(), found.row.tobytes(), found.score.tobytes(), found.fitted.tobytes()


def match(phrases: np.ndarray, rows: np.ndarray, most: int, floor: float = -2.0) -> Matches:
    return score_meaning(phrases, [(np.arange(len(rows)), rows)], most, floor)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("length", [1.0, 12.0])
def test_the_rows_kept_are_those_of_the_full_product(dtype: type, length: float) -> None:
    phrases, rows = vectors(1, 20, 96, np.float32), (vectors(2, 5000, 96, np.float32) * length).astype(dtype)
    found = match(phrases, rows, 50)
    exact = rows.astype(np.float64)
    cosines = phrases.astype(np.float64) @ (exact / np.linalg.norm(exact, axis=1, keepdims=True)).T
    expected = np.argsort(-cosines, axis=1, kind="stable")[:, :50]
    assert found.row.reshape(20, 50).tolist() == expected.tolist()
    assert found.score == pytest.approx(np.take_along_axis(cosines, expected, 1).ravel(), abs=1e-6)


@EXAMPLES
@given(st.integers(0, 99), st.lists(st.integers(0, 300)), st.integers(1, 9), st.integers(1, 64), st.integers(0, 5))
def test_the_answer_is_the_same_bits_however_rows_are_divided(seed, cuts, most, at_once, repeated) -> None:
    phrases, rows = vectors(seed, 7, 24, np.float32), np.tile(vectors(seed + 1, 50, 24), (1 + repeated, 1))
    whole = match(phrases, rows, most, 0.1)
    bounds = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    blocks = [(np.arange(a, b), rows[a:b]) for a, b in pairwise(bounds)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meaning, "_FEWEST_ROWS", at_once)
        assert bits(score_meaning(phrases, blocks, most, 0.1)) == bits(whole)
        files = [score_meaning(phrases, [block], most, 0.1) for block in blocks[::-1]]
        assert bits(merge_matches(files, most)) == bits(whole)


def test_any_order_of_summation_gives_the_same_bits() -> None:
    phrases, rows = vectors(3, 9, 768, np.float32), vectors(4, 4000, 768)
    order = np.random.default_rng(5).permutation(768)
    reordered = match(np.ascontiguousarray(phrases[:, order]), np.ascontiguousarray(rows[:, order]), 200)
    assert bits(reordered) == bits(match(phrases, rows, 200))
    # what the module is for: a float32 product alone changes with the order
    assert not np.array_equal(phrases @ rows.astype("f4").T, phrases[:, order] @ rows[:, order].astype("f4").T)


@pytest.mark.parametrize("ascending", [True, False])
def test_rows_sorted_by_score_are_no_trap(ascending: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meaning, "_FEWEST_ROWS", 64)
    phrases, rows = vectors(6, 1, 32, np.float32), vectors(7, 3000, 32)
    cosines = (rows.astype(np.float64) @ phrases[0].astype(np.float64)) / np.linalg.norm(
        rows.astype(np.float64), axis=1
    )
    rows = rows[np.argsort(cosines if ascending else -cosines)]
    expected = np.arange(3000)[::-1][:40] if ascending else np.arange(40)
    assert match(phrases, rows, 40).row.tolist() == expected.tolist()


def test_rows_without_a_direction_match_nothing() -> None:
    phrases, rows = vectors(8, 3, 16, np.float32), vectors(9, 6, 16, np.float32)
    rows[1], rows[3, 2], rows[4, 5] = 0, np.nan, np.inf
    assert set(match(phrases, rows, 10).row.tolist()) == {0, 2, 5}


def test_the_floor_is_a_cosine() -> None:
    phrases, rows = np.eye(1, 4, dtype=np.float32), np.array([[1, 0, 0, 0], [3, 4, 0, 0], [0, 1, 0, 0]], np.float16)
    found = match(phrases, rows, 10, floor=0.5)
    assert found.row.tolist() == [0, 1] and found.score == pytest.approx([1.0, 0.6], abs=1e-7)


def test_rows_that_fit_are_counted_though_only_the_best_are_kept() -> None:
    phrases, rows = vectors(10, 5, 48, np.float32), vectors(11, 2500, 48)
    exact = rows.astype(np.float64)
    cosines = (phrases.astype(np.float64) @ (exact / np.linalg.norm(exact, axis=1, keepdims=True)).T).astype("f4")
    floor = float(cosines[2, 17])  # a cosine on the very floor fits
    found = match(phrases, rows, 3, floor)
    assert found.fitted.tolist() == (cosines >= floor).sum(axis=1).tolist()
    assert match(phrases, rows, 3).fitted.tolist() == [2500] * 5


def test_wrong_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="rows have vectors of 5 numbers, phrases of 4"):
        match(np.eye(2, 4, dtype=np.float32), np.ones((3, 5), np.float16), 1)
    with pytest.raises(ValueError, match="zero or not finite"):
        match(np.zeros((1, 4), np.float32), np.ones((3, 4), np.float16), 1)


def test_no_rows_match_nothing() -> None:
    assert len(match(np.eye(2, 4, dtype=np.float32), np.empty((0, 4), np.float16), 1)) == 0
