"""The scores of an evaluation, kept beside the pairs: what is known is not computed again."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from editor.evaluation.background import Background, Likeness
from editor.evaluation.clip_score import ClipScore
from editor.evaluation.esmi import Esmi
from editor.evaluation.measure import Column, Measure
from editor.evaluation.pairs import COLUMNS, Pair
from editor.evaluation.perceptual import Lpips
from editor.evaluation.served_choice import ServedChoice
from editor.evaluation.structure import Structure
from moodarchive.storage.store import Store
from moodarchive.tables.parquet import read_table

SCORES_PATH = "evaluation/scores.parquet"
MEASURES: tuple[type[Measure], ...] = (
    Structure, Background, Lpips, ClipScore, Esmi, Likeness, ServedChoice,
)  # fmt: skip
SCORED: tuple[Column, ...] = tuple(column for kind in MEASURES for column in kind.columns)
"""Every figure of a pair, in the papers' order."""
_IDENTITIES = b"moodarchive.measures"


def name_of(measure: Measure) -> str:
    """A measure goes by its first column."""
    return measure.columns[0].name


@dataclass(kw_only=True)
class Scored:
    """A pair and what is known of it; ``measured`` names the measures that have spoken, be it to say None."""

    pair: Pair
    inputs: str = ""
    status: str = "ok"
    error: str | None = None
    message: str | None = None
    measured: set[str] = field(default_factory=set)
    values: dict[str, float | None] = field(default_factory=dict)

    def take(self, measure: Measure, values: Sequence[float | None]) -> None:
        """Notes what a measure said."""
        self.measured.add(name_of(measure))
        self.values.update(zip((column.name for column in measure.columns), values, strict=True))


@dataclass(frozen=True)
class Known:
    """The scores of an earlier run: by the digest of a pair's inputs, and which weights each measure had."""

    rows: Mapping[str, Scored] = field(default_factory=dict)
    identities: Mapping[str, str] = field(default_factory=dict)


def schema() -> pa.Schema:
    """The columns of scores.parquet."""
    return pa.schema(
        [
            *((name, pa.string()) for name in (*COLUMNS, "inputs", "status", "error", "message")),
            ("measured", pa.list_(pa.string())),
            *((column.name, pa.float64()) for column in SCORED),
        ]
    )


def read_known(store: Store) -> Known:
    """Nothing where there is no table, or one of other columns: then all is computed."""
    if not store.exists(SCORES_PATH):
        return Known()
    table = read_table(store.path(SCORES_PATH))
    if table.schema.names != schema().names:
        return Known()
    identities = json.loads((table.schema.metadata or {}).get(_IDENTITIES, b"{}"))
    rows = [_read_row(row) for row in table.to_pylist()]
    return Known({row.inputs: row for row in rows if row.status == "ok"}, identities)


def write_scores(store: Store, rows: Iterable[Scored], identities: Mapping[str, str]) -> None:
    """Writes the table whole; equal scores give equal bytes, and a file that is equal already stays untouched."""
    table = pa.Table.from_pylist([_row(one) for one in rows], schema=schema())
    metadata = {_IDENTITIES: json.dumps(dict(identities), sort_keys=True).encode()}
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd")
    if not store.exists(SCORES_PATH) or store.read_bytes(SCORES_PATH) != sink.getvalue():
        store.write_bytes(SCORES_PATH, sink.getvalue())


def _row(one: Scored) -> dict[str, Any]:
    return {
        **asdict(one.pair), "inputs": one.inputs, "status": one.status, "error": one.error, "message": one.message,
        "measured": sorted(one.measured), **{column.name: one.values.get(column.name) for column in SCORED},
    }  # fmt: skip


def _read_row(row: dict[str, Any]) -> Scored:
    return Scored(
        pair=Pair(**{name: row[name] for name in COLUMNS}),
        inputs=row["inputs"],
        status=row["status"],
        error=row["error"],
        message=row["message"],
        measured=set(row["measured"]),
        values={column.name: row[column.name] for column in SCORED},
    )
