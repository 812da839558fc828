"""Answers about edits: imported from the page, and each method's share of being among the preferred three."""

import io
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from moodarchive.tables.parquet import read_table as read_parquet
from validate.study.design.study import EDITS, StudyDesign, folder, hash_worker
from validate.study.edits.items import QUESTIONS, EditItem
from validate.study.edits.questions import are_sound
from validate.study.page.results import read_answers
from validate.study.statistics.rates import student, wilson

ANSWERS_PATH = f"{folder(EDITS)}/answers.parquet"
_SCHEMA = pa.schema([(name, pa.string()) for name in ("item", "worker", "question", "method")])


@dataclass(frozen=True, kw_only=True)
class MethodRate:
    """How often a method's edit was among the picked three: share of answers, with its 95% interval over items."""

    question: str
    method: str
    rate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class EditVerdict:
    """What people prefer; ``agreement`` is Krippendorff's alpha by question."""

    rates: tuple[MethodRate, ...]
    agreement: tuple[tuple[str, float], ...]
    items: int
    workers: int
    answers: int


def import_edit_answers(store: Store, design: StudyDesign, items: dict[str, EditItem], ledger: Path) -> dict[str, int]:
    """Takes in the page's answers as they are now; returns counts by kind. The same page gives the same file."""
    counts = Counter({"accepted": 0, "foreign": 0, "malformed": 0, "missing": 0})
    rows: list[dict[str, str]] = []
    answered: Counter[str] = Counter()
    for stored in read_answers(ledger):
        item = items.get(stored.item)
        if item is None or not are_sound(item, stored.answer):
            counts["foreign" if item is None else "malformed"] += 1
            continue
        counts["accepted"] += 1
        answered[stored.item] += 1
        worker = hash_worker(store, EDITS, stored.annotator)
        method_of = {edit.name: edit.method for edit in item.edits}
        for question in QUESTIONS:
            for name in sorted(stored.answer[question]):
                rows.append({"item": stored.item, "worker": worker, "question": question, "method": method_of[name]})
    counts["missing"] = sum(max(0, design.workers - answered[item]) for item in items)
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), sink, compression="zstd")
    store.write_bytes(ANSWERS_PATH, sink.getvalue())
    return dict(counts)


def judge_edits(store: Store, items: dict[str, EditItem]) -> EditVerdict:
    """The verdict; StudyError while nobody has answered."""
    if not store.exists(ANSWERS_PATH):
        raise StudyError(f"{store.root}: no answers yet; remedy: moodarchive study import --kind edits --from page")
    rows = read_parquet(io.BytesIO(store.read_bytes(ANSWERS_PATH))).to_pandas()
    if rows.empty:
        raise StudyError(f"{store.root}: nobody has answered yet; remedy: moodarchive study serve --kind edits")
    methods = sorted({edit.method for item in items.values() for edit in item.edits})
    lines = [rate for question in QUESTIONS for rate in _rates(rows[rows["question"] == question], question, methods)]
    agreement = tuple((question, _alpha(rows[rows["question"] == question], methods)) for question in QUESTIONS)
    return EditVerdict(
        rates=tuple(lines),
        agreement=agreement,
        items=int(rows["item"].nunique()),
        workers=int(rows["worker"].nunique()),
        answers=len(rows[["item", "worker"]].drop_duplicates()),
    )


def _rates(rows: pd.DataFrame, question: str, methods: Sequence[str]) -> list[MethodRate]:
    """Items are the sample: answers to one item hang together, and an item counts by its answers' mean."""
    workers = rows.groupby("item")["worker"].nunique()
    lines = []
    for method in methods:
        picked = rows[rows["method"] == method].groupby("item").size().reindex(workers.index, fill_value=0)
        shares = (picked / workers).to_numpy(dtype=float)
        rate, spread = float(shares.mean()), float(shares.std(ddof=1)) if len(shares) > 1 else 0.5
        binomial = rate * (1 - rate)
        # as many independent items as would spread so; none of them at 0 or 1 tells at least of its number
        effective = binomial / (spread**2 / len(shares)) if spread > 0 and binomial > 0 else float(len(shares))
        low, high = wilson(rate, effective, student(max(1, len(shares) - 1)))
        lines.append(MethodRate(question=question, method=method, rate=rate, low=low, high=high))
    return lines


def _alpha(rows: pd.DataFrame, methods: Sequence[str]) -> float:
    """Of picked or not, for every edit and worker."""
    from crowdkit.metrics.data import alpha_krippendorff

    picked: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows.itertuples():
        picked[str(row.item), str(row.worker)].add(str(row.method))
    labels = [
        (f"{item} {method}", worker, int(method in chosen))
        for (item, worker), chosen in picked.items()
        for method in methods
    ]
    frame = pd.DataFrame(labels, columns=["task", "worker", "label"])
    return float(alpha_krippendorff(frame)) if np.unique(frame["label"]).size > 1 else 1.0
