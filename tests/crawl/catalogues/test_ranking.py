"""The best rows of each phrase: kept in portions, merged, fused and limited by cell as plain Python would."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawl.catalogues import ranking
from crawl.catalogues.ranking import Matches, TopRows, fuse_by_rank, limit_cells, merge_matches, no_matches

EXAMPLES = settings(deadline=None, derandomize=True, database=None, max_examples=100)
Pair = tuple[int, int, float]
SCORES = st.sampled_from([-1.0, -0.0, 0.0, 0.25, 0.5, 1.0, 3.5])
PAIRS = st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 30)), SCORES, max_size=80).map(
    lambda scores: [(phrase, row, score) for (phrase, row), score in scores.items()]
)


def matches(pairs: list[Pair]) -> Matches:
    phrase = np.array([pair[0] for pair in pairs], np.int32)
    row, score = np.array([pair[1] for pair in pairs], np.uint64), np.array([pair[2] for pair in pairs], np.float32)
    return Matches(phrase, row, score, np.bincount(phrase, minlength=5))


def pairs_of(found: Matches) -> list[Pair]:
    return list(zip(found.phrase.tolist(), found.row.tolist(), found.score.tolist(), strict=True))


def best_pairs(pairs: list[Pair], most: int) -> list[Pair]:
    ordered = sorted(pairs, key=lambda pair: (pair[0], -pair[2], pair[1]))
    taken: dict[int, int] = defaultdict(int)
    best = []
    for pair in ordered:
        taken[pair[0]] += 1
        if taken[pair[0]] <= most:
            best.append(pair)
    return best


@EXAMPLES
@given(PAIRS, st.integers(1, 6), st.lists(st.integers(0, 80)), st.randoms(use_true_random=False))
def test_the_best_rows_are_the_same_in_any_order_and_portions(pairs, most, cuts, random) -> None:
    random.shuffle(pairs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_FEWEST_TO_SORT", 8)
        top = TopRows(5, most)
        bounds = sorted({0, len(pairs), *(cut for cut in cuts if cut < len(pairs))})
        for first, last in pairwise(bounds):
            part = matches(pairs[first:last])
            top.add(part.phrase, part.row, part.score)
        assert pairs_of(top.result()) == best_pairs(pairs, most)


@EXAMPLES
@given(PAIRS, st.integers(1, 6), st.integers(1, 4))
def test_files_are_merged_as_if_they_were_one(pairs, most, files) -> None:
    parts = [merge_matches([matches(pairs[file::files])], most) for file in range(files)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_FEWEST_TO_SORT", 8)
        merged = merge_matches(iter(parts), most)
    assert pairs_of(merged) == best_pairs(pairs, most)
    assert merged.fitted.tolist() == matches(pairs).fitted.tolist()


@EXAMPLES
@given(PAIRS, st.integers(1, 6), st.integers(1, 4))
def test_cutoffs_of_the_files_before_leave_out_only_what_would_be_lost(pairs, most, files) -> None:
    parts = [matches(pairs[file::files]) for file in range(files)]
    merged, without = no_matches(5), [merge_matches([part], most) for part in parts]
    for part, whole in zip(parts, without, strict=True):
        top = TopRows(5, most, merged.find_cutoffs(most))
        top.add(part.phrase, part.row, part.score)
        top.fitted += part.fitted
        answer = top.result()
        assert set(pairs_of(answer)) <= set(pairs_of(whole))
        merged = merge_matches(iter([merged, answer]), most)
    assert pairs_of(merged) == best_pairs(pairs, most)
    assert merged.fitted.tolist() == matches(pairs).fitted.tolist()


def test_no_rows_match_nothing() -> None:
    assert len(merge_matches([no_matches(5)], 3)) == len(merge_matches([matches([])], 3)) == 0
    with pytest.raises(ValueError, match="nothing to merge"):
        merge_matches([], 3)


@EXAMPLES
@given(PAIRS, PAIRS, st.integers(1, 6))
def test_ranks_are_fused_by_their_reciprocals(by_words, by_meaning, most) -> None:
    words, meaning = merge_matches([matches(by_words)], 10), merge_matches([matches(by_meaning)], 10)
    sums: dict[tuple[int, int], float] = defaultdict(float)
    for one in (words, meaning):
        ranks: dict[int, int] = defaultdict(int)
        for phrase, row, _ in pairs_of(one):
            ranks[phrase] += 1
            sums[phrase, row] += 1 / (60 + ranks[phrase])
    expected = best_pairs([(phrase, row, float(np.float32(total))) for (phrase, row), total in sums.items()], most)
    assert pairs_of(fuse_by_rank(words, meaning, most)) == expected


@EXAMPLES
@given(PAIRS, st.integers(0, 8))
def test_a_cell_counts_different_rows_and_its_phrases_take_turns(pairs, quota) -> None:
    found, cells = merge_matches([matches(pairs)], 20), [1, 0, 1, 1, 0]
    turns = sorted(zip(found.rank.tolist(), pairs_of(found), strict=True))
    admitted: dict[int, list[int]] = defaultdict(list)
    for _, (phrase, row, _) in turns:
        rows = admitted[cells[phrase]]
        if row not in rows and len(rows) < quota:
            rows.append(row)
    expected = [pair for pair in pairs_of(found) if pair[1] in admitted[cells[pair[0]]]]
    assert pairs_of(limit_cells(found, cells, quota)) == expected


def test_a_row_number_holds_file_and_position() -> None:
    rows = ranking.number_rows(70_000, [0, 5, 2**40 - 1])
    files, positions = ranking.split_numbers(rows)
    assert files.tolist() == [70_000] * 3 and positions.tolist() == [0, 5, 2**40 - 1]
