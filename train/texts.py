"""The texts of one batch in groups of like length, so that little is computed on padding."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_GROUPS = 6


class Texts(NamedTuple):
    """Token ids in groups, each padded with zeros to its own longest text."""

    tokens: Tensor
    """[T]: the groups' rows end to end"""
    groups: tuple[tuple[int, int], ...]
    """Rows and padded length of each group"""
    places: Tensor
    """[texts]: where among all rows each text stands, in the order in which the texts were given"""


def grouped(texts: Sequence[Sequence[int]]) -> Texts:
    """The texts, none of them empty, in the at most six groups that leave the least padding."""
    lengths = np.array([len(text) for text in texts])
    order = np.argsort(lengths, kind="stable")
    groups: list[tuple[int, int]] = []
    padded = []
    for rows in np.split(order, _cuts(lengths[order])):
        longest = int(lengths[rows].max())
        groups.append((len(rows), longest))
        tokens = np.zeros((len(rows), longest), dtype=np.int64)
        for row, place in enumerate(rows):
            tokens[row, : lengths[place]] = texts[place]
        padded.append(tokens.ravel())
    places = np.empty(len(texts), dtype=np.int64)
    places[order] = np.arange(len(texts))
    return Texts(torch.from_numpy(np.concatenate(padded)), tuple(groups), torch.from_numpy(places))


def _cuts(ordered: npt.NDArray[np.int64]) -> list[int]:
    """Where to cut ascending lengths, so that the sum of rows x longest over the groups is smallest."""
    longest, first = np.unique(ordered, return_index=True)
    ends = np.append(first[1:], len(ordered))
    begins = np.append(0, ends)  # begins[i]: rows before the group that starts at the i-th length
    cost = np.where(begins[:-1, None] < ends[None], (ends[None] - begins[:-1, None]) * longest[None], np.inf)
    best, came_from = cost[0], []
    for _ in range(min(_GROUPS, len(longest)) - 1):
        # best[j]: the least cost of all rows up to length j; a further group begins at length i
        whole = np.append(np.inf, best[:-1])[:, None] + cost
        came_from.append(whole.argmin(axis=0))
        best = whole.min(axis=0)
    cuts, last = [], len(longest) - 1
    for origin in reversed(came_from):
        start = int(origin[last])
        cuts.append(int(begins[start]))
        last = start - 1
    return cuts[::-1]
