"""The weighted sum of the loss terms that are switched on (Moodifier, eq. 5)."""

import torch
from torch import Tensor

from train.losses import fine_grained, info_nce, optimal_transport
from train.model import Embeddings
from train.settings import LossSettings


def objective(found: Embeddings, present: Tensor, settings: LossSettings) -> tuple[Tensor, dict[str, Tensor]]:
    """The total and each term, unweighted and detached; ``present`` [n, 3] tells which stimuli there are."""
    with torch.autocast(found.images.device.type, enabled=False):
        terms: dict[str, Tensor] = {}
        if settings.full:
            terms["full"] = info_nce(found.images, found.full, found.scale)
        if settings.short:
            terms["short"] = info_nce(found.images, found.short, found.scale)
        if settings.fine_grained:
            terms["fine_grained"] = fine_grained(
                found.patches,
                found.stimuli,
                present,
                found.scale,
                tau_a=settings.tau_a,
                attention=settings.attention,
                negatives=settings.negatives,
            )
        if settings.transport:
            terms["transport"] = optimal_transport(
                found.patches,
                found.stimuli,
                present,
                found.scale,
                epsilon=settings.epsilon,
                scope_is_global=settings.transport_scope == "global",
            )
        total = torch.stack([getattr(settings, name) * term for name, term in terms.items()]).sum()
    return total, {name: term.detach() for name, term in terms.items()}
