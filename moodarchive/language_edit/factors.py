"""The two factors of a weight's gradient: what came into its layer, and the gradient of what came out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False, kw_only=True)
class Factors:
    """Of one weight [out, in]: its gradient is ``deltas.T @ inputs``."""

    inputs: Tensor
    """[rows, in]"""
    deltas: Tensor
    """[rows, out]"""

    def gradient(self) -> Tensor:
        """[out, in]"""
        return self.deltas.T @ self.inputs


@dataclass(eq=False)
class Tapped:
    """What a forward pass leaves at each tapped weight."""

    inputs: dict[str, Tensor] = field(default_factory=dict)
    zeros: dict[str, Tensor] = field(default_factory=dict)
    """Added to each layer's output, so that their gradients are the outputs'"""

    def factors(self, loss: Tensor) -> dict[str, Factors]:
        """By weight, of a loss that this pass led to; neither factor carries a graph."""
        deltas = torch.autograd.grad(loss, list(self.zeros.values()))
        return {
            name: Factors(inputs=self.inputs[name].flatten(0, -2), deltas=delta.flatten(0, -2))
            for name, delta in zip(self.zeros, deltas, strict=True)
        }


@contextmanager
def tap_layers(body: nn.Module, names: Sequence[str]) -> Iterator[Tapped]:
    """Watches the linear layers of these weights while it lasts, whose weights need no gradient themselves."""
    tapped = Tapped()

    def hook_of(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            tapped.inputs[name] = inputs[0].detach()
            tapped.zeros[name] = torch.zeros_like(output, requires_grad=True)
            return output + tapped.zeros[name]

        return hook

    handles = [body.get_submodule(name.removesuffix(".weight")).register_forward_hook(hook_of(name)) for name in names]
    try:
        yield tapped
    finally:
        for handle in handles:
            handle.remove()


def shapes_of(body: nn.Module, names: Sequence[str]) -> Mapping[str, tuple[int, int]]:
    """[out, in] of each weight."""
    return {name: (body.get_parameter(name).shape[0], body.get_parameter(name).shape[1]) for name in names}
