"""Whom to approve, reject and thank with a bonus: lists by assignment, for a person to look through and send."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from moodarchive.storage.store import Store
from validate.study.mturk.files import MTURK_FOLDER, to_csv
from validate.study.statistics.study import Study
from validate.study.statistics.verdict import Verdict, WorkerQuality

FEWEST_GOLD = 3
"""Nobody is refused on fewer gold questions than these."""
PASSED_TO_APPROVE, PASSED_FOR_BONUS, SKILL_FOR_BONUS = 0.5, 0.9, 0.85
BONUS_SHARE = 0.2
_SAYS = (
    "Your answers to {failed} of {asked} questions with a known answer were wrong; the guidelines show such questions."
)


@dataclass(frozen=True, kw_only=True)
class Payment:
    """What happens to one assignment."""

    assignment: str
    worker: str
    says: str


def write_payments(store: Store, study: Study, verdict: Verdict) -> tuple[int, int, int]:
    """Writes approve.csv, reject.csv and bonus.csv for MTurk's assignments; returns how many stand in each.

    Workers are named by their hash; MTurk knows them by the assignment.
    """
    of_worker = {worker.worker: worker for worker in verdict.workers}
    approve: list[Payment] = []
    reject: list[Payment] = []
    bonus: list[Payment] = []
    for assignment, name in _assignments(study):
        worker = of_worker.get(name)
        if worker is not None and _has_failed(worker):
            says = _SAYS.format(failed=worker.gold_asked - worker.gold_passed, asked=worker.gold_asked)
            reject.append(Payment(assignment=assignment, worker=name, says=says))
            continue
        approve.append(Payment(assignment=assignment, worker=name, says="Thank you!"))
        if worker is not None and _has_excelled(worker):
            bonus.append(
                Payment(assignment=assignment, worker=name, says=f"{BONUS_SHARE:.0%} of the reward: thank you!")
            )
    for file, payments in (("approve", approve), ("reject", reject), ("bonus", bonus)):
        store.write_bytes(f"{MTURK_FOLDER}/{file}.csv", to_csv(("AssignmentId", "worker", "feedback"), _rows(payments)))
    return len(approve), len(reject), len(bonus)


def _assignments(study: Study) -> Iterator[tuple[str, str]]:
    columns = (study.table[name].to_pylist() for name in ("channel", "assignment", "worker"))
    for channel, assignment, worker in zip(*columns, strict=True):
        if channel.startswith("mturk"):
            yield assignment, worker


def _rows(payments: Iterable[Payment]) -> list[dict[str, str]]:
    return [{"AssignmentId": one.assignment, "worker": one.worker, "feedback": one.says} for one in payments]


def _has_failed(worker: WorkerQuality) -> bool:
    return worker.gold_asked >= FEWEST_GOLD and worker.gold_passed < PASSED_TO_APPROVE * worker.gold_asked


def _has_excelled(worker: WorkerQuality) -> bool:
    enough = worker.gold_asked >= FEWEST_GOLD and worker.gold_passed >= PASSED_FOR_BONUS * worker.gold_asked
    return enough and worker.skill >= SKILL_FOR_BONUS
