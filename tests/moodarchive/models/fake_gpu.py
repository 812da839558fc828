"""Models on a GPU that is not there: torch's fake tensors, which carry a device and raise where two devices meet.

The device is a backend of its own without kernels, because a torch that was built for CPUs refuses parts of "cuda".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import backend_registration


@contextmanager
def fake_gpu(monkeypatch: pytest.MonkeyPatch, *models: Any) -> Iterator[torch.device]:
    """Moves the models there. Tensors that are made on the CPU stay there until somebody moves them, as on a GPU.

    What comes back to numpy is zeros of the right shape, and only from the CPU.
    """
    device, real = _device(), torch.from_numpy
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        monkeypatch.setattr(FakeTensor, "numpy", _zeros, raising=False)
        monkeypatch.setattr(torch, "from_numpy", lambda array: mode.from_tensor(real(array)))
        for model in models:
            for module in model.modules():
                for held in (module._parameters, module._buffers):
                    for name, tensor in held.items():
                        if tensor is not None:
                            moved = mode.from_tensor(tensor.detach()).to(device)
                            held[name] = torch.nn.Parameter(moved, False) if held is module._parameters else moved
        yield device


@cache
def _device() -> torch.device:
    """Registered once a process."""
    backend_registration._setup_privateuseone_for_python_backend("pretended")  # type: ignore[no-untyped-call]
    # the rest of the process takes it for the machine's accelerator: gradient checkpoints ask it for its autocast
    torch.pretended.get_amp_supported_dtype = lambda: [torch.bfloat16]  # type: ignore[attr-defined]
    return torch.device("pretended", 0)


def _zeros(tensor: torch.Tensor) -> Any:
    if tensor.device.type != "cpu":
        raise TypeError(f"a tensor on {tensor.device} has no numpy view")
    return np.zeros(tuple(tensor.shape), np.float32 if tensor.dtype.is_floating_point else np.uint8)
