"""What studies share whose pictures lie in the study's own folder."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from moodarchive.storage.store import Store
from validate.study.design.order import turn
from validate.study.design.study import StudyDesign

Item = TypeVar("Item")


@dataclass(frozen=True)
class PictureQuestions(ABC, Generic[Item]):
    """Items whose answers nobody knows before; a kind of study says which pictures it has, and where."""

    design: StudyDesign
    items: dict[str, Item]
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
        return frozenset(name for item in self.items.values() for name in self.pictures_of(item))

    @abstractmethod
    def pictures_of(self, item: Item) -> list[str]:
        """The names of an item's pictures."""

    @abstractmethod
    def path_of(self, name: str) -> str:
        """Where a picture lies in the store."""

    def queue(self) -> list[str]:
        """Items in an order drawn by lot."""
        return sorted(self.items, key=lambda name: turn(self.design.seed, name))

    def for_everyone(self) -> frozenset[str]:
        """No item: what people prefer or see has no known answer."""
        return frozenset()

    def examples(self) -> list[dict[str, Any]]:
        """None: the page tells what to do."""
        return []

    def read_picture(self, name: str) -> bytes:
        """A JPEG of the study."""
        if name not in self._names:
            raise KeyError(name)
        return self.store.read_bytes(self.path_of(name))
