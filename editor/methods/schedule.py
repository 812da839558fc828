"""The noise levels that an inversion-free edit passes, as the base's own scheduler lays them."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from moodarchive.errors import EditError


@dataclass(frozen=True, kw_only=True)
class Level:
    """One step: ``t`` counts down from the settings' steps to 1, ``timestep`` is the model's own count."""

    t: int
    timestep: int
    abar: float


def levels(folder: Path, steps: int, strength: float) -> list[Level]:
    """The noisiest first; ``strength`` below 1 leaves out the first ones. ``folder`` holds scheduler_config.json.

    A consistency model's scheduler is used as it is; for any other model DDIM's even spacing is, with its betas.
    """
    from diffusers import DDIMScheduler, LCMScheduler

    config, _ = DDIMScheduler.load_config(folder, return_unused_kwargs=True)
    if (kind := config.get("prediction_type", "epsilon")) != "epsilon":
        raise EditError(
            f"{folder}: the model predicts {kind!r}; inversion-free editing needs one that predicts 'epsilon'"
        )
    cls: Any = LCMScheduler if config.get("_class_name") == "LCMScheduler" else DDIMScheduler
    scheduler = cls.from_config(config)
    try:
        scheduler.set_timesteps(steps)
    except ValueError as error:
        raise EditError(f"steps = {steps}: this base cannot take as many: {error}") from None
    passed = [int(timestep) for timestep in scheduler.timesteps]
    found = [
        Level(t=len(passed) - place, timestep=timestep, abar=float(scheduler.alphas_cumprod[timestep]))
        for place, timestep in enumerate(passed)
    ]
    if found[0].abar <= 0:
        raise EditError(f"{folder}: the first step is pure noise (zero terminal SNR), from which no source can be kept")
    return found[-max(1, ceil(strength * len(found))) :]
