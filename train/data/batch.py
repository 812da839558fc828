"""What a step is given: n samples as tensors."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from train.data.texts import Texts


class Batch(NamedTuple):
    """n samples as tensors."""

    pixels: Tensor
    """[n, H, W, 3] bytes"""
    texts: Texts
    """n texts of all five sentences; then, where a loss reads them, n of summary and assessment, and 3 n stimuli"""
    present: Tensor
    """[n, 3], False where a caption has fewer stimuli"""

    def on(self, device: torch.device) -> "Batch":
        """The batch on the device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The same with every tensor changed."""
        return Batch(change(self.pixels), self.texts.map(change), change(self.present))
