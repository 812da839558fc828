"""The four terms of MoodifyCLIP's objective (Moodifier, section 3.2), each a pure function of unit embeddings.

N images in the batch of all ranks, n on this rank, M patches, J = 3 stimuli, D the joint width. ``scale`` is
exp(logit_scale) = 1 / tau, shared by all terms. All terms are means over samples (the paper writes sums), so that their
weights do not depend on the batch. Everything from the similarities on is float32 (float64 stays float64); call them
outside autocast.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from train.gather import gather_mask, gather_rows, global_mean, rank

FindPotential = Callable[[Tensor, Tensor, float], Tensor]
VIOLATION = 1e-4
"""Of the stimuli's marginals by a transport plan, in L1, at most."""


class Negatives(StrEnum):
    """Against what a stimulus is held in the fine-grained term."""

    IMAGE = "image"
    """The other stimuli of the same image."""
    BATCH = "batch"
    """The stimuli of all images."""


class Attention(StrEnum):
    """How a stimulus weighs the patches."""

    STIMULI = "stimuli"
    """A softmax over the stimuli, then normalised over the patches: the paper's normaliser."""
    SPARC = "sparc"
    """Min-max over the patches, those under 1/M dropped, normalised (SPARC)."""


def info_nce(images: Tensor, texts: Sequence[Tensor], scale: Tensor) -> list[Tensor]:
    """L_f and L_s (eq. 1): symmetric InfoNCE of [n, D] images and each kind of [n, D] texts over all ranks' batch.

    All kinds go through one product with the images, and every rank's images are gathered once.
    """
    images, stacked = _in_float32(images), _in_float32(torch.stack(list(texts), dim=1))
    labels = torch.arange(len(images), device=images.device) + rank() * len(images)
    by_image = scale * torch.einsum("nd,Nkd->knN", images, gather_rows(stacked))
    by_text = scale * torch.einsum("nkd,Nd->knN", stacked, gather_rows(images))
    both = _cross_entropy(by_image, labels.expand(len(texts), -1)) + _cross_entropy(
        by_text, labels.expand(len(texts), -1)
    )
    return [global_mean(losses / 2) for losses in both]


def fine_grained(
    patches: Tensor,
    stimuli: Tensor,
    present: Tensor,
    scale: Tensor,
    *,
    tau_a: float = 0.07,
    attention: Attention = Attention.STIMULI,
    negatives: Negatives = Negatives.IMAGE,
) -> Tensor:
    """L_fg (eq. 2): each stimulus against what it attends to.

    ``patches`` [n, M, D], ``stimuli`` [n, J, D], ``present`` [n, J] is False for stimuli that a caption lacks; they
    neither count nor serve as negatives. The printed denominator runs over patches while its numerator is a
    grouped vector V_j; here both are grouped vectors.
    """
    patches, stimuli = _in_float32(patches), _in_float32(stimuli)
    grouped = functional.normalize(_weights(stimuli @ patches.mT, present, tau_a, attention) @ patches, dim=-1)
    if negatives is Negatives.IMAGE:
        logits = scale * grouped @ stimuli.mT
        labels = torch.arange(stimuli.shape[1], device=stimuli.device).expand(len(stimuli), -1)
        by_patches = _cross_entropy(logits, labels, present[:, None, :])
        by_stimuli = _cross_entropy(logits.mT, labels, present[:, None, :])
    else:
        flat_grouped, flat_stimuli, columns = (
            grouped.flatten(0, 1),
            stimuli.flatten(0, 1),
            gather_mask(present.flatten()),
        )
        labels = torch.arange(len(flat_stimuli), device=stimuli.device) + rank() * len(flat_stimuli)
        by_patches = _cross_entropy(scale * flat_grouped @ gather_rows(flat_stimuli).T, labels, columns)
        by_stimuli = _cross_entropy(scale * flat_stimuli @ gather_rows(flat_grouped).T, labels, columns)
    return global_mean(((by_patches + by_stimuli) / 2).reshape(present.shape), present)


def _weights(similarity: Tensor, present: Tensor, tau_a: float, attention: Attention) -> Tensor:
    """[n, J, M] weights of the patches, each row of sum 1."""
    if attention is Attention.STIMULI:
        masked = (similarity / tau_a).masked_fill(~present[..., None], -torch.inf)
        # a caption without any stimulus has rows of -inf only; they count nowhere, but must not become NaN
        weights = torch.softmax(torch.where(present.any(1)[:, None, None], masked, 0.0), dim=1)
    else:
        low, high = similarity.amin(-1, keepdim=True), similarity.amax(-1, keepdim=True)
        weights = (similarity - low) / (high - low).clamp(min=1e-6)
        weights = torch.where(weights >= 1 / similarity.shape[-1], weights, 0.0)
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-12)


def optimal_transport(
    patches: Tensor,
    stimuli: Tensor,
    present: Tensor,
    scale: Tensor,
    *,
    epsilon: float = 0.1,
    scope_is_global: bool = False,
    columns_at_once: int = 64,
    find_potential: FindPotential | None = None,
) -> Tensor:
    """L_ot (eq. 3, 4): cross-entropy of each image's transported similarity to every caption's stimuli.

    ``patches`` [n, M, D], ``stimuli`` [n, J, D], ``present`` [n, J]. logit_ik = scale x sum(T^ik * S^ik) with
    S^ik = <P_i, T_k> and T^ik the transport plan of the cost 1 - S^ik, through which no gradient flows. Captions
    without stimuli are no columns. Memory is bounded by ``columns_at_once`` captions. ``find_potential`` may be
    ``potential_of_stimuli`` compiled.
    """
    find_potential = find_potential or potential_of_stimuli
    patches, stimuli = _in_float32(patches), _in_float32(stimuli)
    labels = torch.arange(len(patches), device=patches.device)
    columns, valid = stimuli, present
    if scope_is_global:
        columns, valid, labels = gather_rows(stimuli), gather_mask(present), labels + rank() * len(patches)
    logits = [
        _transport_similarity(patches, texts, mask, epsilon, find_potential)
        for texts, mask in zip(torch.split(columns, columns_at_once), torch.split(valid, columns_at_once), strict=True)
    ]
    losses = _cross_entropy(scale * torch.cat(logits, dim=1), labels, valid.any(1))
    return global_mean(losses, present.any(1))


def _transport_similarity(
    patches: Tensor, stimuli: Tensor, present: Tensor, epsilon: float, find_potential: FindPotential
) -> Tensor:
    """[n, c]: sum over stimuli and patches of plan times similarity, for every image and caption.

    Of all pairs only the potentials are kept for the backward pass, from which it finds the plans again in one round.
    """
    with torch.no_grad():
        potential = find_potential(_similarity(patches, stimuli), present, epsilon)
    transported: Tensor = checkpoint(
        _similarity_under_plan,
        patches,
        stimuli,
        present,
        potential,
        epsilon,
        use_reentrant=False,
        preserve_rng_state=False,
    )
    return transported


def _similarity_under_plan(
    patches: Tensor, stimuli: Tensor, present: Tensor, potential: Tensor, epsilon: float
) -> Tensor:
    similarity = _similarity(patches, stimuli)
    with torch.no_grad():
        plan = _plan(similarity, present, potential, epsilon)
    return (plan * similarity).sum((-1, -2))


def _similarity(patches: Tensor, stimuli: Tensor) -> Tensor:
    """[n, c, J, M] of [n, M, D] and [c, J, D]."""
    return (stimuli.flatten(0, 1) @ patches.mT).reshape(len(patches), *stimuli.shape[:2], -1)


def transport_plan(similarity: Tensor, present: Tensor, *, epsilon: float = 0.1) -> Tensor:
    """[..., J, M] plan of the cost 1 - ``similarity`` between uniform present stimuli and uniform patches.

    ``present`` is [..., J]; where none is, the plan is 0.
    """
    return _plan(similarity, present, potential_of_stimuli(similarity, present, epsilon), epsilon)


def _plan(similarity: Tensor, present: Tensor, potential: Tensor, epsilon: float) -> Tensor:
    """Of [..., J] stimuli's potentials."""
    some = present.any(-1)[..., None, None]
    return torch.softmax(_scores(similarity, present, epsilon) + potential[..., None], -2) * (
        some / similarity.shape[-1]
    )


def _scores(similarity: Tensor, present: Tensor, epsilon: float) -> Tensor:
    absent = torch.where(present | ~present.any(-1, keepdim=True), 0.0, -torch.inf).to(similarity.dtype)
    return similarity / epsilon + absent[..., None]


def potential_of_stimuli(similarity: Tensor, present: Tensor, epsilon: float) -> Tensor:
    """[..., J] potentials of the transport plan, within ``VIOLATION``.

    The patches' potential is always the softmax's own normaliser, so that their marginal is exact and only that of the
    stimuli is sought: the maximum of the concave semi-dual of Sinkhorn's problem (Cuturi 2013; Peyré and Cuturi 2019,
    section 5.3). Its Hessian is the Laplacian of a graph on three nodes, which is inverted by hand. Newton's steps are
    damped by ln(1 + b) / b, b being the step's range, and then converge from anywhere; Sinkhorn's own rounds needed
    hundreds where stimuli claim patches for themselves. Each pair stops by itself, so that its plan depends neither on
    its chunk nor on the ranks.
    """
    marginal = (present / present.sum(-1, keepdim=True).clamp(min=1)).to(similarity.dtype)
    scores = _scores(similarity, present, epsilon)
    potential = torch.zeros(similarity.shape[:-1], dtype=similarity.dtype, device=similarity.device)
    for _ in range(rounds_for(epsilon)):
        plan = torch.softmax(scores + potential[..., None], dim=-2)
        error = torch.where(present, marginal - plan.mean(-1), 0.0)
        unsettled = error.abs().sum(-1, keepdim=True) > VIOLATION
        # a GPU is not asked: the answer would have to wait for all work before it, and further rounds change nothing
        if similarity.device.type == "cpu" and not unsettled.any():
            break
        potential = potential + torch.where(present & unsettled, _newton_step(plan, error), 0.0)
    return potential


def rounds_for(epsilon: float) -> int:
    """So many rounds settle every pair that was tried, hard ones included (tests/train/test_losses.py)."""
    return 10 if epsilon >= 0.1 else 24


def _newton_step(plan: Tensor, error: Tensor) -> Tensor:
    """[..., 3] of [..., 3, M] columns of sum 1 and the [..., 3] error of their means."""
    tiny = 1e-12  # keeps the graph connected where a stimulus is absent or shares no patch with another
    first, second, third = plan.unbind(-2)
    near, far, across = ((one * other).mean(-1) + tiny for one, other in
                         ((first, second), (first, third), (second, third)))  # fmt: skip
    trees = near * far + near * across + far * across
    to_second = (far * error[..., 1] - across * error[..., 0]) / trees
    to_third = (near * error[..., 2] - across * error[..., 0]) / trees
    step = torch.stack([torch.zeros_like(to_second), to_second, to_third], dim=-1)
    extent = (step.amax(-1, keepdim=True) - step.amin(-1, keepdim=True)).clamp(min=1e-12)
    return step * (torch.log1p(extent) / extent)


def _in_float32(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype is torch.float64 else tensor.float()


def _cross_entropy(logits: Tensor, labels: Tensor, valid: Tensor | None = None) -> Tensor:
    """Per row, over the last axis; columns that are not valid are no rivals (a row's own column always counts)."""
    if valid is not None:
        own = functional.one_hot(labels, logits.shape[-1]).bool()
        logits = logits.masked_fill(~(valid | own), -torch.inf)
    own_logits = logits.gather(-1, labels[..., None]).squeeze(-1)
    return torch.logsumexp(logits, dim=-1) - own_logits
