"""Into how many slices a rank's batch is cut so that a step fits the memory: the same number on all ranks."""

import json
from collections.abc import Callable, Sequence

import torch

from moodarchive.storage.store import Store
from train.data.batch import Batch
from train.devices.gather import max_over_ranks, world_size
from train.step.stepper import Stepper

_REMEMBERED = "checkpoints/slices.json"


class Slicing:
    """The number of slices, which only grows.

    A rank alone doubles it when a step does not fit. Several ranks meet within a step, where one that fails would leave
    the others waiting: they rehearse the first step, each alone, until it fits all of them. A later step that does not
    fit ends the run, and the next run into the same folder begins with twice as many slices.
    """

    def __init__(self, store: Store, slices: int, device: torch.device) -> None:
        self._store, self._device, self.slices = store, device, slices

    def rows_at_once(self, rows: int) -> int:
        """Samples of a slice of a batch of so many."""
        return -(-rows // self.slices)

    def double(self, rows: int) -> bool:
        """False where each of so many rows has a slice of its own already."""
        if self.slices >= rows:
            return False
        self.slices = min(2 * self.slices, rows)
        return True

    def agree(self, stepper: Stepper, rows: int, cut: Callable[[], Sequence[Batch]], *, bf16: bool) -> None:
        """Of several ranks, each with a batch of ``rows`` that ``cut`` slices; OutOfMemoryError when no number fits."""
        self.slices = max_over_ranks(max(self.slices, self._recall(rows)), self._device)
        while max_over_ranks(int(not _fits(stepper, cut, bf16=bf16, device=self._device)), self._device):
            if not self.double(rows):
                raise torch.OutOfMemoryError("a step over a single sample at a time does not fit")

    def remember(self, rows: int) -> None:
        """Has the next run of as many ranks on such a device begin with twice as many slices."""
        wanted = min(2 * self.slices, rows)
        self._store.write_bytes(_REMEMBERED, json.dumps(self._circumstances(rows) | {"slices": wanted}).encode())

    def _recall(self, rows: int) -> int:
        try:
            noted = dict(json.loads(self._store.read_bytes(_REMEMBERED)))
            slices = noted.pop("slices")
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 1
        return slices if isinstance(slices, int) and noted == self._circumstances(rows) else 1

    def _circumstances(self, rows: int) -> dict[str, object]:
        """Under which a number of slices that did not fit will not fit again."""
        name = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "cpu"
        return {"rows": rows, "ranks": world_size(), "device": name}


def free_failed_step(stepper: Stepper, device: torch.device) -> None:
    """Gives back what a step has left that did not fit; call it out of the handler, whose traceback holds tensors."""
    stepper.optimiser.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _fits(stepper: Stepper, cut: Callable[[], Sequence[Batch]], *, bf16: bool, device: torch.device) -> bool:
    try:
        stepper.rehearse(cut(), bf16=bf16)
    except torch.OutOfMemoryError:
        fits = False
    else:
        fits = True
    free_failed_step(stepper, device)
    return fits
