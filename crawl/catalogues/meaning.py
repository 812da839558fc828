"""Rows ranked by the cosine of their embeddings with the phrases': the exact product, in blocks, without an index.

A float32 product finds the pairs that may be among the best; only these are computed exactly. Vectors are multiples
of 2^-24 (rows) and 2^-27 (phrases) of length 1, so that every partial sum fits the 53 bits of a float64: the scores
are the same bits with any library, order of summation, number of threads, and division into blocks.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from crawl.catalogues.ranking import Cutoffs, Matches, TopRows

_ROW_STEPS, _PHRASE_STEPS = 2.0**24, 2.0**27
_ROWS_AT_ONCE, _FEWEST_ROWS = 16_384, 1024
_PAIRS_AT_ONCE = 2**21
_DENSE = 0.25
"""From this share of pairs on, one product of all is cheaper than one for each phrase."""


def score_meaning(
    phrase_vectors: NDArray[np.float32],
    blocks: Iterable[tuple[NDArray[np.integer], NDArray[np.floating]]],
    most: int,
    floor: float = -2.0,
    *,
    cutoffs: Cutoffs | None = None,
) -> Matches:
    """The ``most`` rows of each phrase with the highest cosine, out of blocks of row numbers and [rows, width] vectors.

    ``floor`` is the lowest cosine that counts; all do at -2. Lengths of vectors do not matter; a row of zeros or with
    a number that is not finite matches nothing. ``cutoffs`` of other rows (Matches.find_cutoffs) spare most of the
    work of a short file. ValueError: a phrase has such a vector, or the widths differ.
    """
    phrases, directed = _scale(np.array(phrase_vectors, np.float64), _PHRASE_STEPS)
    if not np.all(directed):
        raise ValueError("a phrase's vector is zero or not finite")
    width = phrases.shape[1]
    rough = (phrases / _PHRASE_STEPS).astype(np.float32)
    error = 1.01 * (width + 4) * 2.0**-24  # of a float32 sum of so many products, in any order (Higham 2002, 3.1)
    best = TopRows(len(phrases), most, cutoffs)
    at_once = _FEWEST_ROWS  # more once there are cutoffs, which most rows do not reach
    for rows, vectors in blocks:
        if vectors.shape[1] != width:
            raise ValueError(f"rows have vectors of {vectors.shape[1]} numbers, phrases of {width}")
        first = 0
        while first < len(rows):
            exact, directed = _scale(vectors[first : first + at_once].astype(np.float64), _ROW_STEPS)
            usable = np.flatnonzero(directed)
            exact = exact[usable] if len(usable) < len(exact) else exact
            numbers = np.asarray(rows)[first + usable].astype(np.uint64)
            scores = rough @ (exact * (1 / _ROW_STEPS)).astype(np.float32).T
            best.fitted += _count_fitting(phrases, exact, scores, floor, error)
            lowest = np.maximum(best.cutoffs.score, floor) - error
            phrase, row = np.nonzero(scores >= lowest[:, None].astype(np.float32))
            score = _score_pairs(phrases, exact, phrase, row)
            high = score >= floor
            best.add(phrase[high], numbers[row[high]], score[high])
            first += at_once
            at_once = min(2 * at_once, _ROWS_AT_ONCE) if len(phrase) < _PAIRS_AT_ONCE else _FEWEST_ROWS
    return best.result()


def _scale(vectors: NDArray[np.float64], steps: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Vectors of length ``steps`` in whole numbers, and which have a direction. Overwrites what it is given."""
    with np.errstate(invalid="ignore", over="ignore"):
        length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors)).astype(np.float32)
    directed = np.isfinite(length) & (length > 1e-30)
    vectors[~directed] = 0
    vectors *= (steps / np.where(directed, length, 1).astype(np.float64))[:, None]
    return np.rint(vectors, out=vectors), directed


def _count_fitting(
    phrases: NDArray[np.float64],
    rows: NDArray[np.float64],
    scores: NDArray[np.float32],
    floor: float,
    error: float,
) -> NDArray[np.int64]:
    """For each phrase, the rows whose cosine is at least ``floor``; ``scores`` are wrong by at most ``error``."""
    if floor < -1 - error:
        return np.full(len(phrases), len(rows))
    surely = scores >= np.float32(floor + error)
    phrase, row = np.nonzero((scores >= np.float32(floor - error)) & ~surely)
    fitting = phrase[_score_pairs(phrases, rows, phrase, row) >= floor]
    return np.asarray(np.count_nonzero(surely, axis=1) + np.bincount(fitting, minlength=len(phrases)))


def _score_pairs(
    phrases: NDArray[np.float64], rows: NDArray[np.float64], phrase: NDArray[np.int64], row: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The cosine of each pair, pairs sorted by phrase; the nearest float32 to the exact sum."""
    if len(phrase) > _DENSE * len(phrases) * len(rows):
        scores = (phrases @ rows.T)[phrase, row]
    else:
        scores = np.empty(len(phrase))
        bounds = np.searchsorted(phrase, np.arange(len(phrases) + 1))
        for index in np.flatnonzero(np.diff(bounds)):
            pairs = slice(bounds[index], bounds[index + 1])
            scores[pairs] = rows[row[pairs]] @ phrases[index]
    return (scores / (_ROW_STEPS * _PHRASE_STEPS)).astype(np.float32)
