"""Results from outside become answers; every row that does not is counted and named."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from validate.study.answers.table import Answer, read_latest, write_answers
from validate.study.design.questions import MOST_COMMENT, Judgement, judgement_problem
from validate.study.design.study import StudyDesign, folder, hash_worker

ACCEPTED, KNOWN, REPLACED, REFERENCE = "accepted", "already imported", "replaced", "ground truth"
MALFORMED, FOREIGN, LATE, DUPLICATE, MISSING = "malformed", "foreign", "late", "duplicate", "missing"
CHANGED, REJECTED = "changed", "rejected"
FAULTS = (MALFORMED, FOREIGN, LATE, DUPLICATE)
RARE = (REPLACED, REFERENCE, CHANGED, REJECTED)
"""Kinds that are counted where there are any."""


@dataclass(frozen=True, kw_only=True)
class RawAnswer:
    """A row as a channel gives it, nothing of it believed. ``problem`` says why it could not even be read.

    ``edited`` is when the worker last changed it, 0 where the channel knows no changes. ``rejected``: the channel's
    reviewer refused it. ``reference``: it is the researcher's own answer.
    """

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
    edited: float = 0.0
    rejected: bool = False
    reference: bool = False
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class ImportRules:
    """How rows are judged.

    ``closed``: answers after this moment (Unix seconds) are late. ``edits``: the channel lets workers change their
    answers. ``replace``: what is in the file takes the place of what was imported of the same worker and item before.
    ``count_rejected``: answers that the channel's reviewer refused count too.
    """

    closed: float = float("inf")
    edits: bool = False
    replace: bool = False
    count_rejected: bool = False


_PLAIN = ImportRules()


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row that needs a word: it is no answer, or took another's place; for a missing answer the item lacking it."""

    where: str
    kind: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import did: counts by kind (with the sound ones), and every fault."""

    counts: Mapping[str, int]
    faults: tuple[Fault, ...]
    path: str


Slot = tuple[str, str, bool]
"""Item, worker (hashed) and whether it is a reference: where one answer stands."""


@dataclass
class _Sorter:
    """Takes rows one by one and says what each is; the first answer of a worker to an item counts."""

    store: Store
    design: StudyDesign
    channel: str
    items: frozenset[str]
    rules: ImportRules
    standing: dict[Slot, Answer]
    slot_of: dict[tuple[str, str], Slot]
    written: dict[Slot, Answer] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _handled: set[Slot] = field(default_factory=set)
    _hashes: dict[str, str] = field(default_factory=dict)

    def add(self, raw: RawAnswer) -> None:
        """Sorts one row in."""
        problem = _find_malformation(raw)
        if problem:
            return self._fault(raw, MALFORMED, problem)
        if raw.item not in self.items:
            return self._fault(raw, FOREIGN, f"item {raw.item!s:.40} is not in this study")
        answer = self._answer(raw)
        slot = _slot(answer)
        earlier_slot = self._find_earlier(answer, slot)
        earlier = self.standing.get(earlier_slot) if earlier_slot else None
        if raw.rejected and not self.rules.count_rejected:
            return self._reject(raw, answer, earlier_slot)
        if answer.submitted > min(self.rules.closed, raw.expires):
            return self._fault(raw, LATE, f"item {answer.item}: submitted after the study was closed")
        return self._place(raw, answer, slot, earlier)

    def _place(self, raw: RawAnswer, answer: Answer, slot: Slot, earlier: Answer | None) -> None:
        """A sound answer, beside the one that stands where it belongs."""
        if earlier is None or earlier.withdrawn:
            return self._accept(answer, slot)
        handled = _slot(earlier) in self._handled
        if earlier.assignment != answer.assignment and (handled or not self.rules.replace):
            return self._fault(raw, DUPLICATE, f"item {answer.item}: this worker has answered it before")
        return self._compare(raw, answer, earlier, slot)

    def _find_earlier(self, answer: Answer, slot: Slot) -> Slot | None:
        """Where the same answer, or another of the same worker, stands; by its name first, which outlives renaming."""
        by_name = self.slot_of.get((answer.item, answer.assignment))
        if by_name is not None and not self.standing[by_name].withdrawn:
            return by_name
        return slot if slot in self.standing else by_name

    def _reject(self, raw: RawAnswer, answer: Answer, slot: Slot | None) -> None:
        earlier = self.standing.get(slot) if slot else None
        withdrawn = earlier is not None and earlier.assignment == answer.assignment and not earlier.withdrawn
        if withdrawn and slot is not None:
            self._withdraw(slot)
        says = "was imported before and is withdrawn" if withdrawn else "does not count"
        self._fault(raw, REJECTED, f"item {answer.item}: the reviewer refused it, it {says}")

    def _accept(self, answer: Answer, slot: Slot) -> None:
        before = self.standing.get(slot)
        self._write(slot, replace(answer, revision=before.revision + 1 if before else 0))
        self.counts[REFERENCE if answer.reference else ACCEPTED] += 1

    def _compare(self, raw: RawAnswer, answer: Answer, earlier: Answer, slot: Slot) -> None:
        """The same answer once more, perhaps changed."""
        earlier_slot = _slot(earlier)
        renamed = earlier_slot != slot
        same = answer.says_the_same(earlier) and not (renamed and self.rules.replace)
        newer = self.rules.edits and answer.edited >= earlier.edited
        if same:
            self._handled.add(earlier_slot)
            self.counts[KNOWN] += 1
        elif newer or self.rules.replace:
            if renamed and not self.rules.replace and answer.reference == earlier.reference:
                # the export names its annotators in another way than before: it is still the same one
                answer, slot = replace(answer, worker=earlier.worker), earlier_slot
            if earlier_slot != slot:
                self._withdraw(earlier_slot)
            before = self.standing.get(slot)
            self._write(slot, replace(answer, revision=before.revision + 1 if before else 0))
            self._fault(raw, REPLACED, f"item {answer.item}: takes the place of the answer that was imported before")
        elif self.rules.edits:
            self.counts[KNOWN] += 1  # an older state of an answer that was changed since
        else:
            self._fault(raw, CHANGED, f"item {answer.item}: imported before with another content; remedy: --replace")

    def _write(self, slot: Slot, answer: Answer) -> None:
        self.standing[slot] = self.written[slot] = answer
        self.slot_of[answer.item, answer.assignment] = slot
        self._handled.add(slot)

    def _withdraw(self, slot: Slot) -> None:
        earlier = self.standing[slot]
        self._write(slot, replace(earlier, withdrawn=True, revision=earlier.revision + 1))

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
            edited=raw.edited,
            reference=raw.reference,
        )

    def _fault(self, raw: RawAnswer, kind: str, detail: str) -> None:
        self.counts[kind] += 1
        self.faults.append(Fault(where=raw.where, kind=kind, detail=detail))


def import_answers(
    store: Store,
    design: StudyDesign,
    channel: str,
    rows: Iterable[RawAnswer],
    items: Iterable[str],
    *,
    rules: ImportRules = _PLAIN,
) -> Imported:
    """Adds the sound answers to the study and names all others; a repeated import adds nothing.

    ``items`` are the names of all items that are asked. Rows are judged in their order. Missing answers are counted
    over everything imported so far.
    """
    asked = sorted(items)
    latest = {_slot(one): one for one in read_latest(store, design.kind)}
    # a name may stand twice, once withdrawn: the living one counts
    ordered = sorted(latest.items(), key=lambda pair: not pair[1].withdrawn)
    slots = {(answer.item, answer.assignment): slot for slot, answer in ordered}
    sorter = _Sorter(store, design, channel, frozenset(asked), rules, latest, slots)
    for raw in rows:
        sorter.add(raw)
    answered = Counter(
        item for (item, _, reference), one in sorter.standing.items() if not (reference or one.withdrawn)
    )
    faults = (*sorter.faults, *_find_missing(asked, answered, design.workers))
    counts = {
        **{kind: sorter.counts[kind] for kind in (ACCEPTED, KNOWN, *FAULTS)},
        **{kind: sorter.counts[kind] for kind in RARE if sorter.counts[kind]},
        MISSING: sum(max(0, design.workers - answered[item]) for item in asked),
    }
    written = list(sorter.written.values())
    if written:
        write_answers(store, design.kind, f"{channel}-{digest([_identity(answer) for answer in written])}", written)
    record = f"{channel}-{digest([counts, [fault.where for fault in faults]])}"
    path = _record(store, design.kind, record, counts, faults)
    return Imported(counts=counts, faults=faults, path=path)


def _slot(answer: Answer) -> Slot:
    return answer.item, answer.worker, answer.reference


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
    """Free text without control characters, its line ends kept, cut to what is kept."""
    kept = (letter if letter.isprintable() or letter.isspace() else " " for letter in text)
    return "".join(kept).strip()[:MOST_COMMENT]


def _find_missing(asked: list[str], answered: Mapping[str, int], wanted: int) -> Iterator[Fault]:
    for item in asked:
        if (lacking := wanted - answered.get(item, 0)) > 0:
            yield Fault(where="", kind=MISSING, detail=f"item {item}: {lacking} of {wanted} answers")


def _identity(answer: Answer) -> list[object]:
    return [answer.item, answer.worker, answer.assignment, answer.reference, answer.revision, answer.withdrawn]


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
