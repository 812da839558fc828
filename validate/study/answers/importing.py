"""Results from outside become answers; every row that does not is counted and named."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from moodarchive.keys import digest
from moodarchive.storage.store import Store
from validate.study.answers.table import Answer, read_table, write_answers
from validate.study.design.questions import MOST_COMMENT, Judgement, judgement_problem
from validate.study.design.study import StudyDesign, folder, hash_worker

ACCEPTED, KNOWN = "accepted", "already imported"
MALFORMED, FOREIGN, LATE, DUPLICATE, MISSING = "malformed", "foreign", "late", "duplicate", "missing"
FAULTS = (MALFORMED, FOREIGN, LATE, DUPLICATE, MISSING)


@dataclass(frozen=True, kw_only=True)
class RawAnswer:
    """A row as a channel gives it, nothing of it believed. ``problem`` says why it could not even be read."""

    where: str
    item: object = ""
    worker: object = ""
    assignment: object = ""
    left: object = None
    choice: object = ""
    accurate: object = ()
    reason: object = ""
    comment: object = ""
    began: object = 0.0
    submitted: object = 0.0
    expires: float = float("inf")
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row that is no answer, and why; for a missing answer the item that lacks it."""

    where: str
    kind: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import did: counts by kind (with the sound ones), and every fault."""

    counts: Mapping[str, int]
    faults: tuple[Fault, ...]
    path: str


@dataclass
class _Sorter:
    """Takes rows one by one and says what each is; the first answer of a worker to an item counts."""

    store: Store
    design: StudyDesign
    channel: str
    items: frozenset[str]
    closed: float
    known: dict[tuple[str, str], str]
    taken: list[Answer] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    again: int = 0
    _hashes: dict[str, str] = field(default_factory=dict)

    def add(self, raw: RawAnswer) -> None:
        """Sorts one row in."""
        problem = _find_malformation(raw)
        if problem:
            return self._fault(raw, MALFORMED, problem)
        if raw.item not in self.items:
            return self._fault(raw, FOREIGN, f"item {raw.item!s:.40} is not in this study")
        answer = self._answer(raw)
        if answer.submitted > min(self.closed, raw.expires):
            return self._fault(raw, LATE, f"item {answer.item}: submitted after the study was closed")
        pair = (answer.item, answer.worker)
        if self.known.get(pair) == answer.assignment:
            self.again += 1
        elif pair in self.known:
            return self._fault(raw, DUPLICATE, f"item {answer.item}: this worker has answered it before")
        else:
            self.known[pair] = answer.assignment
            self.taken.append(answer)
        return None

    def _answer(self, raw: RawAnswer) -> Answer:
        worker = str(raw.worker)
        if worker not in self._hashes:
            self._hashes[worker] = hash_worker(self.store, self.design.kind, worker)
        accurate: Any = tuple(raw.accurate)  # type: ignore[arg-type]
        given = Judgement(
            choice=str(raw.choice),
            accurate=accurate,
            reason=str(raw.reason),
            comment=_clean(str(raw.comment)),
        )
        return Answer(
            item=str(raw.item),
            worker=self._hashes[worker],
            channel=self.channel,
            assignment=str(raw.assignment),
            left=bool(raw.left),
            judgement=given,
            began=float(raw.began),  # type: ignore[arg-type]
            submitted=float(raw.submitted),  # type: ignore[arg-type]
        )

    def _fault(self, raw: RawAnswer, kind: str, detail: str) -> None:
        self.faults.append(Fault(where=raw.where, kind=kind, detail=detail))


def import_answers(
    store: Store,
    design: StudyDesign,
    channel: str,
    rows: Iterable[RawAnswer],
    items: Iterable[str],
    *,
    closed: float = float("inf"),
) -> Imported:
    """Adds the sound answers to the study and names all others; a repeated import adds nothing.

    ``items`` are the names of all items that are asked. Rows are judged in their order. Missing answers are counted
    over everything imported so far.
    """
    asked = sorted(items)
    before = read_table(store, design.kind)
    known = _known_assignments(before)
    answered = Counter(item for item, _ in known)
    sorter = _Sorter(store, design, channel, frozenset(asked), closed, known)
    for raw in rows:
        sorter.add(raw)
    answered.update(answer.item for answer in sorter.taken)
    missing = list(_find_missing(asked, answered, design.workers))
    faults = (*sorter.faults, *missing)
    counts = Counter(fault.kind for fault in sorter.faults)
    counts_by_kind = {
        ACCEPTED: len(sorter.taken),
        KNOWN: sorter.again,
        **{kind: counts[kind] for kind in FAULTS if kind != MISSING},
        MISSING: sum(max(0, design.workers - answered[item]) for item in asked),
    }
    name = f"{channel}-{digest([_identity(answer) for answer in sorter.taken])}"
    if sorter.taken:
        write_answers(store, design.kind, name, sorter.taken)
    path = _record(
        store, design.kind, f"{channel}-{digest([counts_by_kind, [f.where for f in faults]])}", counts_by_kind, faults
    )
    return Imported(counts=counts_by_kind, faults=faults, path=path)


def _find_malformation(raw: RawAnswer) -> str | None:
    if raw.problem:
        return raw.problem
    for name in ("item", "worker", "assignment"):
        value = getattr(raw, name)
        if not isinstance(value, str) or not value.strip() or len(value) > 200:
            return f"no {name}"
    if not isinstance(raw.left, bool):
        return "order of the texts"
    for name in ("began", "submitted"):
        value = getattr(raw, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
            return "time"
    return judgement_problem(raw.choice, raw.accurate, raw.reason, raw.comment)


def _clean(text: str) -> str:
    """Free text without control characters, cut to what is kept."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:MOST_COMMENT]


def _known_assignments(table: Any) -> dict[tuple[str, str], str]:
    columns = (table[name].to_pylist() for name in ("item", "worker", "assignment"))
    return {(item, worker): assignment for item, worker, assignment in zip(*columns, strict=True)}


def _find_missing(asked: list[str], answered: Mapping[str, int], wanted: int) -> Iterator[Fault]:
    for item in asked:
        if (lacking := wanted - answered.get(item, 0)) > 0:
            yield Fault(where="", kind=MISSING, detail=f"item {item}: {lacking} of {wanted} answers")


def _identity(answer: Answer) -> list[str]:
    return [answer.item, answer.worker, answer.assignment]


def _record(store: Store, kind: str, name: str, counts: Mapping[str, int], faults: tuple[Fault, ...]) -> str:
    """study/KIND/imports/NAME.csv names every fault; the same import again writes the same file."""
    sink = io.StringIO()
    writer = csv.writer(sink)
    writer.writerow(["where", "kind", "detail"])
    writer.writerows([fault.where, fault.kind, fault.detail] for fault in faults)
    store.write_bytes(f"{folder(kind)}/imports/{name}.json", (json.dumps(counts, indent=1) + "\n").encode())
    path = f"{folder(kind)}/imports/{name}.csv"
    store.write_bytes(path, sink.getvalue().encode())
    return path
