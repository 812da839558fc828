"""The denoiser: made, and taught to name the noise in a latent, given a prompt's states."""

import random
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from train.diffusion.pictures import Pictures, generator_of_step, rows_of_step
from train.diffusion.settings import DenoiserSettings

SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "epsilon",
}
"""Stable Diffusion 1.5's."""


def open_levels(scheduler: Path) -> Tensor:
    """abar [1000] of a base's folder of its scheduler."""
    from moodarchive.diffusion.parts import diffusion_library

    cls: Any = diffusion_library().DDIMScheduler
    levels: Tensor = cls.from_config(cls.load_config(scheduler)).alphas_cumprod
    return levels


def own_levels() -> Tensor:
    """abar [1000] of ``SCHEDULER``."""
    from moodarchive.diffusion.parts import diffusion_library

    levels: Tensor = diffusion_library().DDIMScheduler.from_config(SCHEDULER).alphas_cumprod
    return levels


class Texts(Protocol):
    """A text tower; ``moodarchive.diffusion.text.TextTower`` is one."""

    width: int

    def tokens(self, texts: Sequence[str]) -> list[list[int]]: ...

    def ids(self, tokens: Sequence[Sequence[int]]) -> Tensor: ...

    def states(self, ids: Tensor) -> Tensor: ...


class KeptStates:
    """A tower whose states are kept: the same prompts come again and again."""

    def __init__(self, tower: Texts, most: int = 3000) -> None:
        self._tower, self._most = tower, most
        self._kept: OrderedDict[str, Tensor] = OrderedDict()

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """float32 [prompts, context, width]."""
        if lacking := [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._kept]:
            # cloned, because what inference mode made cannot be trained on
            states = self._tower.states(self._tower.ids(self._tower.tokens(lacking))).float().clone()
            self._kept |= dict(zip(lacking, states, strict=True))
        rows = torch.stack([self._kept[prompt] for prompt in prompts])
        for prompt in prompts:
            self._kept.move_to_end(prompt)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return rows


def make_denoiser(settings: DenoiserSettings, *, channels: int, side: int, text_width: int, seed: int) -> Any:
    """A diffusers UNet2DConditionModel with random weights of the seed, for latents of ``side`` cells."""
    from moodarchive.diffusion.parts import diffusion_library

    torch.manual_seed(seed)
    coarser = len(settings.widths) - 1
    unet = diffusion_library().UNet2DConditionModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=settings.widths,
        layers_per_block=settings.layers,
        down_block_types=("CrossAttnDownBlock2D",) * coarser + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * coarser,
        cross_attention_dim=text_width,
        attention_head_dim=settings.heads,
        norm_num_groups=settings.groups,
    )
    return unet.to(memory_format=torch.channels_last)  # a tenth faster


class DenoiserLoss:
    """The loss of a step: the squared error of the predicted noise, weighed by the step's signal."""

    def __init__(
        self,
        *,
        unet: Any,
        latents: Tensor,
        pictures: Pictures,
        towers: Sequence[Texts],
        settings: DenoiserSettings,
        seed: int,
        precision: torch.autocast,
    ) -> None:
        """``latents`` are scaled, one a picture; of several ``towers`` each takes its turn, one a step."""
        self._unet, self._latents, self._pictures = unet, latents, pictures
        self._states = [KeptStates(tower) for tower in towers]
        self._settings, self._seed, self._precision = settings, seed, precision
        self._abar = own_levels()

    def __call__(self, step: int) -> Tensor:
        """A scalar."""
        settings, draw = self._settings, generator_of_step(step, self._seed)
        rows = rows_of_step(step, settings.schedule.batch, len(self._pictures), self._seed)
        words = random.Random(f"{self._seed}/{step}")
        prompts = ["" if words.random() < settings.unprompted else self._pictures.prompt(row, words) for row in rows]
        states = self._states[step % len(self._states)](prompts)
        clean = self._latents[rows]
        noise = torch.randn(clean.shape, generator=draw)
        times = torch.randint(len(self._abar), (len(rows),), generator=draw)
        abar = self._abar[times][:, None, None, None]
        noisy = abar.sqrt() * clean + (1 - abar).sqrt() * noise
        device = next(self._unet.parameters()).device
        with self._precision:
            predicted = self._unet(noisy.to(device), times.to(device), encoder_hidden_states=states.to(device)).sample
        errors: Tensor = (predicted.float() - noise.to(device)).square().mean(dim=(1, 2, 3))
        if not settings.snr_gamma:
            return errors.mean()
        signal: Tensor = (abar / (1 - abar)).flatten().to(device)
        return (errors * signal.clamp(max=settings.snr_gamma) / signal).mean()
