"""The answers that were imported: one row an item and worker, under study/KIND/answers/, worker names hashed.

Files are only ever added. A later row of the same item and worker takes the place of an earlier one, or withdraws it,
so that a killed import leaves what was there and a changed answer keeps its history.
"""

import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from moodarchive.storage.store import Store
from moodarchive.tables.parquet import read_table as read_parquet
from validate.study.design.questions import COMPONENTS, Five, Judgement
from validate.study.design.study import folder


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One worker's answer to one item, in the archive's words.

    ``left``: the generated caption stood first (on the left). Times are Unix seconds, 0 where the channel gives none;
    ``edited`` is when the worker last changed the answer. ``assignment`` is the channel's name of this answer.
    ``worker`` is hashed. ``reference``: the researcher's own answer, against which workers are held. ``revision``
    counts the answers that stood here before; ``withdrawn``: none stands here any more.
    """

    item: str
    worker: str
    channel: str
    assignment: str
    left: bool
    judgement: Judgement
    began: float
    submitted: float
    edited: float = 0.0
    reference: bool = False
    revision: int = 0
    withdrawn: bool = False

    @property
    def seconds(self) -> float:
        """How long the worker looked."""
        return max(0.0, self.submitted - self.began)

    def says_the_same(self, other: "Answer") -> bool:
        """True when both name and content are equal; not so channel, worker and record-keeping."""
        kept = {"channel": "", "worker": "", "edited": 0.0, "revision": 0}
        return replace(self, **kept) == replace(other, **kept)  # type: ignore[arg-type]


_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("item", "worker", "channel", "assignment", "choice", "reason", "comment")),
        ("left", pa.bool_()),
        *((name, pa.bool_()) for name in COMPONENTS),
        ("began", pa.float64()),
        ("submitted", pa.float64()),
        ("edited", pa.float64()),
        ("reference", pa.bool_()),
        ("revision", pa.int64()),
        ("withdrawn", pa.bool_()),
    ]
)
_DEFAULTS = {"edited": 0.0, "reference": False, "revision": 0, "withdrawn": False}
"""What stands in a file that was written before the column was there."""


def as_table(answers: Iterable[Answer]) -> pa.Table:
    """The answers as rows of the table."""
    return pa.Table.from_pylist([_row(answer) for answer in answers], schema=_SCHEMA)


def write_answers(store: Store, kind: str, name: str, answers: Iterable[Answer]) -> str:
    """Writes one import's answers; equal answers give an equal file. Returns its path."""
    sink = io.BytesIO()
    pq.write_table(as_table(answers), sink, compression="zstd")
    path = f"{folder(kind)}/answers/{name}.parquet"
    store.write_bytes(path, sink.getvalue())
    return path


def read_table(store: Store, kind: str) -> pa.Table:
    """What people answered, as it stands now, in the order of submission; item and worker are unique together."""
    latest = _read_latest(store, kind)
    return latest.filter(pc.invert(pc.or_(latest["withdrawn"], latest["reference"])))


def read_references(store: Store, kind: str) -> pa.Table:
    """The researcher's own answers, against which workers are held; they are in no rate."""
    latest = _read_latest(store, kind)
    return latest.filter(pc.and_(latest["reference"], pc.invert(latest["withdrawn"])))


def read_latest(store: Store, kind: str) -> list[Answer]:
    """The last row of every item and worker, withdrawn ones included."""
    return [_answer(row) for row in _read_latest(store, kind).to_pylist()]


def _read_latest(store: Store, kind: str) -> pa.Table:
    paths = [f"{folder(kind)}/answers/{name}" for name in store.names(f"{folder(kind)}/answers")]
    tables = [_read_file(store, path) for path in paths if path.endswith(".parquet")]
    joined = pa.concat_tables(tables) if tables else _SCHEMA.empty_table()
    order = ("submitted", "item", "worker", "reference", "revision")
    joined = joined.sort_by([(name, "ascending") for name in order])
    if joined.num_rows and pc.max(joined["revision"]).as_py() > 0:
        # a revision is higher than any that stood under the same item and worker before
        names = joined.select(["item", "worker", "reference"]).to_pandas()
        names["revision"] = joined["revision"].to_numpy()
        last = names.groupby(["item", "worker", "reference"], sort=False)["revision"].idxmax()
        joined = joined.take(pa.array(np.sort(last.to_numpy())))
    return joined


def _read_file(store: Store, path: str) -> pa.Table:
    table = read_parquet(io.BytesIO(store.read_bytes(path)))
    for name, value in _DEFAULTS.items():
        if name not in table.column_names:
            table = table.append_column(name, pa.array([value] * table.num_rows, _SCHEMA.field(name).type))
    return table.select(_SCHEMA.names)


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


def _answer(row: dict[str, object]) -> Answer:
    accurate: Five = tuple(row.pop(name) for name in COMPONENTS)  # type: ignore[assignment]
    given = {name: row.pop(name) for name in ("choice", "reason", "comment")}
    return Answer(judgement=Judgement(accurate=accurate, **given), **row)  # type: ignore[arg-type]
