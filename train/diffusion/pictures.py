"""The pictures that a diffusion model learns from, with the words for them."""

import random
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Pictures(Protocol):
    """Square pictures of one size, each with a prompt that may differ from one look to the next."""

    name: str
    """Names all of them: equal names mean equal pictures and words."""

    def __len__(self) -> int: ...

    def pixels(self, rows: Sequence[int]) -> Tensor:
        """uint8 [rows, 3, size, size]."""
        ...

    def prompt(self, row: int, rng: random.Random) -> str:
        """A true description of a row; ``rng`` chooses which."""
        ...


def to_signed(pixels: Tensor) -> Tensor:
    """float32 in [-1, 1] of bytes."""
    return pixels.float() / 127.5 - 1


def rows_of_step(step: int, batch: int, count: int, seed: int) -> list[int]:
    """The rows of a step: every epoch is another order of all rows, drawn from seed and epoch alone."""
    rows: list[int] = []
    first = step * batch
    for epoch in range(first // count, (first + batch - 1) // count + 1):
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
        low, high = max(first, epoch * count), min(first + batch, (epoch + 1) * count)
        rows += order[low - epoch * count : high - epoch * count].tolist()
    return rows


def generator_of_step(step: int, seed: int) -> torch.Generator:
    """All random numbers of a step: a resumed run draws what an unbroken one does."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)
