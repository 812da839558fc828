"""MEND's editor network (Mitchell et al., 2022): turns a gradient's factors into those of an edit.

Ours differs from its public code in two points. The network's answer is taken back into the factors' own scale, so that
an untrained one hands on the very gradient; and the step is subtracted, as in the paper.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from moodarchive.language_edit.factors import Factors

RANK = 1920
STEP = 1e-4
"""Where each weight's learned step begins."""
_EPSILON = 1e-7


class _Block(nn.Module):
    """z + clamp(scale · (U V z + b) + offset, min 0); a mode's scale and offset are its own. U begins with zeros.

    clamp and not relu: its slope at 0 is 1, so that U leaves 0.
    """

    def __init__(self, width: int, rank: int, modes: int) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.zeros(width, rank))
        self.down = nn.Parameter(torch.randn(rank, width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(width)) for _ in range(modes)])
        self.offsets = nn.ParameterList([nn.Parameter(torch.zeros(width)) for _ in range(modes)])

    def forward(self, rows: Tensor, mode: int) -> Tensor:
        """[rows, width]"""
        hidden = (rows @ self.down.T) @ self.up.T + self.bias
        return rows + torch.clamp(self.scales[mode] * hidden + self.offsets[mode], min=0)


class FactorNet(nn.Module):
    """Edits the factors of all weights of one shape; ``mode`` says of which weight."""

    mean: Tensor
    spread: Tensor
    count: Tensor

    def __init__(self, outputs: int, inputs: int, modes: int, rank: int) -> None:
        super().__init__()
        width = inputs + outputs
        self.inputs = inputs
        self.first = _Block(width, min(rank, width), modes)
        self.second = _Block(width, min(rank, width), modes)
        # running statistics in double precision: millions of rows are added up
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("spread", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def forward(self, factors: Factors, mode: int) -> Factors:
        """Rows whose input or delta is all zero come out as zeros; statistics move in training only."""
        given = torch.cat([factors.inputs, factors.deltas], dim=1)
        is_live = (factors.inputs != 0).any(1) & (factors.deltas != 0).any(1)
        if self.training:
            self._notice(given[is_live])
        deviation = self._deviation().to(given)
        normal = (given - self.mean.to(given)) / (deviation + _EPSILON)
        edited = self.second(self.first(normal, mode), mode)
        changed = given + deviation * (edited - normal)
        kept = torch.where(is_live[:, None], changed, 0)
        return Factors(inputs=kept[:, : self.inputs], deltas=kept[:, self.inputs :])

    @torch.no_grad()
    def _notice(self, rows: Tensor) -> None:
        """Welford's sums, many rows at once (Chan et al., 1979)."""
        if not len(rows):
            return
        added = rows.double()
        count = self.count + len(added)
        mean = added.mean(0)
        difference = mean - self.mean
        self.spread += (added - mean).square().sum(0) + difference.square() * (self.count * len(added) / count)
        self.mean += difference * (len(added) / count)
        self.count.copy_(count)

    def _deviation(self) -> Tensor:
        """Ones until two rows were seen."""
        if self.count < 2:
            return torch.ones_like(self.spread)
        return (self.spread / (self.count - 1)).sqrt()


class GradientEditor(nn.Module):
    """W' = W - step · deltas'ᵀ inputs', by a net for each shape, a mode and a step for each weight."""

    def __init__(self, shapes: Mapping[str, tuple[int, int]], rank: int = RANK, step: float = STEP) -> None:
        """``shapes`` [out, in] by the weights' names."""
        super().__init__()
        modes: dict[tuple[int, int], list[str]] = {}
        for name, shape in shapes.items():
            modes.setdefault(shape, []).append(name)
        self._where = {
            name: (f"{shape[0]}x{shape[1]}", mode) for shape, names in modes.items() for mode, name in enumerate(names)
        }
        self._numbers = {name: number for number, name in enumerate(shapes)}
        self.nets = nn.ModuleDict(
            {f"{out}x{into}": FactorNet(out, into, len(names), rank) for (out, into), names in modes.items()}
        )
        self.steps = nn.Parameter(torch.full((len(shapes),), float(step)))

    def forward(self, weights: Mapping[str, Tensor], factors: Mapping[str, Factors]) -> dict[str, Tensor]:
        """The edited weights, by name; ``weights`` themselves stay."""
        edited = {}
        for name, own in weights.items():
            net, mode = self._where[name]
            changed: Factors = self.nets[net](factors[name], mode)
            edited[name] = own - self.steps[self._numbers[name]] * changed.gradient()
        return edited
