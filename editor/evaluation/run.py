"""Measures every pair of a folder, goes on where an earlier run ended, and leaves out what has no weights here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from editor.evaluation.frames import inputs_digest, read_frames
from editor.evaluation.measure import Measure
from editor.evaluation.pairs import Pair, read_pairs
from editor.evaluation.scores import Known, Scored, name_of, read_known, write_scores
from moodarchive.errors import MissingWeightsError, RowError
from moodarchive.storage.store import Store

PAIRS_PER_WRITE = 50
Progress = Callable[[int, int], None]
"""Told (pairs done, pairs in all)."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Every pair with its scores, and why a measure's columns are empty."""

    rows: tuple[Scored, ...]
    missing: tuple[str, ...]

    @property
    def failed(self) -> tuple[Scored, ...]:
        """Pairs that could not be measured."""
        return tuple(row for row in self.rows if row.status != "ok")


def measure_folder(folder: Path, measures: Sequence[Measure], progress: Progress) -> Measured:
    """Fills evaluation/scores.parquet; a pair that cannot be read becomes a row with its error.

    Scores are known by the files' bytes, what was asked and the measure's weights: where one of them changed, and only
    there, they are computed anew. A measure without weights keeps what was computed when it had them.
    """
    store = Store(str(folder))
    pairs = read_pairs(folder)
    ready, missing = _ready(measures)
    known = read_known(store)
    identities = {**known.identities, **{name_of(measure): identity for measure, identity in ready.items()}}
    kept = {name for name, identity in known.identities.items() if identities[name] == identity}
    rows = [_remember(folder, pair, known, kept) for pair in pairs]
    waiting = [row for row in rows if row.status == "ok" and any(name_of(each) not in row.measured for each in ready)]
    # pictures of one source stand together, because much of what is measured belongs to the source
    waiting.sort(key=lambda row: (row.pair.source, row.pair.edited))
    for done, row in enumerate(waiting, start=1):
        _measure(folder, row, list(ready))
        progress(len(rows) - len(waiting) + done, len(rows))
        if done % PAIRS_PER_WRITE == 0:
            write_scores(store, rows, identities)
    write_scores(store, rows, identities)
    return Measured(rows=tuple(rows), missing=tuple(missing))


def _ready(measures: Sequence[Measure]) -> tuple[Mapping[Measure, str], list[str]]:
    """The measures that can speak, with the digests of their weights; and what the others lack."""
    ready: list[tuple[Measure, str]] = []
    missing = []
    for measure in measures:
        try:
            ready.append((measure, measure.load()))
        except MissingWeightsError as error:
            missing.append(str(error))
    return dict(ready), missing


def _remember(folder: Path, pair: Pair, known: Known, kept: set[str]) -> Scored:
    try:
        inputs = inputs_digest(folder, pair)
    except RowError as error:
        return Scored(pair=pair, status="failed", error=error.kind, message=str(error))
    row = Scored(pair=pair, inputs=inputs)
    if earlier := known.rows.get(inputs):
        row.measured = earlier.measured & kept
        row.values = dict(earlier.values)
    return row


def _measure(folder: Path, row: Scored, measures: Sequence[Measure]) -> None:
    try:
        frames = read_frames(folder, row.pair)
    except RowError as error:
        row.status, row.error, row.message = "failed", error.kind, str(error)
        row.measured, row.values = set(), {}
        return
    for measure in measures:
        if name_of(measure) not in row.measured:
            row.take(measure, measure.of(frames))
