"""The edit study as the page asks it: three edits are picked for look, for emotion, and overall."""

from typing import Any

from moodarchive.emotions.taxonomy import words
from validate.study.design.order import turn
from validate.study.design.study import EDITS
from validate.study.edits.items import PICKED, QUESTIONS, EditItem, picture_path
from validate.study.page.picture_questions import PictureQuestions


class EditQuestions(PictureQuestions[EditItem]):
    """The items of an edit study."""

    @property
    def kind(self) -> str:
        """Names the template."""
        return EDITS

    def pictures_of(self, item: EditItem) -> list[str]:
        """The source, and its edits."""
        return [item.source, *_names(item)]

    def path_of(self, name: str) -> str:
        """In the study's folder."""
        return picture_path(name)

    def describe(self, item: str, viewer: str) -> dict[str, Any]:
        """The edits in an order drawn by lot for this viewer, under names that do not tell the method."""
        one = self.items[item]
        shuffled = sorted(_names(one), key=lambda name: turn(self.design.seed, name, viewer))
        return {"item": item, "source": one.source, "emotion": words(one.emotion), "edits": shuffled, "picked": PICKED}

    def read_answer(self, item: str, viewer: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Question → the picked names."""
        picks = {question: body.get(question) for question in QUESTIONS}
        return picks if are_sound(self.items[item], picks) else None

    def questions(self) -> dict[str, str]:
        """What is asked, in order."""
        return QUESTIONS


def are_sound(item: EditItem, picks: dict[str, Any]) -> bool:
    """True when each question has three different edits of the item."""
    return all(
        isinstance(picked, list)
        and len(picked) == PICKED
        and all(isinstance(name, str) for name in picked)
        and len(set(picked) & set(_names(item))) == PICKED
        for picked in (picks.get(question) for question in QUESTIONS)
    )


def _names(item: EditItem) -> list[str]:
    return [edit.name for edit in item.edits]
