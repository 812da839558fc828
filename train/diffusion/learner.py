"""A model that learns: its optimiser, its rate at each step, and the moving average of its weights."""

import copy
import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from train.diffusion.settings import ScheduleSettings


class Learner:
    """``module`` holds the ``model`` that learns and its ``average``; checkpoints hold it and ``optimiser``."""

    def __init__(
        self,
        model: nn.Module,
        settings: ScheduleSettings,
        *,
        rate_scales: Mapping[str, float] = MappingProxyType({}),
        clip: float = 1.0,
    ) -> None:
        """``rate_scales`` names parameters whose rate is a multiple of the others'; ``clip``: the most of a gradient's
        norm.
        """
        self.settings = settings
        self._clip = clip
        self.model = model
        self.average = copy.deepcopy(model).requires_grad_(False).eval()
        self.module = nn.ModuleDict({"model": model, "average": self.average})
        named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        learning = [parameter for name, parameter in named.items() if name not in rate_scales]
        decayed = [parameter for parameter in learning if parameter.ndim > 1]
        free = [parameter for parameter in learning if parameter.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": settings.weight_decay},
                {"params": free, "weight_decay": 0.0},
                *(
                    {"params": [named[name]], "weight_decay": 0.0, "rate_scale": scale}
                    for name, scale in rate_scales.items()
                ),
            ],
            lr=settings.learning_rate,
            betas=(0.9, 0.99),
            fused=True,
        )

    def learn(self, loss: Tensor, step: int) -> None:
        """Changes weights and average by the loss of ``step``, counted from 0."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self._clip)
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(step, self.settings) * group.get("rate_scale", 1.0)
        self.optimiser.step()
        # the first weights, which are chance, are soon forgotten
        kept = min(self.settings.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for averaged, own in zip(self.average.parameters(), self.model.parameters(), strict=True):
                averaged.lerp_(own, 1 - kept)


def rate_at(step: int, settings: ScheduleSettings) -> float:
    """The learning rate of a step, counted from 0."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    into_fall = max(0, step + 1 - (settings.steps - settings.decay_steps))
    fallen = min(1.0, into_fall / settings.decay_steps) if settings.decay_steps else 0.0
    share = settings.floor + (1 - settings.floor) * (1 + math.cos(math.pi * fallen)) / 2
    return settings.learning_rate * share
