"""Gold questions: a picture beside the caption of quite another one, which an attentive worker refuses."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from moodarchive.emotions.taxonomy import EKMAN
from moodarchive.tables.keys import digest
from validate.study.design.items import Item
from validate.study.design.pictures import Pictures

TRAINING = 2
"""The first gold questions are worked examples on the training page, and are not asked."""
FEWEST = 6


class _Asked(Protocol):
    @property
    def gold(self) -> float: ...
    @property
    def seed(self) -> int: ...


def make_gold(fresh: Sequence[Item], items: Sequence[Item], options: _Asked) -> list[Item]:
    """The gold questions for so many fresh items, each made of two of them; none where no two are unlike enough."""
    had = sum(item.gold for item in items)
    asked = len(fresh) + len(items) - had
    wanted = max(FEWEST, round(options.gold * asked)) - had if options.gold else 0
    made: list[Item] = []
    for index, item in enumerate(fresh):
        if len(made) >= wanted:
            break
        other = _unlike(item, fresh, index)
        if other is not None:
            name = digest(["gold", options.seed, item.key])
            made.append(
                replace(
                    item,
                    item=name,
                    gold=True,
                    summary=other.summary,
                    stimuli=other.stimuli,
                    assessment=other.assessment,
                )
            )
    return made


def _unlike(item: Item, fresh: Sequence[Item], index: int) -> Item | None:
    """The next item of another basic emotion, another kind of motif and another summary."""
    for other in (*fresh[index + 1 :], *fresh[:index]):
        if other.context != item.context and EKMAN.get(other.emotion) != EKMAN.get(item.emotion):
            return other
    return None


def select_examples(items: Sequence[Item]) -> tuple[str, ...]:
    """The gold questions that serve as worked examples: the first of them, in the order in which they came."""
    return tuple(item.item for item in items if item.gold)[:TRAINING]


def select_asked(items: Sequence[Item], pictures: Pictures) -> list[Item]:
    """The items that vendors ask: whose picture is in the archive, worked examples left out."""
    examples = select_examples(items)
    return [item for item in items if item.item not in examples and item.key in pictures]
