"""The texts of one batch packed end to end into one sequence, so that nothing is computed on padding."""

from collections.abc import Callable, Sequence
from itertools import chain, groupby
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Texts(NamedTuple):
    """Token ids of all texts in one sequence of T tokens, shorter texts first."""

    tokens: Tensor
    """[T]"""
    positions: Tensor
    """[T]: each token's position in its text"""
    bounds: Tensor
    """[texts + 1], int32: where each packed text begins, and where the last one ends"""
    ranks: Tensor
    """[texts]: which of the packed texts each given one is"""
    runs: tuple[tuple[int, int], ...]
    """How many texts follow each other with which same length"""

    def map(self, change: Callable[[Tensor], Tensor]) -> "Texts":
        """The same with every tensor changed."""
        return Texts(change(self.tokens), change(self.positions), change(self.bounds), change(self.ranks), self.runs)


def pack_texts(texts: Sequence[Sequence[int]]) -> Texts:
    """The texts, none of them empty, in one sequence."""
    lengths = np.array([len(text) for text in texts])
    order = np.argsort(lengths, kind="stable")
    bounds = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(lengths[order], out=bounds[1:])
    tokens = np.array(list(chain.from_iterable(texts[index] for index in order)), dtype=np.int64)
    positions = np.arange(len(tokens)) - np.repeat(bounds[:-1], lengths[order])
    ranks = np.empty(len(texts), dtype=np.int64)
    ranks[order] = np.arange(len(texts))
    return Texts(
        tokens=torch.from_numpy(tokens),
        positions=torch.from_numpy(positions),
        bounds=torch.from_numpy(bounds.astype(np.int32)),
        ranks=torch.from_numpy(ranks),
        runs=tuple((len(list(run)), length) for length, run in groupby(lengths[order].tolist())),
    )


def unpack_texts(texts: Texts) -> list[list[int]]:
    """The token ids of each text, in the order in which the texts were given."""
    tokens, bounds = texts.tokens.tolist(), texts.bounds.tolist()
    return [tokens[bounds[rank] : bounds[rank + 1]] for rank in texts.ranks.tolist()]
