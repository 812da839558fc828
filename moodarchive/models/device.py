"""The device that models run on, and what is said when it has no room left or is gone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moodarchive.errors import MoodArchiveError

_CUDA_MARKS = (
    "CUDA error", "CUBLAS_STATUS", "CUDNN_STATUS", "cuDNN error", "NVML", "No CUDA GPUs are available",
    "CUDA failure", "CUDNN failure", "CUBLAS failure",
)  # fmt: skip
"""Of torch's messages, and of onnxruntime's."""
_MEMORY_MARKS = ("CUDA out of memory", "out of memory ; GPU", "Failed to allocate memory for requested buffer")
_OTHERS = "end what else uses this GPU (nvidia-smi lists it)"


def choose_device() -> Any:
    """The first GPU that this process may use, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def explain_device_errors(kind: type[MoodArchiveError], work: str, remedy: str) -> Iterator[None]:
    """Raises ``kind`` for memory that is full (with ``remedy``) and for a GPU that fails; other errors pass through.

    After a CUDA error a process can do nothing more on its GPU: the work has to begin again in a new one.
    """
    try:
        yield
    except MoodArchiveError:
        raise
    except Exception as error:  # torch's are RuntimeErrors, onnxruntime's are plain exceptions of its own
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        kinds = {base.__name__ for base in type(error).__mro__}  # by name: onnxruntime works without torch
        if "OutOfMemoryError" in kinds or any(mark in str(error) for mark in _MEMORY_MARKS):
            raise kind(f"memory has no room for {work}: {reason}; remedy: {remedy}, or {_OTHERS}") from error
        if "AcceleratorError" in kinds or any(mark in str(error) for mark in _CUDA_MARKS):
            raise kind(
                f"the GPU failed during {work}: {reason}; remedy: look whether nvidia-smi still lists it, then run the "
                "same command again: what was finished is kept"
            ) from error
        raise
