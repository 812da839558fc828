"""A resumable loop of steps, one for the autoencoder and one for the denoiser."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import ConfigError, StageError
from moodarchive.storage.store import Store
from train.diffusion.learner import Learner, rate_at
from train.saving.checkpoint import (
    CheckpointWriter,
    Progress,
    check_room,
    check_writable,
    load_newest,
    remedy_for_nan,
)


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What a step did."""

    part: str
    """autoencoder or denoiser."""
    step: int
    steps: int
    loss: float
    seconds: float
    """Since the report before."""


Listener = Callable[[StepReport], None]
Loss = Callable[[int], Tensor]
"""The loss of a step, counted from 0; all of its randomness comes from that number.

Where it has ``terms``, the figures of its last step by name, they are logged, too."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often checkpoints are written and how many are kept."""

    checkpoint_steps: int
    keep: int


def run_steps(
    store: Store, learner: Learner, loss_of: Loss, *, part: str, expected: Progress, pace: Pace, tell: Listener
) -> None:
    """Steps to the end, from the newest checkpoint in ``store`` where there is one.

    ConfigError where the checkpoint is of another run, or the rate has begun to fall and the number of steps was
    changed; StageError for a loss that is not finite.
    """
    check_writable(store)
    with only_writer(Store(f"{store.root.rstrip('/')}/checkpoints")):
        check_room(store, learner.module)
        progress, log = load_newest(store, learner, expected) or (expected, [])
        _require_same_rate(learner, log)
        with CheckpointWriter(store, keep=pace.keep) as writer:
            began = time.monotonic()
            for step in range(progress.step, learner.settings.steps):
                loss = loss_of(step)
                learner.learn(loss, step)
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise StageError(f"{part}: the loss of step {step + 1} is not finite; {remedy_for_nan(step)}")
                log.append(
                    {
                        "step": step + 1,
                        "loss": value,
                        **getattr(loss_of, "terms", {}),
                        "rate": rate_at(step, learner.settings),
                    }
                )
                now = time.monotonic()
                tell(
                    StepReport(part=part, step=step + 1, steps=learner.settings.steps, loss=value, seconds=now - began)
                )
                began = now
                writer.check()
                if (step + 1) % pace.checkpoint_steps == 0 or step + 1 == learner.settings.steps:
                    writer.begin(learner, replace(expected, step=step + 1), log)


def expected_progress(settings: dict[str, Any], *data: str) -> Progress:
    """A run's beginning; its checkpoints are those of equal settings and equal names of the data."""
    return Progress(step=0, settings=settings, seals=data)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """bfloat16 products where the settings and the device have them."""
    enabled = precision == "bf16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def _require_same_rate(learner: Learner, log: list[dict[str, Any]]) -> None:
    if not log:
        return
    step, rate = log[-1]["step"], log[-1]["rate"]
    if abs(rate - rate_at(step - 1, learner.settings)) > 1e-12:
        raise ConfigError(
            f"the learning rate of step {step} was {rate:g}: it had begun to fall, and with other steps it would not "
            "have; remedy: steps and decay_steps as they were, or a checkpoint from before the fall"
        )
