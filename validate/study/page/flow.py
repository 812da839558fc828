"""What an annotator meets and in which order: the page asks this, the ledger keeps it."""

from dataclasses import dataclass
from typing import Any, Protocol

from validate.study.page.ledger import Annotator, Ledger
from validate.study.page.questionnaire import Questionnaire


@dataclass(frozen=True, kw_only=True)
class Welcome:
    """What stands before the first question, as paragraphs. ``consented``: nothing more is to be agreed to."""

    consent: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    consented: bool = True
    may_withdraw: bool = False


class Flow(Protocol):
    """The way through the study. A browser learns of an item only what ``Questionnaire.describe`` gives."""

    def welcome(self, annotator: Annotator) -> Welcome:
        """The texts before the first question."""
        ...

    def consent(self, annotator: Annotator, *, agreed: bool) -> None:
        """The annotator agreed, or did not, or withdraws."""
        ...

    def next_step(self, annotator: Annotator) -> dict[str, Any]:
        """``done`` and ``total`` for the progress bar; the ``item`` to ask, or None and how it ended (``end``)."""
        ...

    def keep(self, annotator: Annotator, item: str, answer: dict[str, Any]) -> bool:
        """Stores an answer; False when the item was not given to this annotator."""
        ...


class TeamFlow:
    """Annotators of one's own: every item until it has its answers, gold questions for all."""

    def __init__(self, questions: Questionnaire, ledger: Ledger) -> None:
        self._ledger, self._workers = ledger, questions.workers
        self._queue, self._everyone = questions.queue(), questions.for_everyone()

    def welcome(self, annotator: Annotator) -> Welcome:
        """Nothing is to be agreed to."""
        return Welcome()

    def consent(self, annotator: Annotator, *, agreed: bool) -> None:
        """Nothing was asked."""

    def next_step(self, annotator: Annotator) -> dict[str, Any]:
        """The next item that lacks answers."""
        given = (annotator.name, self._queue, self._everyone, self._workers)
        item = self._ledger.next_item(*given)
        done, total = self._ledger.progress(*given)
        return {"done": done, "total": total, "item": item, "end": None}

    def keep(self, annotator: Annotator, item: str, answer: dict[str, Any]) -> bool:
        """Stores it, unless others have given all answers while this annotator was away."""
        most = None if item in self._everyone else self._workers
        return self._ledger.keep(annotator.name, item, answer, most=most)
