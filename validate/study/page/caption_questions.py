"""The caption study as the page asks it: two texts side by side, then the caption's five sentences."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from validate.study.design.items import Item
from validate.study.design.order import generated_first, turn
from validate.study.design.pictures import Pictures
from validate.study.design.questions import GENERATED, NEITHER, ORIGINAL, REASONS, judgement_problem
from validate.study.design.study import CAPTIONS, StudyDesign
from validate.study.sampling.gold import select_examples


@dataclass(frozen=True)
class CaptionQuestions:
    """The items of a study whose pictures are still in the archive."""

    design: StudyDesign
    items: dict[str, Item]
    pictures: Pictures

    @property
    def kind(self) -> str:
        """Names the template."""
        return CAPTIONS

    @property
    def workers(self) -> int:
        """Annotators an item."""
        return self.design.workers

    @cached_property
    def _examples(self) -> tuple[str, ...]:
        return select_examples(list(self.items.values()))

    def queue(self) -> list[str]:
        """Items in an order drawn by lot, gold questions among them; doubtful pictures come before all others."""
        shown = [item for item in self.items.values() if item.key in self.pictures and item.item not in self._examples]
        shown.sort(key=lambda item: (not item.is_doubtful, turn(self.design.seed, item.item)))
        return [item.item for item in shown]

    def for_everyone(self) -> frozenset[str]:
        """The gold questions."""
        return frozenset(name for name, item in self.items.items() if item.gold and name not in self._examples)

    def describe(self, item: str, viewer: str) -> dict[str, Any]:
        """The texts by place, the sentences, and the credit that the picture's licence asks for."""
        one = self.items[item]
        both = (one.caption, one.original)
        left, right = both if generated_first(self.design.seed, item, viewer) else reversed(both)
        return {"item": item, "picture": item, "left": left, "right": right, "sentences": one.sentences, **_credit(one)}

    def read_answer(self, item: str, viewer: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The answer in the archive's words."""
        left = generated_first(self.design.seed, item, viewer)
        places = {"left": GENERATED if left else ORIGINAL, "right": ORIGINAL if left else GENERATED, NEITHER: NEITHER}
        chosen = body.get("choice")
        choice = places.get(chosen) if isinstance(chosen, str) else None
        given = {name: body.get(name, "") for name in ("accurate", "reason", "comment")}
        if judgement_problem(choice, given["accurate"], given["reason"], given["comment"]):
            return None
        return {"choice": choice, "left": left, **given}

    def examples(self) -> list[dict[str, Any]]:
        """Gold questions that are not asked: their caption belongs to another picture."""
        return [self.describe(name, "training") for name in self._examples if self.items[name].key in self.pictures]

    def reasons(self) -> dict[str, str]:
        """What may be wrong with a caption."""
        return REASONS

    def read_picture(self, name: str) -> bytes:
        """The JPEG of an item."""
        return self.pictures.read(self.items[name].key)


def _credit(item: Item) -> dict[str, str]:
    return {"creator": item.creator, "licence": item.licence, "title": item.title}
