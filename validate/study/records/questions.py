"""The record studies as the page asks them: four checks of an edit, or the best of some candidates."""

from typing import Any

from validate.study.design.order import turn
from validate.study.design.study import CHECKS
from validate.study.page.picture_questions import PictureQuestions
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


class RecordQuestions(PictureQuestions[RecordItem]):
    """The items of a study of checks or of a ranking."""

    def pictures_of(self, item: RecordItem) -> list[str]:
        """All of the record's."""
        return list(item.pictures.values())

    def path_of(self, name: str) -> str:
        """In the folder of the study's kind."""
        return picture_path(self.kind, name)

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

    def questions(self) -> dict[str, str]:
        """The four checks."""
        return QUESTIONS


def candidates_of(item: RecordItem) -> list[str]:
    """The names of a ranking's candidates, in the record's order."""
    return [item.pictures[f"candidate {number}"] for number in range(len(item.notes))]


def is_sound(kind: str, item: RecordItem, answer: dict[str, Any]) -> bool:
    """True for a whole answer to that item."""
    if kind == CHECKS:
        return all(isinstance(answer.get(name), bool) for name in QUESTIONS)
    return answer.get("best") in (NONE, *candidates_of(item))
