"""Prolific: the study as its API takes it and what it costs; approvals, rejections and bonuses by submission."""

import csv
import io
import json
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from pathlib import Path
from statistics import median
from typing import Any

from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from validate.study.design.study import CAPTIONS, StudyDesign, folder
from validate.study.page.ledger import KeptAnswer, Ledger
from validate.study.panel.identity import Hasher
from validate.study.panel.participants import COMPLETED, DECLINED, SCREENED_OUT, Participant, Participants, Work
from validate.study.panel.progress import median_seconds
from validate.study.panel.serve import study_link
from validate.study.panel.settings import PanelSettings

PROLIFIC_FOLDER = f"{folder(CAPTIONS)}/prolific"
FEWEST_GOLD, PASSED_TO_APPROVE = 3, 0.5
"""Nobody is rejected on fewer gold questions, or with so many of them right."""
_CENT, _HUNDRED = Decimal("0.01"), 100
_REJECTED = (
    "Thank you for taking part. We cannot approve this submission: {failed} of the {asked} questions with a known "
    "answer were answered wrongly. In each of them the text belonged to another picture, as the instructions explain."
)
"""Prolific asks for 100 letters and more."""
_SUBMISSION_COLUMNS = ("submission id", "session_id", "submission_id")


def count_places(design: StudyDesign, items: int, settings: PanelSettings) -> int:
    """Participants that it takes until every item has its answers; the file's own number where it names one."""
    # nobody answers an item twice, so there are never fewer than answers an item
    return settings.places or max(design.workers, math.ceil(items * design.workers / settings.items))


def compute_cost(settings: PanelSettings, places: int) -> Decimal:
    """Rewards and the panel's fee, without bonuses and tax, rounded up to the cent."""
    fee = 1 + Decimal(str(settings.fee_percent)) / 100
    return (Decimal(str(settings.reward)) * places * fee).quantize(_CENT, ROUND_UP)


def make_study(settings: PanelSettings, places: int) -> dict[str, Any]:
    """The body of ``POST /api/v1/studies/``; a draft, which costs nothing until it is published."""
    if not settings.study_url:
        raise StudyError("the panel's file names no study_url; remedy: the public https:// address of study serve")
    codes = [
        (settings.completion_code, "COMPLETED"),
        (settings.screened_out_code, "FAILED_ATTENTION_CHECK"),
        (settings.no_consent_code, "NO_CONSENT"),
    ]
    known = [code for code, _ in codes if code]
    if len(set(known)) != len(known):
        raise StudyError("the panel's file gives one code to two ends; remedy: a code of its own for each")
    return {
        "name": settings.title,
        "internal_name": f"moodarchive {settings.title}"[:120],
        "description": settings.description,
        "external_study_url": study_link(settings, settings.study_url),
        "prolific_id_option": "url_parameters",
        "completion_codes": [
            {"code": code, "code_type": kind, "actions": [{"action": "MANUALLY_REVIEW"}]}
            for code, kind in codes
            if code
        ],
        "total_available_places": places,
        "estimated_completion_time": settings.minutes,
        "reward": int((Decimal(str(settings.reward)) * _HUNDRED).quantize(Decimal(1))),
        "device_compatibility": ["desktop", "tablet", "mobile"],
    }


def write_study(store: Store, design: StudyDesign, items: int, settings: PanelSettings) -> Iterator[str]:
    """Writes study.json; says where, for how many, and what it costs."""
    places = count_places(design, items, settings)
    text = json.dumps(make_study(settings, places), indent=1, ensure_ascii=False) + "\n"
    store.write_bytes(f"{PROLIFIC_FOLDER}/study.json", text.encode())
    hourly = settings.reward / settings.minutes * 60
    yield f"{places} participants of {settings.items} items: {store.root.rstrip('/')}/{PROLIFIC_FOLDER}/study.json"
    yield (
        f"cost with a fee of {settings.fee_percent:g}%: {compute_cost(settings, places)}, without bonuses and tax; "
        f"{hourly:.2f} an hour if {settings.minutes} minutes are enough"
    )


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What happens to one submission. ``submission`` is the panel's own id: it is never written under the root."""

    submission: str
    outcome: str
    says: str = ""


def decide(
    submissions: Sequence[str],
    people: Participants,
    gold: Collection[str],
    hash_id: Hasher,
) -> tuple[list[Decision], list[str]]:
    """One decision a submission of the panel's export, and the names of those who get the bonus.

    Approved: who completed the study. Rejected: who answered too many gold questions wrongly on the way. A submission
    that never came here is unknown.
    """
    of_submission = {one.submission: one for one in people.everyone()}
    decisions, excellent = [], []
    for submission in submissions:
        person = of_submission.get(hash_id(submission))
        work = people.work_of(person.name, gold) if person else Work(gold=0, passed=0, items=0)
        decision = _decide(submission, person, work)
        decisions.append(decision)
        if decision.outcome == "approve" and work.gold >= FEWEST_GOLD and work.passed == work.gold:
            excellent.append(submission)
    return decisions, excellent


def _decide(submission: str, person: Participant | None, work: Work) -> Decision:
    if person is None:
        return Decision(submission=submission, outcome="unknown", says="nobody came here with this submission")
    if person.state == SCREENED_OUT:
        return Decision(submission=submission, outcome="screened-out")
    if person.state != COMPLETED:
        says = "did not agree" if person.state == DECLINED else f"left after {work.items} items"
        return Decision(submission=submission, outcome="incomplete", says=says)
    if work.gold >= FEWEST_GOLD and work.passed < PASSED_TO_APPROVE * work.gold:
        says = _REJECTED.format(failed=work.gold - work.passed, asked=work.gold)
        return Decision(submission=submission, outcome="reject", says=says)
    return Decision(submission=submission, outcome="approve")


def settle(
    store: Store,
    ledger: Ledger,
    gold: Collection[str],
    settings: PanelSettings,
    *,
    export: str,
    output: str,
    hash_id: Hasher,
) -> Iterator[str]:
    """Writes approve.csv, reject.csv, bonus.csv and others.csv by submission into ``output``; tells attention and pay.

    They hold the panel's ids, and therefore stand outside the root.
    """
    top = Path(output).resolve()
    if not output or (store.is_local and top.is_relative_to(Path(store.path("")).resolve())):
        raise StudyError("--output must be a folder outside the root; remedy: the files name the panel's submissions")
    submissions = _read_submissions(export)
    people = Participants(ledger, places=0, idle=0.0, closes=float("inf"))
    decisions, excellent = decide(submissions, people, gold, hash_id)
    top.mkdir(parents=True, exist_ok=True)
    rows = {
        "approve": [[one.submission] for one in decisions if one.outcome == "approve"],
        "reject": [[one.submission, one.says] for one in decisions if one.outcome == "reject"],
        "bonus": [[one, f"{settings.bonus:.2f}"] for one in excellent if settings.bonus],
        "others": [[one.submission, one.outcome, one.says] for one in decisions if one.outcome in _OTHERS],
    }
    for name, lines in rows.items():
        (top / f"{name}.csv").write_text(_to_csv(_HEADINGS[name], lines), "utf-8")
    yield ", ".join(f"{name} {len(lines)}" for name, lines in rows.items()) + f": {top}"
    yield from _describe_work(people.everyone(), ledger.answers(), people, gold, settings)


_OTHERS = ("screened-out", "incomplete", "unknown")
_HEADINGS = {
    "approve": ("submission",),
    "reject": ("submission", "message"),
    "bonus": ("submission", "amount"),
    "others": ("submission", "outcome", "detail"),
}


def _describe_work(
    everyone: Sequence[Participant], answers: Sequence[KeptAnswer], people: Participants, gold: Collection[str],
    settings: PanelSettings,
) -> Iterator[str]:  # fmt: skip
    finished = [one for one in everyone if one.state == COMPLETED]
    work = [people.work_of(one.name, gold) for one in everyone]
    asked, passed = sum(one.gold for one in work), sum(one.passed for one in work)
    if asked:
        yield f"attention: {passed} of {asked} gold questions answered rightly"
    seconds = median_seconds([one for one in answers if one.item not in gold], {one.name for one in finished})
    times = [one.ended - one.joined for one in finished if one.ended and one.ended > one.joined]
    if seconds is not None and times:
        yield (
            f"time: {seconds:.0f} s an item and {median(times) / 60:.1f} minutes in all (medians of who completed it); "
            f"that pays {settings.reward / (median(times) / 3_600):.2f} an hour"
        )


def _read_submissions(path: str) -> list[str]:
    """The submissions' ids of Prolific's export (CSV)."""
    try:
        text = Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} cannot be read: {error}; remedy: download the submissions as CSV") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    heading = [name.strip().lower() for name in next(reader, [])]
    column = next((heading.index(name) for name in _SUBMISSION_COLUMNS if name in heading), None)
    if column is None:
        raise StudyError(f"{path} has no column Submission id; remedy: download the submissions as CSV")
    return [row[column].strip() for row in reader if len(row) > column and row[column].strip()]


def _to_csv(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(heading)
    writer.writerows(rows)
    return sink.getvalue()
