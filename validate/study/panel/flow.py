"""A participant's way: consent, instructions, the check, so many items, and the code at the end."""

from typing import Any

from validate.study.design.order import turn
from validate.study.page.flow import Welcome
from validate.study.page.ledger import Annotator, Ledger
from validate.study.page.questionnaire import Questionnaire
from validate.study.panel.participants import (
    ACTIVE,
    COMPLETED,
    DECLINED,
    SCREENED_OUT,
    Full,
    Participant,
    Participants,
)
from validate.study.panel.settings import PanelSettings

_SAYS = {
    COMPLETED: "All done. Thank you! Every answer is saved.",
    SCREENED_OUT: "Thank you. Your first answers show that this study does not suit you, so it ends here.",
    DECLINED: "You do not take part, and nothing of yours is kept.",
    "full": "Your place was given to another while you were away. Please return the study at the panel.",
}


class PanelFlow:
    """Gold questions first, which alone decide who goes on; then items that still lack answers."""

    def __init__(
        self, questions: Questionnaire, ledger: Ledger, participants: Participants, settings: PanelSettings, seed: int
    ) -> None:
        self._ledger, self._participants, self._settings, self._seed = ledger, participants, settings, seed
        self._gold = questions.for_everyone()
        self._workers = questions.workers
        self._queue = [item for item in questions.queue() if item not in self._gold]
        self._screening = min(settings.screening, len(self._gold))

    def welcome(self, annotator: Annotator) -> Welcome:
        """The researcher's texts."""
        participant = self._participants.find(annotator.name)
        return Welcome(
            consent=_paragraphs(self._settings.consent),
            instructions=_paragraphs(self._settings.instructions),
            consented=not self._settings.consent or bool(participant and participant.consented),
            may_withdraw=True,
        )

    def consent(self, annotator: Annotator, *, agreed: bool) -> None:
        """Agreed: the study begins. Not: nothing is kept, and the place is free."""
        if agreed:
            self._participants.agree(annotator.name)
        else:
            self._participants.withdraw(annotator.name)

    def next_step(self, annotator: Annotator) -> dict[str, Any]:
        """The next question, or how it ended."""
        name = annotator.name
        participant = self._participants.find(name)
        if participant is None or participant.state != ACTIVE:
            return self._end(participant.state if participant else "full")
        try:
            self._participants.touch(name)
        except Full:
            return self._end("full")
        if not self._has_agreed(participant):
            return {"done": 0, "total": 1, "item": None, "end": None}
        work = self._participants.work_of(name, self._gold)
        if self._screening and work.gold == self._screening and work.passed < self._needed():
            return self._finish(name, SCREENED_OUT)
        item = None if work.items >= self._settings.items else self._choose(name, work.gold, work.items)
        if item is None:
            return self._finish(name, COMPLETED)
        return {
            "done": work.gold + work.items,
            "total": max(work.gold, self._screening) + self._settings.items,
            "item": item,
            "end": None,
        }

    def keep(self, annotator: Annotator, item: str, answer: dict[str, Any]) -> bool:
        """Stores it while the participant takes part; an item that has all its answers takes no further one."""
        participant = self._participants.find(annotator.name)
        if participant is None or participant.state != ACTIVE or not self._has_agreed(participant):
            return False
        return self._ledger.keep(annotator.name, item, answer, most=None if item in self._gold else self._workers)

    def _has_agreed(self, participant: Participant) -> bool:
        return participant.consented or not self._settings.consent

    def _needed(self) -> int:
        return min(self._settings.screening_passes, self._screening)

    def _choose(self, name: str, gold_answered: int, items_answered: int) -> str | None:
        due = self._screening + items_answered // self._settings.gold_every
        hold = 60 * self._settings.hold_minutes
        if gold_answered < due:
            # the same order at every call: each participant has an order of their own
            checks = sorted(self._gold, key=lambda one: turn(self._seed, one, name))
            check = self._ledger.next_item(name, checks, self._gold, self._workers, hold)
            if check is not None:
                return check
        return self._ledger.next_item(name, self._queue, frozenset(), self._workers, hold)

    def _finish(self, name: str, state: str) -> dict[str, Any]:
        self._participants.end(name, state)
        return self._end(state)

    def _end(self, state: str) -> dict[str, Any]:
        settings = self._settings
        codes = {
            COMPLETED: settings.completion_code,
            SCREENED_OUT: settings.screened_out_code,
            DECLINED: settings.no_consent_code,
        }
        code = codes.get(state, "")
        end = {"state": state, "says": _SAYS[state], "code": code, "address": settings.address(code)}
        return {"done": 1, "total": 1, "item": None, "end": end}


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (" ".join(part.split()) for part in text.replace("\r\n", "\n").split("\n\n"))))
