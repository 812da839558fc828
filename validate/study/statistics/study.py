"""A study's answers beside its items, ready for the statistics."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from validate.study.answers.table import read_references, read_table
from validate.study.design.items import Item, read_items
from validate.study.design.questions import CHOICES, COMPONENTS
from validate.study.design.study import CAPTIONS, StudyDesign, read_design
from validate.study.statistics.judgements import Judgements, judgements
from validate.study.statistics.rates import Design, make_design


@dataclass(frozen=True, kw_only=True)
class Study:
    """The design, every item by name, all answers and the researcher's own (columns of study/captions/answers)."""

    design: StudyDesign
    items: dict[str, Item]
    table: pa.Table
    references: pa.Table

    @cached_property
    def answers(self) -> Judgements:
        """The answers about the archive; gold questions left out."""
        return self._judgements(gold=False)

    @cached_property
    def gold(self) -> Judgements | None:
        """The answers to gold questions; None when there are none."""
        names = [name for name, item in self.items.items() if item.gold]
        if not pc.any(pc.is_in(self.table["item"], value_set=pa.array(names, pa.string()))).as_py():
            return None
        return self._judgements(gold=True)

    @cached_property
    def answered(self) -> list[Item]:
        """The items of ``answers``, in its order."""
        return [self.items[name] for name in self.answers.items]

    @cached_property
    def sampling(self) -> Design:
        """How the answered items stand for the archive."""
        return make_design([item.stratum for item in self.answered], [item.population for item in self.answered])

    def _judgements(self, *, gold: bool) -> Judgements:
        names = [name for name, item in self.items.items() if item.gold == gold]
        rows = self.table.filter(pc.is_in(self.table["item"], value_set=pa.array(names, pa.string())))
        accurate = np.stack([rows[name].to_numpy() for name in COMPONENTS], axis=1).astype(np.bool_)
        choice = pc.index_in(rows["choice"], value_set=pa.array(CHOICES)).to_numpy()
        return judgements(
            rows["item"].to_pylist(), rows["worker"].to_pylist(), choice, accurate, rows["left"].to_numpy()
        )


def load_study(store: Store) -> Study:
    """The caption study under the root; StudyError while nobody has answered."""
    design = read_design(store, CAPTIONS)
    # an item without a caption was taken down: nothing is said about it any more
    items = {item.item: item for item in read_items(store) if item.summary}
    table = read_table(store, CAPTIONS)
    ordinary = pa.array([name for name, item in items.items() if not item.gold], pa.string())
    if not pc.any(pc.is_in(table["item"], value_set=ordinary)).as_py():
        raise StudyError(f"{store.root}: nobody has answered yet; remedy: moodarchive study import {store.root}")
    return Study(design=design, items=items, table=table, references=read_references(store, CAPTIONS))
