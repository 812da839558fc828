"""Compiles the towers' blocks with torch.compile, and finds out before the first step whether this machine can.

Blocks are compiled, not the whole model: all blocks of a tower share one compiled function, which serves all groups of
texts. A whole model would be compiled anew for each new division of a batch's texts into groups.
"""

from typing import Any

import torch
from torch import Tensor, nn

from moodarchive.errors import ConfigError


def compile_blocks(clip: nn.Module, *, backend: Any = "inductor") -> None:
    """Each transformer block compiles itself at its first call; a ResNet's vision tower stays as it is.

    Parameters keep their names. ``backend`` is torch.compile's.
    """
    torch.compiler.reset()  # what an earlier run of this process compiled counts against torch's limit for each block
    for name, block in clip.named_modules():
        if "resblocks" in name.split(".")[-2:-1]:
            block.compile(backend=backend)


def of_any_size(tensor: Tensor, *axes: int) -> Tensor:
    """The tensor; a block that is compiled with it will serve other sizes of these axes, too."""
    torch._dynamo.maybe_mark_dynamic(tensor, axes)
    return tensor


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
