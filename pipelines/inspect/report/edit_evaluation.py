"""Writes the page of an evaluation of edits: the papers' tables beside ours, spreads, emotions, contact sheets."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from editor.evaluation.aggregate import mean_of_means, median_seconds
from editor.evaluation.measure import Column
from editor.evaluation.published import PEOPLE, PUBLISHED, PublishedTable
from editor.evaluation.run import Measured
from editor.evaluation.scores import SCORED, Scored
from editor.evaluation.sheets import Sheet
from moodarchive.storage.store import Store
from pipelines.inspect.report.rendering import render_page

REPORT_PATH = "evaluation/index.html"
BINS, FAILURES_SHOWN = 32, 50
_STYLES = ("style.css", "charts.css", "edit_evaluation.css")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A figure as shown; ``heat`` 0 to 1 from the column's worst to its best; empty where nothing was measured."""

    shown: str
    heat: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a table of ours."""

    title: str
    cells: tuple[Cell, ...]
    pairs: int
    seconds: str
    """The median of an edit's; empty where none says it."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A method's distribution of one figure: bar heights in per cent, and the pairs behind them."""

    method: str
    bars: tuple[float, ...]
    pairs: int
    mean: str
    place: float
    infinite: int


@dataclass(frozen=True, kw_only=True)
class Spreads:
    """A figure's distributions, all on one axis."""

    column: Column
    low: str
    high: str
    spreads: tuple[Spread, ...]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A published table: per row the paper's figures, ours, and what people said in the paper."""

    table: PublishedTable
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[tuple[str, str], ...], tuple[float, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class EvaluationPage:
    """Everything that the page shows."""

    folder: str
    measured: Measured
    categories: int
    sources: int
    emotions: int
    columns: tuple[Column, ...]
    beside: tuple[Beside, ...]
    people: tuple[str, ...]
    overall: tuple[Line, ...]
    by_category: dict[str, tuple[Line, ...]]
    by_emotion: dict[str, tuple[Line, ...]]
    spreads: tuple[Spreads, ...]
    sheets: tuple[Sheet, ...]


def methods_of(rows: Iterable[Scored]) -> list[str]:
    """Every method of the table, by name."""
    return sorted({row.pair.method for row in rows})


def mean_of(rows: Iterable[Scored], method: str, column: str) -> float | None:
    """The method's mean of means."""
    return mean_of_means([row for row in rows if row.pair.method == method], column)


def seconds_of(rows: Iterable[Scored]) -> str:
    """The median of an edit's seconds, as shown; empty where none says it."""
    seconds = median_seconds(rows)
    return "" if seconds is None else f"{seconds:.2f}"


def write_page(store: Store, measured: Measured, sheets: Sequence[Sheet]) -> str:
    """Writes the page; returns its path under the folder."""
    rows = measured.rows
    columns = tuple(column for column in SCORED if any(row.values.get(column.name) is not None for row in rows))
    methods = {method: [row for row in rows if row.pair.method == method] for method in methods_of(rows)}
    page = EvaluationPage(
        folder=Path(store.root).resolve().name,
        measured=measured,
        categories=len({row.pair.category for row in rows}),
        sources=len({row.pair.source for row in rows}),
        emotions=len({row.pair.emotion for row in rows}),
        columns=columns,
        beside=tuple(_beside(table, methods) for table in PUBLISHED),
        people=PEOPLE,
        overall=_lines(methods, columns),
        by_category={method: _lines(_by(of, "category"), columns) for method, of in methods.items()},
        by_emotion={method: _lines(_by(of, "emotion"), columns) for method, of in methods.items()},
        spreads=tuple(_spreads(column, methods) for column in columns),
        sheets=tuple(sheets),
    )
    text = render_page("edit_evaluation.html.jinja", _STYLES, page=page, failures_shown=FAILURES_SHOWN)
    if not store.exists(REPORT_PATH) or store.read_bytes(REPORT_PATH) != text.encode():
        store.write_bytes(REPORT_PATH, text.encode())
    return REPORT_PATH


def _by(rows: Iterable[Scored], name: str) -> dict[str, list[Scored]]:
    groups: dict[str, list[Scored]] = {}
    for row in rows:
        groups.setdefault(getattr(row.pair, name), []).append(row)
    return dict(sorted(groups.items()))


def _lines(groups: dict[str, list[Scored]], columns: Sequence[Column]) -> tuple[Line, ...]:
    means = {title: [mean_of_means(rows, column.name) for column in columns] for title, rows in groups.items()}
    cells = {title: [Cell(shown=column.shown(value)) for column, value in zip(columns, means[title], strict=True)]
             for title in groups}  # fmt: skip
    for index, column in enumerate(columns):
        known = {
            title: value for title in groups if (value := means[title][index]) is not None and math.isfinite(value)
        }
        low, high = min(known.values(), default=0.0), max(known.values(), default=0.0)
        for title, value in known.items():
            share = (value - low) / (high - low) if high > low else 0.5
            heat = share if column.better == "higher" else 1 - share
            cells[title][index] = Cell(shown=column.shown(value), heat=round(heat, 3))
    return tuple(
        Line(title=title, cells=tuple(cells[title]), pairs=len(rows), seconds=seconds_of(rows))
        for title, rows in groups.items()
    )


def _beside(table: PublishedTable, methods: dict[str, list[Scored]]) -> Beside:
    known = {column.name: column for column in SCORED}
    columns = tuple(known[name] for name in table.columns)
    rows = []
    for row in table.rows:
        ours = [column.shown(mean_of_means(methods.get(row.method, []), column.name)) for column in columns]
        rows.append((row.title, tuple(zip(table.shown(row), ours, strict=True)), row.people))
    return Beside(table=table, columns=columns, rows=tuple(rows))


def _spreads(column: Column, methods: dict[str, list[Scored]]) -> Spreads:
    values = {
        method: [value for row in rows if (value := row.values.get(column.name)) is not None]
        for method, rows in methods.items()
    }
    finite = [value for scores in values.values() for value in scores if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    spreads = [
        _spread(method, values[method], column, (low, high), mean_of_means(rows, column.name))
        for method, rows in methods.items()
        if values[method]
    ]
    return Spreads(column=column, low=column.shown(low), high=column.shown(high), spreads=tuple(spreads))


def _spread(
    method: str, values: Sequence[float], column: Column, axis: tuple[float, float], mean: float | None
) -> Spread:
    finite = [value for value in values if math.isfinite(value)]
    low, width = axis[0], (axis[1] - axis[0]) or 1.0
    counts = [0] * BINS
    for value in finite:
        counts[min(BINS - 1, int((value - low) / width * BINS))] += 1
    tallest = max(1, *counts)
    return Spread(
        method=method,
        bars=tuple(round(100 * count / tallest, 2) for count in counts),
        pairs=len(values),
        mean=column.shown(mean),
        place=round(100 * (mean - low) / width, 2) if mean is not None and math.isfinite(mean) else -1,
        infinite=len(values) - len(finite),
    )
