"""A stepper as the settings want it: the model on its device, compiled, joined with the other ranks'."""

from typing import Any

import torch
from torch import nn

from train.data.batch import Reads
from train.devices.gather import world_size
from train.model.compiling import compile_blocks, compile_potential
from train.model.moodify_clip import MoodifyClip
from train.model.towers import Towers
from train.settings import LoopSettings, LossSettings, TrainSettings
from train.step.stepper import Stepper


def build_stepper(
    settings: TrainSettings, towers: Towers, device: torch.device, *, steps: int, compiles: bool
) -> Stepper:
    """For a run of so many ``steps``; ``compiles``: the blocks, and on a GPU the search for potentials."""
    clip: Any = towers.clip
    if settings.loop.activation_checkpoints:
        clip.set_grad_checkpointing(True)
    model: nn.Module = MoodifyClip(clip, towers.preprocess_config, embeddings_read(settings.loss)).to(device).train()
    if compiles:
        compile_blocks(model)  # type: ignore[arg-type]
    if world_size() > 1:
        devices = [device.index] if device.type == "cuda" else None
        # a term that is switched off leaves no parameter without gradient: all towers serve the terms that remain
        model = nn.parallel.DistributedDataParallel(model, device_ids=devices)
    find_potential = compile_potential() if compiles and device.type == "cuda" else None
    return Stepper(model, settings.optimiser, settings.loss, steps=steps, find_potential=find_potential)


def embeddings_read(losses: LossSettings) -> Reads:
    """Which embeddings the losses read."""
    return Reads(
        short=losses.reads_short, fine=losses.reads_stimuli, parts=losses.parts, apart=losses.short_text == "sum"
    )


def steps_in_bf16(loop: LoopSettings, device: torch.device) -> bool:
    """Whether a step's products are bfloat16 on this device."""
    return loop.precision == "bf16" or (loop.precision == "auto" and device.type == "cuda")
