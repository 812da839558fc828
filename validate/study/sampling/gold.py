"""Gold questions: a picture beside the caption of quite another one, which an attentive worker refuses."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from moodarchive.emotions.taxonomy import EKMAN
from moodarchive.keys import digest
from validate.study.items import Item
from validate.study.questions import CHOICES, GENERATED
from validate.study.statistics.judgements import Bools, Ints

TRAINING = 2
"""The first gold questions are worked examples on the training page, and are not asked."""
FEWEST = 6


class _Asked(Protocol):
    @property
    def gold(self) -> float: ...
    @property
    def seed(self) -> int: ...


def gold_items(fresh: Sequence[Item], items: Sequence[Item], options: _Asked) -> list[Item]:
    """The gold questions for so many fresh items, each made of two of them; none where no two are unlike enough."""
    had = sum(item.gold for item in items)
    asked = len(fresh) + len(items) - had
    wanted = max(FEWEST, round(options.gold * asked)) - had if options.gold else 0
    found: list[Item] = []
    for place, item in enumerate(fresh):
        if len(found) >= wanted:
            break
        other = _unlike(item, fresh, place)
        if other is not None:
            name = digest(["gold", options.seed, item.key])
            found.append(
                replace(
                    item,
                    item=name,
                    gold=True,
                    summary=other.summary,
                    stimuli=other.stimuli,
                    assessment=other.assessment,
                )
            )
    return found


def _unlike(item: Item, fresh: Sequence[Item], place: int) -> Item | None:
    """The next item of another basic emotion, another kind of motif and another summary."""
    for other in (*fresh[place + 1 :], *fresh[:place]):
        if other.context != item.context and EKMAN.get(other.emotion) != EKMAN.get(item.emotion):
            return other
    return None


def is_passed(choice: Ints, accurate: Bools) -> Bools:
    """True for each answer to a gold question that refuses the caption and calls its summary wrong."""
    return np.asarray((choice != CHOICES.index(GENERATED)) & ~accurate[:, 0])
