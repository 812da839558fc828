"""How the scores are spread, and where the cut fell."""

import math
from dataclasses import dataclass

from pipelines.inspect.report.tables import Tables

_MOST_BINS = 40
_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)

_SCORED = "score IS NOT NULL AND isfinite(score) AND stage IN ('cut', 'pack', 'packed')"
_BINS = f"""
SELECT floor(score / ? + 1e-6)::INTEGER AS bin,
       count(*) FILTER (stage <> 'cut'), count(*) FILTER (kind = 'low_score'),
       count(*) FILTER (stage = 'cut' AND kind NOT IN ('low_score', 'waiting')),
       count(*) FILTER (stage = 'cut' AND kind = 'waiting')
FROM journey WHERE {_SCORED} GROUP BY 1 ORDER BY 1
"""
# Within a cell, the line lies at the lowest score that was kept; cells that lost nothing have no line.
_CUT_LINE = f"""
SELECT median(lowest) FROM (
    SELECT min(score) FILTER (stage <> 'cut') AS lowest
    FROM journey WHERE {_SCORED} GROUP BY emotion, context HAVING count(*) FILTER (kind = 'low_score') > 0)
"""


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Images with scores from ``low`` up to the next bin's."""

    low: float
    kept: int
    cut: int
    otherwise: int
    undecided: int

    @property
    def total(self) -> int:
        """All images of the bin."""
        return self.kept + self.cut + self.otherwise + self.undecided


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """The bins from the lowest score to the highest, without gaps."""

    bins: tuple[Bin, ...]
    step: float
    cut_line: float | None

    @property
    def low(self) -> float:
        """Left edge."""
        return self.bins[0].low

    @property
    def high(self) -> float:
        """Right edge."""
        return self.bins[-1].low + self.step

    @property
    def tallest(self) -> int:
        """Images in the fullest bin."""
        return max(bin.total for bin in self.bins)

    @property
    def kept(self) -> int:
        """Images kept."""
        return sum(bin.kept for bin in self.bins)

    @property
    def cut(self) -> int:
        """Images whose score was too low."""
        return sum(bin.cut for bin in self.bins)

    @property
    def otherwise(self) -> int:
        """Images that were scored and dropped for another reason."""
        return sum(bin.otherwise for bin in self.bins)

    @property
    def undecided(self) -> int:
        """Images that were scored, and that the cut has not judged yet."""
        return sum(bin.undecided for bin in self.bins)

    @property
    def total(self) -> int:
        """All scored images."""
        return self.kept + self.cut + self.otherwise + self.undecided

    @property
    def cut_position(self) -> float | None:
        """Where the cut line stands, from 0 at the left edge to 1 at the right."""
        return None if self.cut_line is None else (self.cut_line - self.low) / (self.high - self.low)


def histogram(tables: Tables) -> Histogram | None:
    """None while nothing is scored."""
    low, high = tables.rows(f"SELECT min(score), max(score) FROM journey WHERE {_SCORED}")[0]
    if low is None:
        return None
    step = next((step for step in _STEPS if (high - low) / step < _MOST_BINS), _STEPS[-1])
    counts = {int(row[0]): tuple(map(int, row[1:])) for row in tables.rows(_BINS, step)}
    bins = []
    for step_number in range(min(counts), max(counts) + 1):
        kept, cut, otherwise, undecided = counts.get(step_number, (0, 0, 0, 0))
        bins.append(Bin(low=step_number * step, kept=kept, cut=cut, otherwise=otherwise, undecided=undecided))
    line = tables.rows(_CUT_LINE)[0][0]
    return Histogram(bins=tuple(bins), step=step, cut_line=None if line is None or math.isnan(line) else float(line))
