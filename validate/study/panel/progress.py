"""How far a study is while people answer: rates, agreement, attention, pay; from the page's file alone."""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import median

from validate.study.design.questions import GENERATED
from validate.study.page.ledger import KeptAnswer, Ledger
from validate.study.page.questionnaire import Questionnaire
from validate.study.panel.participants import COMPLETED, Participants, passes_gold
from validate.study.panel.settings import PanelSettings

_HOUR = 3_600.0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What the researcher's page shows; None where nothing can be said yet.

    ``agreement`` is the share of pairs of answers to one item that agree on whether its caption is accepted;
    ``attention`` the share of gold questions answered rightly; ``seconds`` the median of an item; ``pay`` an hour's,
    at the median time of who completed.
    """

    wanted: int
    given: int
    items: int
    complete: int
    last_hour: int
    an_hour: float | None
    hours_left: float | None
    agreement: float | None
    attention: float | None
    seconds: float | None
    pay: float | None
    states: tuple[tuple[str, int], ...]

    @property
    def remaining(self) -> int:
        """Answers that are still wanted."""
        return self.wanted - self.given


def measure_progress(
    participants: Participants, ledger: Ledger, questions: Questionnaire, settings: PanelSettings | None
) -> Progress:
    """As things stand now."""
    gold, now = questions.for_everyone(), time.time()
    asked = [item for item in questions.queue() if item not in gold]
    answers = [one for one in ledger.answers() if one.item not in gold]
    checks = [passes_gold(one.answer) for one in ledger.answers() if one.item in gold]
    count = Counter(one.item for one in answers)
    given = sum(min(count[item], questions.workers) for item in asked)
    wanted = len(asked) * questions.workers
    last_hour = sum(one.submitted > now - _HOUR for one in answers)
    began = min((one.began for one in answers), default=now)
    an_hour = len(answers) / max((now - began) / _HOUR, 1 / 60) if answers else None
    people = participants.everyone()
    times = [one.ended - one.joined for one in people if one.state == COMPLETED and one.ended]
    pay = settings.reward / (median(times) / _HOUR) if settings and times and median(times) > 0 else None
    return Progress(
        wanted=wanted,
        given=given,
        items=len(asked),
        complete=sum(count[item] >= questions.workers for item in asked),
        last_hour=last_hour,
        an_hour=an_hour,
        hours_left=(wanted - given) / an_hour if an_hour else None,
        agreement=measure_agreement(answers),
        attention=sum(checks) / len(checks) if checks else None,
        seconds=median(one.submitted - one.began for one in answers) if answers else None,
        pay=pay,
        states=tuple(sorted(Counter(one.state for one in people).items())),
    )


def measure_agreement(answers: Sequence[KeptAnswer]) -> float | None:
    """The share of pairs of answers to one item that say the same of it; None without a pair, or for edits."""
    votes: dict[str, list[bool]] = defaultdict(list)
    for one in answers:
        accurate = one.answer.get("accurate")
        if isinstance(accurate, list):
            votes[one.item].append(one.answer.get("choice") == GENERATED and all(accurate))
    pairs = sum(_pairs(len(said)) for said in votes.values())
    alike = sum(_pairs(sum(said)) + _pairs(len(said) - sum(said)) for said in votes.values())
    return alike / pairs if pairs else None


def median_seconds(answers: Sequence[KeptAnswer], names: Collection[str]) -> float | None:
    """The median time that these annotators looked at an item."""
    times = [one.submitted - one.began for one in answers if one.annotator in names]
    return median(times) if times else None


def _pairs(count: int) -> int:
    return count * (count - 1) // 2
