"""Stretches a CLIP text tower from 77 positions to 248, the first 20 untouched (Long-CLIP, ECCV 2024)."""

from typing import Any

PLAIN_CONTEXT = 77
"""Positions of a CLIP text tower that was not stretched."""
KEPT_POSITIONS = 20
"""The positions that short texts use: well trained, and therefore kept exactly and frozen."""
FACTOR = 4


def stretch_context(context: int) -> int:
    """Positions after the stretch: 77 becomes 248."""
    return KEPT_POSITIONS + FACTOR * (context - KEPT_POSITIONS)


def stretch_positions(table: Any) -> Any:
    """[C, W] positional embeddings become [20 + 4 (C - 20), W].

    Position 20 + 4 i + k lies k quarters of the way from old position 20 + i to the next; past the last one the last
    step is continued.
    """
    import torch

    last_step = table[-1] - table[-2]
    ahead = torch.cat([table[KEPT_POSITIONS + 1 :], (table[-1] + last_step)[None]])
    behind = table[KEPT_POSITIONS:]
    quarters = torch.arange(FACTOR, dtype=table.dtype, device=table.device)[None, :, None] / FACTOR
    between = (1 - quarters) * behind[:, None] + quarters * ahead[:, None]
    return torch.cat([table[:KEPT_POSITIONS], between.flatten(0, 1)])


def stretch(model: Any) -> None:
    """Gives an open_clip CLIP the stretched table, its causal mask and context length, in place."""
    import torch

    table = stretch_positions(model.positional_embedding.detach())
    model.positional_embedding = torch.nn.Parameter(table)
    model.context_length = len(table)
    mask = torch.full((len(table), len(table)), -torch.inf, device=table.device).triu_(1)
    model.register_buffer("attn_mask", mask, persistent=False)
