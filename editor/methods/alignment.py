"""Which words of the target's prompt stand in the source's too (prompt-to-prompt's refinement)."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """For each token of the targets its place in the sources: ``indices`` int64 [B, L], ``aligned`` bool [B, L]."""

    indices: Tensor
    aligned: Tensor

    def to(self, device: torch.device) -> "Alignment":
        return Alignment(indices=self.indices.to(device), aligned=self.aligned.to(device))


def align(sources: Sequence[Sequence[int] | None], targets: Sequence[Sequence[int]], end: int) -> Alignment | None:
    """Aligns padded token sequences of one length; None as a source aligns nothing, only Nones give None.

    Tokens up to the end mark are aligned as sequences; the padding behind is, counted from the mark.
    """
    if all(source is None for source in sources):
        return None
    length = len(targets[0])
    indices = torch.zeros(len(targets), length, dtype=torch.long)
    aligned = torch.zeros(len(targets), length, dtype=torch.bool)
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        for index, source_index in _pairs(source, target, end) if source is not None else ():
            indices[row, index], aligned[row, index] = source_index, True
    return Alignment(indices=indices, aligned=aligned)


def _pairs(source: Sequence[int], target: Sequence[int], end: int) -> list[tuple[int, int]]:
    ended, source_ended = list(target).index(end), list(source).index(end)
    matcher = SequenceMatcher(None, list(source[:source_ended]), list(target[:ended]), autojunk=False)
    pairs = [(block.b + step, block.a + step) for block in matcher.get_matching_blocks() for step in range(block.size)]
    behind = min(len(target) - ended, len(source) - source_ended)
    return pairs + [(ended + step, source_ended + step) for step in range(behind)]
