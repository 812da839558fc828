"""The edit study as the page asks it: three edits are picked for look, for emotion, and overall."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from moodarchive.emotions.taxonomy import words
from moodarchive.storage.store import Store
from validate.study.design.order import turn
from validate.study.design.study import EDITS, StudyDesign
from validate.study.edits.items import PICKED, QUESTIONS, EditItem, picture_path


@dataclass(frozen=True)
class EditQuestions:
    """The items of an edit study."""

    design: StudyDesign
    items: dict[str, EditItem]
    store: Store

    @property
    def kind(self) -> str:
        """Names the template."""
        return EDITS

    @property
    def workers(self) -> int:
        """Annotators an item."""
        return self.design.workers

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(name for item in self.items.values() for name in (item.source, *_names(item)))

    def queue(self) -> list[str]:
        """Items in an order drawn by lot."""
        return sorted(self.items, key=lambda name: turn(self.design.seed, name))

    def for_everyone(self) -> frozenset[str]:
        """No item: what people prefer has no known answer."""
        return frozenset()

    def describe(self, item: str, viewer: str) -> dict[str, Any]:
        """The edits in an order drawn by lot for this viewer, under names that do not tell the method."""
        one = self.items[item]
        shuffled = sorted(_names(one), key=lambda name: turn(self.design.seed, name, viewer))
        return {"item": item, "source": one.source, "emotion": words(one.emotion), "edits": shuffled, "picked": PICKED}

    def read_answer(self, item: str, viewer: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Question → the picked names."""
        picks = {question: body.get(question) for question in QUESTIONS}
        return picks if are_sound(self.items[item], picks) else None

    def examples(self) -> list[dict[str, Any]]:
        """None: the page tells what to do."""
        return []

    def questions(self) -> dict[str, str]:
        """What is asked, in order."""
        return QUESTIONS

    def read_picture(self, name: str) -> bytes:
        """A JPEG of the study."""
        if name not in self._names:
            raise KeyError(name)
        return self.store.read_bytes(picture_path(name))


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
