"""All answers of a study as arrays: who said what about which item."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from validate.study.design.questions import CHOICES, COMPONENTS, GENERATED

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Judgements:
    """Answers sorted by item; element a of every array belongs to answer a.

    ``item`` and ``worker`` are places in ``items`` and ``workers``; ``choice`` is a place in CHOICES; ``accurate`` is
    answers x 5; ``left`` is True where the generated caption was shown first.
    """

    items: tuple[str, ...]
    workers: tuple[str, ...]
    item: Ints
    worker: Ints
    choice: Ints
    accurate: Bools
    left: Bools

    @cached_property
    def starts(self) -> Ints:
        """Where each item's answers begin; every item has at least one."""
        return np.flatnonzero(np.diff(self.item, prepend=-1))

    @cached_property
    def answers_of_worker(self) -> Ints:
        """Answers by worker."""
        return np.bincount(self.worker, minlength=len(self.workers))

    def of_items(self, values: Floats) -> Floats:
        """Sums of a value an answer (answers x anything) over each item."""
        return np.asarray(np.add.reduceat(values, self.starts, axis=0))


def judgements(item: Sequence[str], worker: Sequence[str], choice: Ints, accurate: Bools, left: Bools) -> Judgements:
    """Arrays from names; items and workers in the order of their names."""
    items, item_place = np.unique(np.asarray(item, dtype=str), return_inverse=True)
    workers, worker_place = np.unique(np.asarray(worker, dtype=str), return_inverse=True)
    order = np.lexsort((worker_place, item_place))
    assert accurate.shape == (len(order), len(COMPONENTS))
    return Judgements(
        items=tuple(items.tolist()),
        workers=tuple(workers.tolist()),
        item=item_place[order].astype(np.int64),
        worker=worker_place[order].astype(np.int64),
        choice=choice[order].astype(np.int64),
        accurate=accurate[order],
        left=left[order],
    )


def pass_gold(choice: Ints, accurate: Bools) -> Bools:
    """True for each answer to a gold question that refuses the caption and calls its summary wrong."""
    return np.asarray((choice != CHOICES.index(GENERATED)) & ~accurate[:, 0])
