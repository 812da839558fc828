"""Which GPU a rank computes on, and what a GPU's failure means to whoever runs the training."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed

from moodarchive.errors import ConfigError, StageError
from train.devices.gather import rank


def choose_device() -> torch.device:
    """The rank's own GPU, made the process's current one; the CPU where there is none.

    Under torchrun and Ray Train LOCAL_RANK counts a machine's ranks. ConfigError for more ranks than GPUs.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    index, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if gpus == 1:
        index = 0  # Slurm and others show each rank its own GPU alone
    if index >= gpus:
        raise ConfigError(
            f"rank {index} of this machine has no GPU: there are {gpus}; remedy: --nproc-per-node={gpus}, or more GPUs "
            "in CUDA_VISIBLE_DEVICES"
        )
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)  # barriers and kernels that are not told a device take the current one
    return device


@contextmanager
def explain_device_errors(device: torch.device) -> Iterator[None]:
    """StageError with a remedy in place of an error of the GPU, of its memory or of the ranks' network."""
    again = "the same command goes on from the last checkpoint"
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise StageError(
            f"rank {rank()}: {_memory(device)}, and the step needs more ({_first_line(error)}); remedy: "
            "loop.activation_checkpoints = true, a smaller data.batch in a new output, or end what else runs on this "
            f"GPU (nvidia-smi names it); {again}, in more slices where more can be cut"
        ) from error
    except torch.AcceleratorError as error:
        raise StageError(
            f"rank {rank()}: the GPU failed: {_first_line(error)}; remedy: nvidia-smi tells whether it is still "
            f"there and dmesg why not; {again}, on other GPUs, too"
        ) from error
    except distributed.DistError as error:
        raise StageError(
            f"rank {rank()}: the other ranks cannot be reached: {_first_line(error)}; remedy: the first "
            f"rank that failed says why; {again}"
        ) from error


def _memory(device: torch.device) -> str:
    if device.type != "cuda":
        return "the memory is used up"
    free, total = torch.cuda.mem_get_info(device)
    own = torch.cuda.memory_reserved(device)
    whole, ours, theirs = (size / 2**30 for size in (total, own, max(0, total - free - own)))
    return f"the GPU has {whole:.1f} GiB, of which this run holds {ours:.1f} and others {theirs:.1f}"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
