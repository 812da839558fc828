"""Compiles the towers' blocks and the transport's potentials with torch.compile, where this machine can compile at all.

Blocks are compiled, not the whole model: all blocks of a tower share one compiled function, whatever the batch's texts.
"""

from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from moodarchive.errors import ConfigError
from train.losses import FindPotential, potential_of_stimuli
from train.model.moodify_clip import MoodifyClip


def compile_blocks(model: MoodifyClip, *, backend: Any = "inductor") -> None:
    """Each transformer block is compiled at its first call; a ResNet's vision tower stays as it is.

    Parameters keep their names. ``backend`` is torch.compile's.
    """
    torch.compiler.reset()  # what an earlier run of this process compiled counts against torch's limit for each block
    visual = cast(nn.Module, model.clip.visual)
    for name, block in visual.named_modules():
        if "resblocks" in name.split(".")[-2:-1]:
            block.compile(backend=backend)
    model.text_tower.compile(partial(torch.compile, backend=backend))


def compile_potential(*, backend: Any = "inductor") -> FindPotential:
    """The transport term's search for potentials as one function: a kernel or two a round in place of dozens."""
    return cast(FindPotential, torch.compile(potential_of_stimuli, backend=backend))


def choose_compiling(wish: bool | Literal["auto"], device: torch.device) -> bool:
    """Whether to compile. "auto": on a GPU, where a compiler is there. ConfigError for True where there is none."""
    if wish is False or (wish == "auto" and device.type != "cuda"):
        return False
    try:
        check_compiler(device)
    except ConfigError:
        if wish is True:
            raise
        return False
    return True


def check_compiler(device: torch.device) -> None:
    """ConfigError unless a small function can be compiled for the device, from nothing: about ten seconds of a CPU."""
    from torch._inductor.utils import fresh_cache

    with fresh_cache():
        try:
            torch.compile(_probe)(torch.ones(8, device=device))
        except Exception as error:
            raise ConfigError(
                f"loop.compile = true, but nothing can be compiled for {device.type} on this machine: "
                f"{str(error).splitlines()[0][:200]}; remedy: install a C++ compiler (g++, or what CXX names; for a "
                "GPU gcc and triton), or loop.compile = false"
            ) from error


def _probe(tensor: Tensor) -> Tensor:
    return tensor.sin() + 1
