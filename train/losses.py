"""The four terms of MoodifyCLIP's objective (Moodifier, section 3.2), each a pure function of unit embeddings.

N images in the batch of all ranks, n on this rank, M patches, J = 3 stimuli (or all 5 sentences, which then are what is
called stimuli here), D the joint width. ``scale`` is exp(logit_scale) = 1 / tau, shared by all terms. All terms are
means over samples (the paper writes sums), so that their weights do not depend on the batch. Everything from the
similarities on is float32 (float64 stays float64); call them outside autocast.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from train.devices.gather import gather_mask, gather_rows, global_mean, rank

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
    COSINE = "cosine"
    """The cosines themselves, negative ones too: the authors' code."""


def info_nce(images: Tensor, texts: Sequence[Tensor], scale: Tensor, *, smoothing: float = 0.0) -> list[Tensor]:
    """L_f and L_s (eq. 1): symmetric InfoNCE of [n, D] images and each kind of [n, D] texts over all ranks' batch.

    All kinds go through one product with the images, and every rank's images are gathered once. ``smoothing`` is the
    share of each label that is spread evenly over the whole batch.
    """
    images, stacked = _in_float32(images), _in_float32(torch.stack(list(texts), dim=1))
    labels = torch.arange(len(images), device=images.device) + rank() * len(images)
    by_image = scale * torch.einsum("nd,Nkd->knN", images, gather_rows(stacked))
    by_text = scale * torch.einsum("nkd,Nd->knN", stacked, gather_rows(images))
    of_kinds = labels.expand(len(texts), -1)
    both = _cross_entropy(by_image, of_kinds, smoothing=smoothing) + _cross_entropy(
        by_text, of_kinds, smoothing=smoothing
    )
    return [global_mean(losses / 2) for losses in both]


def rebuild_from_components(images: Tensor, components: int) -> Tensor:
    """[n, D] images, rebuilt from the mean and the first principal components of all ranks' batch; not unit vectors.

    The components are constants to the gradient: that of an eigenvector divides by differences of eigenvalues, which
    are 0 beyond the batch's rank.
    """
    images = _in_float32(images)
    everyone = gather_rows(images)
    mean = everyone.mean(0)
    with torch.no_grad():
        centred = everyone - mean
        _, vectors = torch.linalg.eigh(centred.T @ centred)  # eigenvalues rise
        first = vectors[:, -components:]
    rebuilt: Tensor = (images - mean) @ first @ first.T + mean
    return rebuilt


def fine_grained(
    patches: Tensor,
    stimuli: Tensor,
    present: Tensor,
    scale: Tensor,
    *,
    tau_a: float = 0.07,
    attention: Attention = Attention.STIMULI,
    negatives: Negatives = Negatives.IMAGE,
    similarity: Tensor | None = None,
) -> Tensor:
    """L_fg (eq. 2): each stimulus against what it attends to.

    ``patches`` [n, M, D], ``stimuli`` [n, J, D], ``present`` [n, J] is False for stimuli that a caption lacks; they
    neither count nor serve as negatives. The printed denominator runs over patches while its numerator is a
    grouped vector V_j; here both are grouped vectors. ``similarity`` [n, J, M] of each image's own stimuli is taken
    where it is known already (``transport_and_similarity``).
    """
    patches, stimuli = _in_float32(patches), _in_float32(stimuli)
    similarity = stimuli @ patches.mT if similarity is None else similarity
    grouped = functional.normalize(_weights(similarity, present, tau_a, attention) @ patches, dim=-1, eps=1e-6)
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
    """[n, J, M] weights of the patches, each row of sum 1 but for the cosines'."""
    if attention is Attention.COSINE:
        return similarity
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
    loss, _ = transport_and_similarity(
        patches,
        stimuli,
        present,
        scale,
        epsilon=epsilon,
        scope_is_global=scope_is_global,
        columns_at_once=columns_at_once,
        find_potential=find_potential,
    )
    return loss


def transport_and_similarity(
    patches: Tensor,
    stimuli: Tensor,
    present: Tensor,
    scale: Tensor,
    *,
    epsilon: float = 0.1,
    scope_is_global: bool = False,
    columns_at_once: int = 64,
    find_potential: FindPotential | None = None,
) -> tuple[Tensor, Tensor]:
    """``optimal_transport``, and from the same products each image's similarity to its own stimuli, [n, J, M].

    ``fine_grained`` takes the latter; gradient flows through it.
    """
    patches, stimuli = _in_float32(patches), _in_float32(stimuli)
    n, columns, valid, first = len(patches), stimuli, present, 0
    if scope_is_global:
        columns, valid, first = gather_rows(stimuli), gather_mask(present), rank() * n
    logits, own = [], []
    for start in range(0, len(columns), columns_at_once):
        chunk = slice(start, start + columns_at_once)
        transported, similarity = _Transported.apply(  # type: ignore[no-untyped-call]
            patches, columns[chunk], valid[chunk], epsilon, find_potential or potential_of_stimuli, start - first
        )
        logits.append(transported)
        own.append(similarity)
    labels = first + torch.arange(n, device=patches.device)
    losses = _cross_entropy(scale * torch.cat(logits, dim=1), labels, valid.any(1))
    return global_mean(losses, present.any(1)), torch.cat(own)


class _Transported(torch.autograd.Function):
    """[n, c]: sum over stimuli and patches of plan times similarity; and [k, J, M], the pairs' that belong together.

    Column j belongs to image j + ``shift``. Of all pairs only the potentials are kept for the backward pass, which
    computes the similarities again, and from them the plans in one round.
    """

    @staticmethod
    def forward(  # noqa: PLR0917  autograd's functions take no keywords
        ctx: Any,
        patches: Tensor,
        stimuli: Tensor,
        present: Tensor,
        epsilon: float,
        find_potential: FindPotential,
        shift: int,
    ) -> tuple[Tensor, Tensor]:
        similarity = _similarity(patches, stimuli)
        potential = find_potential(similarity, present, epsilon)
        ctx.save_for_backward(patches, stimuli, present, potential)
        ctx.epsilon, ctx.shift = epsilon, shift
        own = _own_pairs(similarity, shift).permute(2, 0, 1).clone()
        plan = _plan(similarity, present, potential, epsilon)
        return similarity.mul_(plan).sum((-1, -2)), own

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        of_transported, of_own = gradients
        patches, stimuli, present, potential = ctx.saved_tensors
        plan = _plan(_similarity(patches, stimuli), present, potential, ctx.epsilon)
        of_pairs = plan.mul_(of_transported[..., None, None])
        _own_pairs(of_pairs, ctx.shift).add_(of_own.permute(1, 2, 0))
        # [n x M, c x J], as the similarities lie in memory
        flat = of_pairs.permute(0, 3, 1, 2).reshape(-1, stimuli.shape[0] * stimuli.shape[1])
        of_patches = (flat @ stimuli.flatten(0, 1)).reshape(patches.shape)
        of_stimuli = (flat.T @ patches.flatten(0, 1)).reshape(stimuli.shape)
        return of_patches, of_stimuli, None, None, None, None


def _own_pairs(pairs: Tensor, shift: int) -> Tensor:
    """A view [J, M, k] of [n, c, J, M]: the pairs of column j and image j + ``shift``, those that there are."""
    images = slice(max(0, shift), max(0, shift + pairs.shape[1]))
    columns = slice(max(0, -shift), max(0, len(pairs) - shift))
    return pairs[images, columns].diagonal(dim1=0, dim2=1)


def _similarity(patches: Tensor, stimuli: Tensor) -> Tensor:
    """[n, c, J, M] of [n, M, D] and [c, J, D], from one product."""
    products = patches.flatten(0, 1) @ stimuli.flatten(0, 1).T
    return products.reshape(*patches.shape[:2], *stimuli.shape[:2]).permute(0, 2, 3, 1)


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


def potential_of_stimuli(similarity: Tensor, present: Tensor, epsilon: float, *, may_ask: bool | None = None) -> Tensor:
    """[..., J] potentials of the transport plan, within ``VIOLATION``.

    ``may_ask``: whether the rounds end once all pairs are settled; None: on a CPU.

    The patches' potential is always the softmax's own normaliser, so that their marginal is exact and only that of the
    stimuli is sought: the maximum of the concave semi-dual of Sinkhorn's problem (Cuturi 2013; Peyré and Cuturi 2019,
    section 5.3). Its Hessian is the Laplacian of a graph on J nodes, which is inverted by hand. Newton's steps are
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
        if (may_ask if may_ask is not None else similarity.device.type == "cpu") and not unsettled.any():
            break
        potential = potential + torch.where(present & unsettled, _newton_step(plan, error), 0.0)
    return potential


def rounds_for(epsilon: float) -> int:
    """So many rounds settle every pair that was tried, hard ones included (tests/train/test_losses.py)."""
    return 10 if epsilon >= 0.1 else 24


def _newton_step(plan: Tensor, error: Tensor) -> Tensor:
    """[..., J] of [..., J, M] columns of sum 1 and the [..., J] error of their means."""
    tiny = 1e-12  # keeps the graph connected where a stimulus is absent or shares no patch with another
    step = _solve_three(plan, error, tiny) if plan.shape[-2] == 3 else _solve_laplacian(plan, error, tiny)
    extent = (step.amax(-1, keepdim=True) - step.amin(-1, keepdim=True)).clamp(min=1e-12)
    return step * (torch.log1p(extent) / extent)


def _solve_three(plan: Tensor, error: Tensor, tiny: float) -> Tensor:
    """``_solve_laplacian`` of three nodes, in one formula."""
    first, second, third = plan.unbind(-2)
    near, far, across = ((one * other).mean(-1) + tiny for one, other in
                         ((first, second), (first, third), (second, third)))  # fmt: skip
    trees = near * far + near * across + far * across
    to_second = (far * error[..., 1] - across * error[..., 0]) / trees
    to_third = (near * error[..., 2] - across * error[..., 0]) / trees
    return torch.stack([torch.zeros_like(to_second), to_second, to_third], dim=-1)


def _solve_laplacian(plan: Tensor, error: Tensor, tiny: float) -> Tensor:
    """[..., J] potentials whose Laplacian is ``error``, the first 0; nodes are joined by what they share of patches.

    Nodes are eliminated one by one, each leaving its weights between its neighbours (star to mesh). Nothing is
    subtracted, so that nothing cancels, and no number depends on how many pairs are solved at once.
    """
    nodes, count = plan.unbind(-2), plan.shape[-2]
    weights = {(i, j): (nodes[i] * nodes[j]).mean(-1) + tiny for i in range(count) for j in range(i)}
    sources = list(error.unbind(-1))
    sums: dict[int, Tensor] = {}
    for node in range(count - 1, 0, -1):
        own = [weights[node, other] for other in range(node)]
        sums[node] = sum(own[1:], own[0])
        for i in range(node):
            sources[i] = sources[i] + own[i] / sums[node] * sources[node]
            for j in range(i):
                weights[i, j] = weights[i, j] + own[i] * own[j] / sums[node]
    steps = [torch.zeros_like(sources[0])]
    for node in range(1, count):
        reached = sources[node]
        for other in range(node):
            reached = reached + weights[node, other] * steps[other]
        steps.append(reached / sums[node])
    return torch.stack(steps, dim=-1)


def _in_float32(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype is torch.float64 else tensor.float()


def _cross_entropy(logits: Tensor, labels: Tensor, valid: Tensor | None = None, *, smoothing: float = 0.0) -> Tensor:
    """Per row, over the last axis; columns that are not valid are no rivals (a row's own column always counts).

    ``smoothing`` is the share of the label that all columns have evenly; without columns that are not valid.
    """
    if valid is not None:
        own = functional.one_hot(labels, logits.shape[-1]).bool()
        logits = logits.masked_fill(~(valid | own), -torch.inf)
    own_logits = logits.gather(-1, labels[..., None]).squeeze(-1)
    if smoothing:
        own_logits = (1 - smoothing) * own_logits + smoothing * logits.mean(-1)
    return torch.logsumexp(logits, dim=-1) - own_logits
