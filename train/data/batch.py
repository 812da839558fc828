"""What a step is given: n samples as tensors."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from train.data.texts import Texts


class Reads(NamedTuple):
    """Which texts losses read beside the full captions."""

    short: bool = True
    """Summary and assessment, as one text or ``apart``"""
    fine: bool = True
    """What is held against patches"""
    parts: int = 3
    """J: the 3 stimuli, or all 5 sentences"""
    apart: bool = False

    @property
    def short_texts(self) -> int:
        """Texts of a sample for the short term alone: none where both sentences stand among the J."""
        if not self.short:
            return 0
        return 2 - 2 * (self.fine and self.parts == 5) if self.apart else 1

    @property
    def fine_texts(self) -> int:
        """Texts of a sample that are held against patches."""
        return self.parts * self.fine


ALL_TEXTS = Reads()


class Batch(NamedTuple):
    """n samples as tensors."""

    pixels: Tensor
    """[n, H, W, 3] bytes"""
    texts: Texts
    """n texts of all five sentences; then, where a loss reads them, the short ones, and J n stimuli (``Reads``)"""
    present: Tensor
    """[n, J], False where a caption has fewer stimuli"""

    def on(self, device: torch.device) -> "Batch":
        """The batch on the device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The same with every tensor changed."""
        return Batch(change(self.pixels), self.texts.map(change), change(self.present))
