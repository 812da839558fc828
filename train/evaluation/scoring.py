"""Figures from scores: hits among the best classes and recall among pairs, as mean and deviation over folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt

from moodarchive.models.clip import Embeddings

FOLDS = 5
RECALLS = (1, 5, 10)
TOPS = (1, 2, 3)
Fold = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A mean in per cent and its standard deviation over folds; ``chance`` is what guessing gives."""

    mean: float
    deviation: float
    chance: float


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A picture that a list names and no figure counts, and why: ``missing``, ``corrupt_image``, ``no_label``, …"""

    picture: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One model's figures by name on one set (``data``), and of how many pictures and folds they are."""

    model: str
    data: str
    pictures: int
    folds: int
    figures: Mapping[str, Figure]
    left_out: Sequence[LeftOut] = ()


def figure_of(values: Sequence[float], chance: float) -> Figure:
    """The sample deviation (n - 1); 0 for a single fold."""
    numbers = [float(value) for value in values]
    return Figure(mean=fmean(numbers), deviation=stdev(numbers) if len(numbers) > 1 else 0.0, chance=chance)


def top_figures(scores: Embeddings, labels: Sequence[Sequence[int]], folds: Sequence[Fold]) -> dict[str, Figure]:
    """``top-1`` to ``top-3``, a hit being any true class among the k best.

    ``scores`` is [pictures, classes], ``labels`` holds each picture's true classes. A wrong class that ties with the
    best true one counts as better, so that a model which sees no difference gets no credit.
    """
    true = np.zeros(scores.shape, dtype=bool)
    for row, classes in enumerate(labels):
        true[row, list(classes)] = True
    best = np.where(true, scores, -np.inf).max(axis=1, keepdims=True)
    better = (~true & (scores >= best)).sum(axis=1)
    numbers = true.sum(axis=1)
    figures = {}
    for top in TOPS:
        hits = better < top
        chances = {number: _chance(scores.shape[1], int(number), top) for number in np.unique(numbers)}
        values = [100 * float(hits[fold].mean()) for fold in folds]
        figures[f"top-{top}"] = figure_of(values, 100 * fmean(chances[number] for number in numbers))
    return figures


def _chance(classes: int, true: int, top: int) -> float:
    """That ``top`` classes drawn at random hold one of the ``true`` ones."""
    return 1 - comb(classes - true, top) / comb(classes, top)


def recall_figures(images: Embeddings, captions: Embeddings, folds: Sequence[Fold]) -> dict[str, Figure]:
    """Recall in per cent among each fold's pairs; a pair that ties with the right one counts against it."""
    figures = {}
    for name, one, other in (("image to text", images, captions), ("text to image", captions, images)):
        ranks = []
        for fold in folds:
            scores = one[fold] @ other[fold].T
            ranks.append((scores >= np.diag(scores)[:, None]).sum(axis=1))
        for recall in RECALLS:
            values = [100 * float((rank <= recall).mean()) for rank in ranks]
            chance = 100 * fmean(min(1.0, recall / len(fold)) for fold in folds)
            figures[f"{name}, R@{recall}"] = figure_of(values, chance)
    return figures
