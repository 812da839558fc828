"""Means of means, as Moodifier's paper takes them: pair, emotions, images, categories (section 4.1); median seconds."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

from editor.evaluation.pairs import Pair
from editor.evaluation.scores import Scored

Levels = tuple[str, ...]


def mean_of_means(rows: Iterable[Scored], column: str) -> float | None:
    """Over an emotion's pairs of one source, then its emotions, then a category's sources, then categories.

    Each level weighs its members alike, however many rows stand behind them. Pairs without a value, or with an
    infinite one (the PSNR of an unchanged background), are left out; infinite if there are no others, None if none.
    """
    values = [(_levels(row.pair), value) for row in rows if (value := row.values.get(column)) is not None]
    finite = [(levels, value) for levels, value in values if math.isfinite(value)]
    if not finite:
        return math.inf if values else None
    while finite[0][0]:
        groups: dict[Levels, list[float]] = defaultdict(list)
        for levels, value in finite:
            groups[levels].append(value)
        finite = [(levels[:-1], _mean(group)) for levels, group in sorted(groups.items())]
    return _mean([value for _, value in finite])


def median_seconds(rows: Iterable[Scored]) -> float | None:
    """What an edit took, of those that were measured and say it; a median, for a method's first edit warms it up."""
    seconds = [float(row.pair.seconds) for row in rows if row.status == "ok" and row.pair.seconds]
    return statistics.median(seconds) if seconds else None


def _levels(pair: Pair) -> Levels:
    return (pair.category, pair.source, pair.emotion)


def _mean(values: Sequence[float]) -> float:
    # exact sums: the order of the rows does not count
    return math.fsum(values) / len(values)
