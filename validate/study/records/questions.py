"""The record studies as the page asks them: four checks of an edit, or the best of some candidates."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from moodarchive.storage.store import Store
from validate.study.design.order import turn
from validate.study.design.study import CHECKS, StudyDesign
from validate.study.records.items import RecordItem, picture_path

QUESTIONS = {
    "span": "Does the instruction, or the marked words, name what is to change, and nothing else?",
    "emotion": "Would the edited picture evoke the target emotion?",
    "caption": "Does the edited caption say what the edited picture shows?",
    "picture": "Is the edited picture still the same picture, but for what was to change?",
}
"""The four checks, in this order."""
NONE = "none"
"""The answer of who finds no candidate good."""


@dataclass(frozen=True)
class RecordQuestions:
    """The items of a study of checks or of a ranking."""

    design: StudyDesign
    items: dict[str, RecordItem]
    store: Store

    @property
    def kind(self) -> str:
        """Names the template."""
        return self.design.kind

    @property
    def workers(self) -> int:
        """Annotators an item."""
        return self.design.workers

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(name for item in self.items.values() for name in item.pictures.values())

    def queue(self) -> list[str]:
        """Items in an order drawn by lot."""
        return sorted(self.items, key=lambda name: turn(self.design.seed, name))

    def for_everyone(self) -> frozenset[str]:
        """No item: nobody knows the answers before."""
        return frozenset()

    def describe(self, item: str, viewer: str) -> dict[str, Any]:
        """Texts and names of pictures; candidates in an order drawn by lot for this viewer, without what made them."""
        one = self.items[item]
        asked: dict[str, Any] = {"item": item, "source": one.pictures["source"], **one.texts}
        if self.kind == CHECKS:
            return asked | {"edited": one.pictures["edited"], "span": one.texts.get("span", "")}
        names = candidates_of(one)
        return asked | {"candidates": sorted(names, key=lambda name: turn(self.design.seed, name, viewer))}

    def read_answer(self, item: str, viewer: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Check → yes or no; or ``best``: the picked candidate, or ``none``."""
        names = QUESTIONS if self.kind == CHECKS else ("best",)
        answer = {name: body.get(name) for name in names}
        return answer if is_sound(self.kind, self.items[item], answer) else None

    def examples(self) -> list[dict[str, Any]]:
        """None: the page tells what to do."""
        return []

    def questions(self) -> dict[str, str]:
        """The four checks."""
        return QUESTIONS

    def read_picture(self, name: str) -> bytes:
        """A JPEG of the study."""
        if name not in self._names:
            raise KeyError(name)
        return self.store.read_bytes(picture_path(self.kind, name))


def candidates_of(item: RecordItem) -> list[str]:
    """The names of a ranking's candidates, in the record's order."""
    return [item.pictures[f"candidate {number}"] for number in range(len(item.notes))]


def is_sound(kind: str, item: RecordItem, answer: dict[str, Any]) -> bool:
    """True for a whole answer to that item."""
    if kind == CHECKS:
        return all(isinstance(answer.get(name), bool) for name in QUESTIONS)
    return answer.get("best") in (NONE, *candidates_of(item))
