"""Iterative emotion inference (EmoEditor, arXiv 2403.08255): passes over a picture until it evokes the target.

The public code loops on accepted rounds alone, and may never end, with the distribution of a picture that is no longer
the one it edits; here every round counts, and the distribution is that of what is fed back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from editor.edit import IeiSettings
from editor.methods.similarity import grey_ssim
from moodarchive.diffusion.emotion import direction

Reason = Literal["both", "rounds", "stopped"]
OnePass = Callable[[Sequence[int], Tensor, Tensor], Tensor]
"""(rows, what is fed to them uint8 [B, H, W, 3], directions [B, 8]) -> the edits, uint8 [B, H, W, 3]."""
Predict = Callable[[Tensor], Tensor]
"""uint8 [B, H, W, 3] -> distributions [B, 8]."""
Similarity = Callable[[Tensor, Tensor], float]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the loop returns for a row: the picture, and why it ended.

    ``both``: near enough to the source and sure of the target; ``rounds``: there were no more; ``stopped``: the caller
    wanted no more. ``changed`` is False where no round was accepted and the source is returned.
    """

    pixels: Tensor
    reason: Reason
    rounds: int
    changed: bool
    probability: float
    """Of the target, by the predictor, in the picture that is returned"""


@dataclass(kw_only=True)
class _Row:
    source: Tensor
    target: int
    fed: Tensor
    distribution: Tensor
    best: Tensor | None = None
    best_probability: float = 0.0
    rounds: int = 0
    reason: Reason | None = None
    _source_probability: float = field(init=False)

    def __post_init__(self) -> None:
        self._source_probability = float(self.distribution[self.target])

    def take(self, edit: Tensor, distribution: Tensor, likeness: float, rules: IeiSettings) -> None:
        """Judges a round's edit: keeps it where it is the best accepted one, and feeds it back where it is accepted."""
        self.rounds += 1
        sure = float(distribution[self.target])
        near = rules.ssim_low < likeness < rules.ssim_high
        done = near and sure > rules.confidence
        accepted = done if rules.strict else near or int(distribution.argmax()) == self.target
        if rules.rounds == 1:  # a single pass gives what it gives
            accepted = True
        if accepted:
            self.fed, self.distribution = edit, distribution
            if self.best is None or sure > self.best_probability:
                self.best, self.best_probability = edit, sure
        if done:  # the first that meets both is returned, be an earlier one surer
            self.best, self.best_probability, self.reason = edit, sure, "both"

    def outcome(self) -> Outcome:
        return Outcome(
            pixels=self.source if self.best is None else self.best,
            reason=self.reason or "rounds",
            rounds=self.rounds,
            changed=self.best is not None,
            probability=self._source_probability if self.best is None else self.best_probability,
        )


def edit_iteratively(
    sources: Tensor,
    targets: Sequence[int],
    *,
    one_pass: OnePass,
    predict: Predict,
    rules: IeiSettings,
    stopped: Callable[[], bool] = lambda: False,
    similarity: Similarity | None = None,
) -> list[Outcome]:
    """The loop over sources uint8 [B, H, W, 3], each towards its target class; rows that are done leave the batch.

    What comes back is the first edit that lies in the band and is sure, else the accepted one with the highest
    probability of the target, else the source.
    """
    compare = similarity or (lambda one, other: grey_ssim(one.numpy(), other.numpy(), rules.ssim_window))
    rows = [
        _Row(source=source, target=target, fed=source, distribution=distribution)
        for source, target, distribution in zip(sources, targets, predict(sources), strict=True)
    ]
    for _ in range(rules.rounds):
        going = [index for index, row in enumerate(rows) if row.reason is None]
        if not going:
            break
        if stopped():
            for index in going:
                rows[index].reason = "stopped"
            break
        fed = torch.stack([rows[index].fed for index in going])
        distributions = torch.stack([rows[index].distribution for index in going])
        edits = one_pass(going, fed, direction([rows[index].target for index in going], distributions))
        for index, edit, distribution in zip(going, edits, predict(edits), strict=True):
            rows[index].take(edit, distribution, compare(rows[index].source, edit), rules)
    return [row.outcome() for row in rows]
