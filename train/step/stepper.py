"""One optimiser step: forward, losses over all ranks, backward, update; in slices when the batch does not fit."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn

from train.data.batch import Batch
from train.devices.gather import without_other_ranks
from train.losses import FindPotential
from train.model.moodify_clip import Embeddings
from train.settings import LossSettings, OptimiserSettings
from train.step.objective import objective

LARGEST_LOG_SCALE = math.log(100)


class Stepper:
    """Holds the model (a MoodifyClip, or one in DistributedDataParallel) and its optimiser; never waits for a GPU."""

    def __init__(
        self,
        model: nn.Module,
        settings: OptimiserSettings,
        losses: LossSettings,
        *,
        steps: int,
        find_potential: FindPotential | None = None,
    ) -> None:
        """``find_potential`` is handed to the transport term (``optimal_transport``)."""
        self.model, self.settings, self.losses, self.steps = model, settings, losses, steps
        self.find_potential = find_potential
        self.clip = cast(nn.Module, getattr(model, "module", model).clip)
        self.optimiser = torch.optim.AdamW(
            parameter_groups(self.clip, settings.weight_decay),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.epsilon,
            fused=True,
        )

    @property
    def module(self) -> nn.Module:
        """What a checkpoint keeps."""
        return self.clip

    def __call__(self, slices: Sequence[Batch], step: int, *, bf16: bool) -> dict[str, Tensor]:
        """``backward`` and ``update`` by the rank's own loss."""
        losses = self.backward(slices, bf16=bf16)
        self.update(step, torch.isfinite(losses["loss"]))
        return losses

    def backward(self, slices: Sequence[Batch], *, bf16: bool) -> dict[str, Tensor]:
        """The gradients of the rank's batch, given in slices; returns the total (``loss``) and each term, detached."""
        self.optimiser.zero_grad(set_to_none=True)
        precision = torch.autocast(slices[0].pixels.device.type, torch.bfloat16, enabled=bf16)
        total, terms = self._whole(slices[0], precision) if len(slices) == 1 else self._sliced(slices, precision)
        return {"loss": total, **terms}

    def rehearse(self, slices: Sequence[Batch], *, bf16: bool) -> None:
        """Takes the memory of a whole step, the optimiser's state included, without other ranks; changes nothing."""
        buffers = {name: buffer.clone() for name, buffer in self.clip.named_buffers()}
        model, self.model = self.model, cast(nn.Module, getattr(self.model, "module", self.model))
        try:
            with without_other_ranks():
                self.backward(slices, bf16=bf16)
                self.update(0, torch.tensor(False, device=slices[0].pixels.device))
        finally:
            self.model = model
            for name, buffer in self.clip.named_buffers():  # of a ResNet's norms
                buffer.copy_(buffers[name])
            self.optimiser.zero_grad(set_to_none=True)

    def update(self, step: int, is_sound: Tensor) -> None:
        """Changes the weights by the gradients; where ``is_sound``, a scalar, is False nothing changes.

        The optimiser's kernel reads the scalar itself, so that nobody waits for it, and a loss that is not finite
        spoils no weight before it is noticed.
        """
        rate = learning_rate(step, self.steps, self.settings)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.found_inf = (~is_sound).float()  # type: ignore[attr-defined]
        self.optimiser.step()
        with torch.no_grad():
            self.clip.get_parameter("logit_scale").clamp_(0, LARGEST_LOG_SCALE)

    def _whole(self, batch: Batch, precision: torch.autocast) -> tuple[Tensor, dict[str, Tensor]]:
        with precision:
            embeddings: Embeddings = self.model(batch)
        total, terms = objective(embeddings, batch.present, self.losses, self.find_potential)
        total.backward()  # type: ignore[no-untyped-call]
        return total.detach(), terms

    def _sliced(self, slices: Sequence[Batch], precision: torch.autocast) -> tuple[Tensor, dict[str, Tensor]]:
        """The gradient of the whole batch with the memory of one slice (gradient caching, Gao et al. 2021).

        All slices are embedded without a graph, the losses are taken over the whole batch, and each slice is embedded
        once more to carry its share of the gradient back.
        """
        with torch.no_grad(), precision:
            embedded = [self.model(piece) for piece in slices]
        rows = [torch.cat(parts) for parts in list(zip(*embedded, strict=True))[:-1]]
        leaves = Embeddings(*(tensor.detach().requires_grad_() for tensor in (*rows, embedded[0].scale)))
        present = torch.cat([piece.present for piece in slices])
        total, terms = objective(leaves, present, self.losses, self.find_potential)
        total.backward()  # type: ignore[no-untyped-call]
        start = 0
        for number, piece in enumerate(slices):
            last = number == len(slices) - 1
            stop = start + len(piece.pixels)
            with self._without_averaging(not last), precision:
                embeddings = self.model(piece)
                gradients = [None if leaf.grad is None else leaf.grad[start:stop] for leaf in leaves[:-1]]
                gradients.append(leaves.scale.grad if last else torch.zeros_like(leaves.scale))
                pairs = [(tensor, grad) for tensor, grad in zip(embeddings, gradients, strict=True) if grad is not None]
                torch.autograd.backward([tensor for tensor, _ in pairs], [grad.to(t.dtype) for t, grad in pairs])
            start = stop
        return total.detach(), terms

    def _without_averaging(self, skip: bool) -> AbstractContextManager[Any]:
        no_sync = getattr(self.model, "no_sync", None)
        return no_sync() if skip and no_sync else nullcontext()


def learning_rate(step: int, steps: int, settings: OptimiserSettings) -> float:
    """Linear warm-up, then a cosine to zero at the last step."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    share = (step - settings.warmup_steps) / max(1, steps - settings.warmup_steps)
    return settings.learning_rate * (1 + math.cos(math.pi * min(1.0, share))) / 2


def parameter_groups(clip: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; gains, biases, the scale and what is added to tokens (whose first rows are frozen) do not."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in clip.named_parameters():
        if parameter.requires_grad:
            plain = parameter.ndim < 2 or name.endswith("positional_embedding")
            (free if plain else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
