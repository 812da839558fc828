"""Acceptance rates of the archive from a stratified sample: weighted, with 95% intervals that know the design.

The variance has two parts: that of the design (stratified, without replacement, linearised for the ratio), and that of
the labels, which are drawn many times. The interval is Wilson's with the effective number of items, and with Student's
quantile: strata of two items know their own spread poorly (degrees of freedom after Satterthwaite).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from validate.study.statistics.judgements import Bools, Floats, Ints

_UPPER = 0.975
_DRAWS_FOR_DESIGN = 20
"""The design's variance hardly differs between draws: it is averaged over so many."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """How the answered items stand for the archive; ``stratum`` is 0, 1, … an item, ``population`` images a stratum."""

    stratum: Ints
    population: Ints

    @property
    def answered(self) -> Ints:
        """Answered items a stratum."""
        return np.bincount(self.stratum, minlength=len(self.population))

    @property
    def weight(self) -> Floats:
        """How many images an item stands for; items without answers are carried by their stratum's others."""
        return np.asarray((self.population / np.maximum(self.answered, 1))[self.stratum])


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share of the archive with its 95% interval; ``items`` were answered, ``label_share`` of the variance is doubt.

    ``label_share`` is the part of the variance that comes from unsure labels.
    """

    rate: float
    low: float
    high: float
    items: int
    label_share: float = 0.0


def make_design(stratum: Sequence[str], population: Sequence[int]) -> Design:
    """From each item's stratum and that stratum's number of images."""
    names, first, index = np.unique(np.asarray(stratum, dtype=str), return_index=True, return_inverse=True)
    assert len(names) == len(first)
    return Design(stratum=index.astype(np.int64), population=np.asarray(population, np.int64)[first])


def rates(accepted: Bools | Floats, design: Design, groups: Bools) -> list[Rate]:
    """One rate a group; ``accepted`` is draws x items, ``groups`` items x groups. A group without items gives NaN."""
    values = accepted.astype(float)
    weight = design.weight[:, None] * groups
    total = weight.sum(axis=0)
    known = np.where(total > 0, total, 1.0)
    by_draw = values @ weight / known
    rate = by_draw.mean(axis=0)
    labels = by_draw.var(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(rate))
    some = values[:: max(1, len(values) // _DRAWS_FOR_DESIGN)]
    by_stratum = np.mean([_variance(draw, weight / known, design) for draw in some], axis=0)
    of_design = by_stratum.sum(axis=0)
    freedom = _freedom(np.vstack([by_stratum, labels]), np.append(design.answered - 1, len(values) - 1))
    items = groups.sum(axis=0)
    most = np.where(items > 0, known**2 / np.maximum(np.square(weight).sum(axis=0), 1e-12), 1.0)
    return [
        _rate(
            rate=float(rate[at]),
            of_design=float(of_design[at]),
            labels=float(labels[at]),
            items=int(items[at]),
            most=float(most[at]),
            quantile=student(freedom[at]),
        )
        for at in range(groups.shape[1])
    ]


def _variance(accepted: Floats, share: Floats, design: Design) -> Floats:
    """The design's variance of each group's rate, by the residuals of the ratio; strata x groups.

    A stratum of one answered item is held against the whole sample instead of itself, which errs to the wide side.
    """
    rate = accepted @ share
    residual = share * (accepted[:, None] - rate)
    answered = design.answered
    strata = len(answered)
    sums = np.zeros((strata, share.shape[1]))
    np.add.at(sums, design.stratum, residual)
    lonely = answered == 1
    mean = np.where(lonely[:, None], 0.0, sums / np.maximum(answered, 1)[:, None])
    squares = np.zeros_like(sums)
    np.add.at(squares, design.stratum, np.square(residual - mean[design.stratum]))
    unseen = 1 - answered / np.maximum(design.population, 1)
    spread = np.where(lonely, 1.0, answered / np.maximum(answered - 1, 1))
    return np.asarray((unseen * spread)[:, None] * squares)


def _freedom(parts: Floats, known_by: Ints) -> Floats:
    """Satterthwaite's degrees of freedom of each column's sum of variances; ``known_by`` are those of each row."""
    total = parts.sum(axis=0)
    doubt = (np.square(parts) / np.maximum(known_by, 1)[:, None]).sum(axis=0)
    return np.where(doubt > 0, np.square(total) / np.where(doubt > 0, doubt, 1.0), np.inf)


def _rate(*, rate: float, of_design: float, labels: float, items: int, most: float, quantile: float) -> Rate:
    if items == 0:
        return Rate(rate=math.nan, low=math.nan, high=math.nan, items=0)
    variance = of_design + labels
    binomial = rate * (1 - rate)
    # a group that is all accepted shows no variance; it is then as sure as so many items can be
    effective = binomial / variance if variance > 0 and binomial > 0 else most
    low, high = wilson(rate, effective, quantile)
    return Rate(
        rate=rate,
        low=low,
        high=high,
        items=items,
        label_share=labels / variance if variance > 0 else 0.0,
    )


def wilson(rate: float, effective: float, quantile: float) -> tuple[float, float]:
    """Wilson's score interval of a rate known from so many effective items."""
    shrunk = 1 + quantile**2 / effective
    centre = (rate + quantile**2 / (2 * effective)) / shrunk
    half = quantile / shrunk * math.sqrt(rate * (1 - rate) / effective + quantile**2 / (4 * effective**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def student(freedom: float) -> float:
    """The quantile that leaves 95% in the middle, for so many degrees of freedom."""
    return float(stdtrit(freedom, _UPPER))
