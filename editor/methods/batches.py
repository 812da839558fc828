"""Which edits share a pass through the model, and the steps that are reported while they are made."""

from collections.abc import Sequence
from dataclasses import dataclass

from editor.edit import Edit, EditStopped, Progress, Stopped
from editor.methods.canvas import working_size


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Edits of one working size, (width, height), by their places in the call."""

    size: tuple[int, int]
    indices: tuple[int, ...]


def batches(edits: Sequence[Edit], side: int, multiple: int, most: int) -> list[Batch]:
    """All edits, those of one working size together in groups of at most ``most``."""
    sizes: dict[tuple[int, int], list[int]] = {}
    for index, edit in enumerate(edits):
        sizes.setdefault(working_size(edit.image.size, side, multiple), []).append(index)
    return [
        Batch(size=size, indices=tuple(indices[first : first + most]))
        for size, indices in sizes.items()
        for first in range(0, len(indices), most)
    ]


@dataclass(kw_only=True)
class Steps:
    """Counts steps over all batches, tells the caller, and stops when the caller wants."""

    total: int
    progress: Progress
    stopped: Stopped
    done: int = 0

    def begin(self) -> None:
        """Before a step; EditStopped when there shall be none."""
        if self.stopped():
            raise EditStopped(f"stopped after {self.done} of {self.total} steps")

    def end(self) -> None:
        self.done += 1
        self.progress(self.done, self.total)
