"""The weighted sum of the loss terms that are switched on (Moodifier, eq. 5)."""

import torch
from torch import Tensor

from train.losses import FindPotential, fine_grained, info_nce, rebuild_from_components, transport_and_similarity
from train.model.moodify_clip import Embeddings
from train.settings import LossSettings


def objective(
    embeddings: Embeddings, present: Tensor, settings: LossSettings, find_potential: FindPotential | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The total and each term, unweighted and detached; ``present`` [n, J] tells which stimuli there are."""
    with torch.autocast(embeddings.images.device.type, enabled=False):
        texts = {name: tensor for name, tensor in (("full", embeddings.full), ("short", embeddings.short))
                 if getattr(settings, name)}  # fmt: skip
        smoothing, terms = settings.label_smoothing, {}
        if "short" in texts and settings.short_components:
            rebuilt = rebuild_from_components(embeddings.images, settings.short_components)
            [terms["short"]] = info_nce(rebuilt, [texts.pop("short")], embeddings.scale, smoothing=smoothing)
        if texts:
            losses = info_nce(embeddings.images, list(texts.values()), embeddings.scale, smoothing=smoothing)
            terms |= dict(zip(texts, losses, strict=True))
        own: Tensor | None = None
        if settings.transport:
            terms["transport"], own = transport_and_similarity(
                embeddings.patches,
                embeddings.stimuli,
                present,
                embeddings.scale,
                epsilon=settings.epsilon,
                scope_is_global=settings.transport_scope == "global",
                find_potential=find_potential,
            )
        if settings.fine_grained:
            terms["fine_grained"] = fine_grained(
                embeddings.patches,
                embeddings.stimuli,
                present,
                embeddings.scale,
                tau_a=settings.tau_a,
                attention=settings.attention,
                negatives=settings.negatives,
                similarity=own,
            )
        terms = {name: terms[name] for name in ("full", "short", "fine_grained", "transport") if name in terms}
        total = torch.stack([getattr(settings, name) * term for name, term in terms.items()]).sum()
    return total, {name: term.detach() for name, term in terms.items()}
