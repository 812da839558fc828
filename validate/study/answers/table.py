"""The answers that were imported: one row an item and worker, under study/KIND/answers/, worker names hashed."""

import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from moodarchive.storage.store import Store
from moodarchive.tables.parquet import read_table as read_parquet
from validate.study.design.questions import COMPONENTS, Judgement
from validate.study.design.study import folder


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One worker's answer to one item, in the archive's words.

    ``left``: the generated caption stood first (on the left). Times are Unix seconds, 0 where the channel gives none.
    ``assignment`` is the channel's name of this answer. ``worker`` is hashed.
    """

    item: str
    worker: str
    channel: str
    assignment: str
    left: bool
    judgement: Judgement
    began: float
    submitted: float

    @property
    def seconds(self) -> float:
        """How long the worker looked."""
        return max(0.0, self.submitted - self.began)


_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("item", "worker", "channel", "assignment", "choice", "reason", "comment")),
        ("left", pa.bool_()),
        *((name, pa.bool_()) for name in COMPONENTS),
        ("began", pa.float64()),
        ("submitted", pa.float64()),
    ]
)


def write_answers(store: Store, kind: str, name: str, answers: Iterable[Answer]) -> str:
    """Writes one import's answers; equal answers give an equal file. Returns its path."""
    sink = io.BytesIO()
    rows = [_row(answer) for answer in answers]
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), sink, compression="zstd")
    path = f"{folder(kind)}/answers/{name}.parquet"
    store.write_bytes(path, sink.getvalue())
    return path


def read_table(store: Store, kind: str) -> pa.Table:
    """All imported answers as one table, in the order of submission; names of items and workers are unique together."""
    paths = [f"{folder(kind)}/answers/{name}" for name in store.names(f"{folder(kind)}/answers")]
    tables = [read_parquet(io.BytesIO(store.read_bytes(path))) for path in paths if path.endswith(".parquet")]
    joined = pa.concat_tables(tables) if tables else _SCHEMA.empty_table()
    return joined.sort_by([("submitted", "ascending"), ("item", "ascending"), ("worker", "ascending")])


def _row(answer: Answer) -> dict[str, object]:
    given = answer.judgement
    fields = {name: value for name, value in asdict(answer).items() if name != "judgement"}
    return {
        **fields,
        "choice": given.choice,
        "reason": given.reason,
        "comment": given.comment,
        **dict(zip(COMPONENTS, given.accurate, strict=True)),
    }
