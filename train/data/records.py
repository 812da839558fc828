"""What each step did: summed over the ranks on the device, and read from it without making it wait."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from train.data.fingerprint import fingerprint, key_halves
from train.data.samples import Sample
from train.devices.gather import sum_over_ranks, world_size


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One step, counted from 1; losses are means over the batch of all ranks."""

    step: int
    losses: Mapping[str, float]
    keys: str
    """The batch's fingerprint"""
    replaced: int
    """Corrupt samples for which others stood in"""

    @property
    def line(self) -> dict[str, Any]:
        """As the run's log holds it."""
        return {"step": self.step, "keys": self.keys, **self.losses}


@dataclass(frozen=True)
class _Pending:
    step: int
    names: Sequence[str]
    values: Tensor
    copied: torch.cuda.Event | None


class StepRecords:
    """Steps whose figures are on their way.

    A GPU's figures are read while it computes the next step: it always has work, and the reader is a step behind.
    """

    def __init__(self, device: torch.device) -> None:
        self._pending: deque[_Pending] = deque()
        self._behind = 1 if device.type == "cuda" else 0

    def add(self, step: int, losses: Mapping[str, Tensor], samples: Sequence[Sample]) -> Tensor:
        """Takes the rank's figures of a step, counted from 1; returns whether all ranks' loss is finite, a scalar.

        Every rank must call it, since it sums over all.
        """
        total = next(iter(losses.values()))
        halves = key_halves([sample.key for sample in samples])
        counts = torch.tensor([sum(len(sample.replaced) for sample in samples), *halves], dtype=torch.float64)
        if total.is_cuda:
            counts = counts.pin_memory()
        # float64 holds whole numbers up to 2^53: the halves of two million keys
        figures = torch.cat([torch.stack(list(losses.values())).double(), counts.to(total.device, non_blocking=True)])
        sum_over_ranks(figures)
        copied = None
        values = figures
        if total.is_cuda:
            values = torch.empty(figures.shape, dtype=figures.dtype, pin_memory=True)
            values.copy_(figures, non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()
        self._pending.append(_Pending(step, list(losses), values, copied))
        return torch.isfinite(figures[0])

    def read(self, *, everything: bool = False) -> list[StepRecord]:
        """The records that can be read now; with ``everything`` also the last step's, for which a GPU is waited for."""
        records = []
        while len(self._pending) > (0 if everything else self._behind):
            pending = self._pending.popleft()
            if pending.copied is not None:
                pending.copied.synchronize()
            records.append(_record(pending))
        return records


def _record(pending: _Pending) -> StepRecord:
    terms = len(pending.names)
    means = (pending.values[:terms] / world_size()).tolist()
    replaced, low, high = (int(value) for value in pending.values[terms:].tolist())
    return StepRecord(
        step=pending.step,
        losses=dict(zip(pending.names, means, strict=True)),
        keys=f"{fingerprint(low, high):016x}",
        replaced=replaced,
    )
