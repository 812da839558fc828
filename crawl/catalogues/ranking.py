"""Which rows of a list answer which phrase: the best rows of each phrase, merged, fused, limited by cell."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FILE_BITS = 40
"""A row's number holds its position within its file in so many bits, and the file's index above them."""
_FEWEST_TO_SORT = 2**18


class Cutoffs(NamedTuple):
    """Of each phrase, the last pair among the best of some rows: no later one can be among the best of all rows."""

    score: NDArray[np.float32]
    row: NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Matches:
    """Pairs of a phrase and a row, sorted by phrase, then the score downwards, then the row: arrays of one length."""

    phrase: NDArray[np.int32]
    row: NDArray[np.uint64]
    score: NDArray[np.float32]
    fitted: NDArray[np.int64]
    """For each phrase, matched or not: how many rows met the floor, those that are not among the best included."""

    def __len__(self) -> int:
        return len(self.phrase)

    @property
    def rank(self) -> NDArray[np.int64]:
        """Each pair's rank among those of its phrase, from 0."""
        return _count_within(self.phrase)

    def find_cutoffs(self, most: int) -> Cutoffs:
        """The ``most``-th pair of each phrase; of a phrase with fewer, what every pair precedes."""
        score = np.full(len(self.fitted), -np.inf, np.float32)
        row = np.full(len(self.fitted), np.iinfo(np.uint64).max)
        last = self.rank == most - 1
        score[self.phrase[last]], row[self.phrase[last]] = self.score[last], self.row[last]
        return Cutoffs(score, row)

    def choose(self, kept: NDArray[np.bool_]) -> "Matches":
        """The pairs where ``kept`` is true, in their order."""
        return Matches(self.phrase[kept], self.row[kept], self.score[kept], self.fitted)


def number_rows(file: int, rows: ArrayLike) -> NDArray[np.uint64]:
    """Numbers that are unique among files, from positions within one file."""
    return np.asarray(rows).astype(np.uint64) | np.uint64(file << FILE_BITS)


def split_numbers(rows: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The index of each row's file, and the row's position within it."""
    return (rows >> np.uint64(FILE_BITS)).astype(np.int64), (rows & np.uint64(2**FILE_BITS - 1)).astype(np.int64)


class TopRows:
    """The ``most`` best rows of each phrase, exactly, out of pairs that come in any order and any portions.

    Equal scores are ranked by the row's number. At most about twice phrases * most pairs are held, 16 bytes each.
    ``cutoffs`` are those of other rows: pairs that come after them are left out.
    """

    def __init__(self, phrases: int, most: int, cutoffs: Cutoffs | None = None) -> None:
        if most < 1:
            raise ValueError(f"most is {most}; it must be at least 1")
        self._phrases, self._most = phrases, most
        self.fitted = np.zeros(phrases, np.int64)
        """As Matches has it; whoever adds pairs counts."""
        self._best = no_matches(phrases)
        self._pending: list[Matches] = []
        self._pending_pairs = 0
        self.cutoffs = cutoffs or self._best.find_cutoffs(most)
        """Pairs that come after them are not among the best. They rise while pairs are added."""

    def add(self, phrase: NDArray[np.integer], row: NDArray[np.uint64], score: NDArray[np.float32]) -> None:
        """Counts pairs in; no pair may come twice. No score may be NaN."""
        cutoff = self.cutoffs.score[phrase]
        beats = (score > cutoff) | ((score == cutoff) & (row < self.cutoffs.row[phrase]))
        pairs = Matches(
            phrase[beats].astype(np.int32), row[beats].astype(np.uint64), score[beats].astype(np.float32), self.fitted
        )
        self._pending.append(pairs)
        self._pending_pairs += len(pairs)
        if self._pending_pairs >= max(_FEWEST_TO_SORT, self._phrases * self._most):
            self._sort_pending()

    def result(self) -> Matches:
        """The best rows of each phrase so far."""
        self._sort_pending()
        return replace(self._best, fitted=self.fitted.copy())

    def _sort_pending(self) -> None:
        self._best = _best_pairs([self._best, *self._pending], self._most)
        self._pending, self._pending_pairs = [], 0
        own, given = self._best.find_cutoffs(self._most), self.cutoffs
        full = np.isfinite(own.score)  # then all of its pairs precede what was given
        self.cutoffs = Cutoffs(np.where(full, own.score, given.score), np.where(full, own.row, given.row))


def merge_matches(parts: Iterable[Matches], most: int) -> Matches:
    """The ``most`` best rows of each phrase out of matches of the same phrases with different rows, in any order.

    Of parts that come one by one (a generator's) no more than a few are held. ValueError: there is no part;
    ``no_matches`` is what no rows give.
    """
    best: Matches | None = None
    waiting: list[Matches] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) >= max(_FEWEST_TO_SORT, len(best or ())):
            best, waiting = _merge([best, *waiting] if best else waiting, most), []
    if best is None and not waiting:
        raise ValueError("there is nothing to merge")
    return _merge([best, *waiting] if best else waiting, most)


def fuse_by_rank(words: Matches, meaning: Matches, most: int, k: int = 60) -> Matches:
    """The ``most`` best rows of each phrase by reciprocal rank fusion: the sum of 1 / (k + rank), ranks from 1.

    Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual rank learning methods",
    SIGIR 2009. A row that one of the two lacks has that one's term only. ``fitted`` is the larger of the two: how many
    rows met both floors is not known.
    """
    phrase = np.concatenate([words.phrase, meaning.phrase])
    row = np.concatenate([words.row, meaning.row])
    term = 1.0 / (k + 1 + np.concatenate([words.rank, meaning.rank]))
    order = np.lexsort((row, phrase))
    phrase, row, term = phrase[order], row[order], term[order]
    first = np.flatnonzero(_begins_group(phrase, row))
    sums = np.add.reduceat(term, first) if len(first) else term
    fitted = np.maximum(words.fitted, meaning.fitted)
    return _best_pairs([Matches(phrase[first], row[first], sums.astype(np.float32), fitted)], most)


def limit_cells(matches: Matches, cell_of_phrase: ArrayLike, images_per_cell: int) -> Matches:
    """The pairs of the first ``images_per_cell`` different rows of each cell.

    A cell takes turns: the best row of each of its phrases, then the second of each. A row that several of the cell's
    phrases match counts once and keeps all of its pairs. ``cell_of_phrase`` has each phrase's cell as a number.
    """
    cell, turn = np.asarray(cell_of_phrase, np.int64)[matches.phrase], matches.rank
    order = np.lexsort((matches.phrase, turn, cell))
    position = np.empty(len(matches), np.int64)
    position[order] = np.arange(len(matches))
    by_row = np.lexsort((position, matches.row, cell))
    begins = _begins_group(cell[by_row], matches.row[by_row])
    first = by_row[begins]  # each different row of a cell, by the pair with which it comes in
    entry = first[np.argsort(position[first])]
    admitted = np.zeros(len(matches), bool)
    admitted[entry] = _count_within(cell[entry]) < images_per_cell
    kept = np.empty(len(matches), bool)
    kept[by_row] = admitted[first][np.cumsum(begins) - 1]
    return matches.choose(kept)


def no_matches(phrases: int) -> Matches:
    """What no rows give."""
    return Matches(np.empty(0, np.int32), np.empty(0, np.uint64), np.empty(0, np.float32), np.zeros(phrases, np.int64))


def _merge(parts: Sequence[Matches], most: int) -> Matches:
    return replace(_best_pairs(parts, most), fitted=np.sum([part.fitted for part in parts], axis=0))


def _best_pairs(parts: Sequence[Matches], most: int) -> Matches:
    """The best pairs of all parts, sorted; with the first part's ``fitted``."""
    phrase = np.concatenate([part.phrase for part in parts])
    row = np.concatenate([part.row for part in parts])
    score = np.concatenate([part.score for part in parts])
    key = _sorting_key(phrase, score)
    order = np.argsort(key)
    begins = np.append(_begins_group(key[order]), True)
    tied = ~(begins[1:] & begins[:-1])  # few: to sort all pairs by row as well would take several times as long
    among = order[tied]
    order[tied] = among[np.lexsort((row[among], key[among]))]
    pairs = Matches(phrase[order], row[order], score[order], parts[0].fitted)
    return pairs.choose(pairs.rank < most)


def _sorting_key(phrase: NDArray[np.int32], score: NDArray[np.float32]) -> NDArray[np.uint64]:
    """A number that rises with the phrase, then falls with the score."""
    bits = (score + np.float32(0)).view(np.uint32)  # the sum makes -0 the same as 0
    rising = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(2**31))
    return np.asarray((phrase.astype(np.uint64) << np.uint64(32)) | ~rising)


def _begins_group(*keys: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Where another group than before begins, of sorted keys."""
    begins = np.ones(len(keys[0]), bool)
    if len(begins):
        begins[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return begins


def _count_within(groups: NDArray[np.integer]) -> NDArray[np.int64]:
    """The position of each element within its run of equal ones, from 0."""
    first = np.flatnonzero(_begins_group(groups))
    return np.arange(len(groups)) - np.repeat(first, np.diff(first, append=len(groups)))
