"""Each loss term equals its plain float64 reference, survives degenerate batches, and does not depend on the ranks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.train import references
from tests.train.ranks import on_ranks
from train.losses import (
    Attention,
    Negatives,
    _solve_laplacian,
    _solve_three,
    _Transported,
    fine_grained,
    info_nce,
    optimal_transport,
    potential_of_stimuli,
    rebuild_from_components,
    transport_and_similarity,
    transport_plan,
)

SCALE = torch.tensor(20.0)


def _five(term: Callable[..., Tensor], **options: Any) -> Callable[..., Tensor]:
    """The term over five sentences: two more, which every caption has."""

    def of_five(patches: Tensor, stimuli: Tensor, present: Tensor, scale: Tensor) -> Tensor:
        # the first stimulus is there wherever any is
        ends = functional.normalize(stimuli[:, :1] + patches[:, :2], dim=-1)
        some = present.any(1, keepdim=True)
        five = torch.cat([ends[:, :1], stimuli, ends[:, 1:]], dim=1)
        return term(patches, five, torch.cat([some, present, some], dim=1), scale, **options)

    return of_five


def _both_over_all_ranks(*given: Tensor) -> Tensor:
    transport, similarity = transport_and_similarity(*given, scope_is_global=True, columns_at_once=5)
    return transport + fine_grained(*given, similarity=similarity)


_TERMS = {
    "fine_grained": fine_grained,
    "fine_grained against the batch": lambda *given: fine_grained(*given, negatives=Negatives.BATCH),
    "fine_grained, sparc": lambda *given: fine_grained(*given, attention=Attention.SPARC),
    "optimal_transport": optimal_transport,
    "optimal_transport over all ranks": lambda *given: optimal_transport(*given, scope_is_global=True),
    "both over all ranks": _both_over_all_ranks,
    "fine_grained, cosines, batch, five": _five(fine_grained, attention=Attention.COSINE, negatives=Negatives.BATCH),
    "fine_grained, cosines": lambda *given: fine_grained(*given, attention=Attention.COSINE),
    "optimal_transport over all ranks, five": _five(optimal_transport, scope_is_global=True),
}


def _unit(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    # a common direction makes cosines as large as those of a trained model
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return functional.normalize(noise + 0.5, dim=-1).to(dtype)


def _stimuli(n: int = 6, m: int = 49, d: int = 32) -> tuple[Tensor, Tensor, Tensor]:
    present = torch.ones(n, 3, dtype=torch.bool)
    present[1, 2] = False
    present[2, 1:] = False
    present[3] = False
    return _unit(n, m, d, seed=1), _unit(n, 3, d, seed=2), present


def test_info_nce_equals_its_equation() -> None:
    images, texts = _unit(7, 16, seed=3), _unit(7, 16, seed=4)
    expected = references.info_nce(images.numpy(), texts.numpy(), 20.0)
    assert info_nce(images.float(), [texts.float()], SCALE)[0].item() == pytest.approx(expected, rel=1e-5)


def test_the_fine_grained_term_equals_its_equation_with_stimuli_missing() -> None:
    patches, stimuli, present = _stimuli()
    expected = references.fine_grained(patches.numpy(), stimuli.numpy(), present.numpy(), 20.0, 0.07)
    found = fine_grained(patches.float(), stimuli.float(), present, SCALE)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_label_smoothing_spreads_each_label_over_the_batch(smoothing: float) -> None:
    images, texts = _unit(7, 16, seed=3), _unit(7, 16, seed=4)
    expected = references.info_nce(images.numpy(), texts.numpy(), 20.0, smoothing)
    found = info_nce(images, [texts, images], SCALE, smoothing=smoothing)
    assert found[0].item() == pytest.approx(expected, rel=1e-9)
    by_torch = functional.cross_entropy(20.0 * images @ images.T, torch.arange(7), label_smoothing=smoothing)
    assert found[1].item() == pytest.approx(by_torch.item(), rel=1e-9)


@pytest.mark.parametrize("components", [1, 3, 6, 40])
def test_an_image_is_rebuilt_from_the_batchs_first_components(components: int) -> None:
    images = _unit(9, 16, seed=3)
    found = rebuild_from_components(images, components)
    assert np.allclose(found.numpy(), references.rebuild(images.numpy(), components), atol=1e-9)
    assert torch.allclose(found, images, atol=1e-9) == (components == 40)


@pytest.mark.parametrize("case", ["as they are", "all alike", "one sample"])
def test_rebuilding_has_finite_gradients(case: str) -> None:
    images = _unit(9, 16, seed=3, dtype=torch.float32)
    images = (
        images[:1].expand_as(images) if case == "all alike" else images[: 1 if case == "one sample" else 9]
    ).clone()
    images.requires_grad_()
    rebuild_from_components(images, 4).square().sum().backward()
    assert images.grad is not None and torch.isfinite(images.grad).all()


def test_the_fine_grained_term_by_cosines_equals_its_equation_with_stimuli_missing() -> None:
    patches, stimuli, present = _stimuli()
    expected = references.fine_grained_by_cosines(patches.numpy(), stimuli.numpy(), present.numpy(), 20.0)
    found = fine_grained(patches, stimuli, present, SCALE, attention=Attention.COSINE, negatives=Negatives.BATCH)
    assert found.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("case", ["all five", "missing ones"])
def test_the_transport_term_of_five_sentences_equals_its_equation(case: str) -> None:
    patches, present = _unit(5, 49, 32, seed=1), torch.ones(5, 5, dtype=torch.bool)
    if case == "missing ones":
        present[1, 3] = present[2, 2:4] = present[3, 1:4] = False
    stimuli = _unit(5, 5, 32, seed=2)
    expected = references.optimal_transport(patches.numpy(), stimuli.numpy(), present.numpy(), 20.0, 0.1)
    assert optimal_transport(patches, stimuli, present, SCALE).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("epsilon", [0.02, 0.1])
@pytest.mark.parametrize("case", ["anything from -1 to 1", "one stimulus far from all patches",
                                  "patches that belong to one stimulus each", "a CLIP's"])  # fmt: skip
def test_the_rounds_suffice_for_five_sentences(case: str, epsilon: float) -> None:
    similarity = torch.cat([_hard_similarities(case), _hard_similarities(case)[:, :2].flip(-1)], dim=1)
    for present in ([True] * 5, [True, True, False, False, True], [True, False, True, True, True]):
        here = torch.tensor(present).expand(64, 5)
        plan = transport_plan(similarity, here, epsilon=epsilon)
        assert (plan.sum(-1) - here / here.sum(-1, keepdim=True)).abs().sum(-1).max() <= 1.5e-4
        assert (plan.sum(-2) - 1 / 196).abs().sum(-1).max() <= 1e-4


def test_the_laplacian_of_three_nodes_is_solved_alike_by_both_ways() -> None:
    plan = torch.rand(4, 3, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).softmax(1)
    error = plan.mean(-1) - 1 / 3
    assert torch.allclose(_solve_laplacian(plan, error, 1e-12), _solve_three(plan, error, 1e-12), rtol=1e-9)


def test_the_transport_term_equals_its_equation_with_stimuli_missing() -> None:
    patches, stimuli, present = _stimuli()
    expected = references.optimal_transport(patches.numpy(), stimuli.numpy(), present.numpy(), 20.0, 0.1)
    found = optimal_transport(patches.float(), stimuli.float(), present, SCALE, columns_at_once=4)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("epsilon", [0.05, 0.1, 1.0])
def test_the_plan_is_that_of_pots_sinkhorn(epsilon: float) -> None:
    similarity = _unit(196, 24, seed=5) @ _unit(3, 24, seed=6).T
    found = transport_plan(similarity.T, torch.ones(3, dtype=torch.bool), epsilon=epsilon).T
    assert np.abs(found.numpy() - references.plan(similarity.numpy(), epsilon)).sum() < 1e-3
    assert (found.sum(0) - 1 / 3).abs().sum() <= 1e-4
    assert (found.sum(1) - 1 / 196).abs().sum() <= 1e-6


def test_the_marginals_hold_in_float32_at_the_patches_of_vit_l_14() -> None:
    similarity = (_unit(4, 3, 24, seed=7) @ _unit(4, 256, 24, seed=8).mT).float()
    found = transport_plan(similarity, torch.ones(4, 3, dtype=torch.bool))
    assert (found.sum(-1) - 1 / 3).abs().sum(-1).max() <= 1e-4
    assert (found.sum(-2) - 1 / 256).abs().sum(-1).max() <= 1e-4


def _hard_similarities(case: str) -> Tensor:
    """[pairs, 3, 196] on which Sinkhorn's own rounds need from three to many hundreds."""
    random = torch.Generator().manual_seed(11)
    noise = torch.rand(64, 3, 196, generator=random)
    if case == "anything from -1 to 1":
        return 2 * noise - 1
    if case == "one stimulus far from all patches":
        return noise - torch.tensor([1.0, 0.0, 0.0])[:, None]
    if case == "patches that belong to one stimulus each":
        owner = torch.randint(0, 3, (64, 196), generator=random)
        return torch.nn.functional.one_hot(owner, 3).mT * 0.8 + noise * 0.1
    if case == "opposite stimuli":
        return torch.stack([noise[:, 0], -noise[:, 0], noise[:, 2]], dim=1)
    return 0.2 + 0.03 * noise  # as of a CLIP that was not trained on them


_HARD = ("anything from -1 to 1", "one stimulus far from all patches", "patches that belong to one stimulus each",
         "opposite stimuli", "a CLIP's")  # fmt: skip


@pytest.mark.parametrize("case", _HARD)
@pytest.mark.parametrize("epsilon", [0.02, 0.05, 0.1, 1.0])
@pytest.mark.parametrize("present", [[True] * 3, [True, True, False], [False, True, True], [True, False, True],
                                     [False, True, False]])  # fmt: skip
def test_the_rounds_suffice_for_every_pair(case: str, epsilon: float, present: list[bool]) -> None:
    similarity, here = _hard_similarities(case), torch.tensor(present).expand(64, 3)
    plan = transport_plan(similarity, here, epsilon=epsilon)
    assert (plan.sum(-1) - here / here.sum(-1, keepdim=True)).abs().sum(-1).max() <= 1.5e-4
    assert (plan.sum(-2) - 1 / 196).abs().sum(-1).max() <= 1e-4


@pytest.mark.parametrize("case", _HARD)
def test_rounds_that_are_not_asked_for_change_no_bit(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU is never asked whether all pairs are settled, and goes through all rounds."""
    similarity, here = _hard_similarities(case), torch.ones(64, 3, dtype=torch.bool)
    asked = potential_of_stimuli(similarity, here, 0.1)
    with monkeypatch.context() as patch:
        whether_any = torch.Tensor.any
        patch.setattr(
            torch.Tensor, "any", lambda self, *axes, **named: whether_any(self, *axes, **named) if axes else True
        )
        assert torch.equal(potential_of_stimuli(similarity, here, 0.1), asked)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # with several, how torch divides a sum among them depends on the size of the batch
    try:
        together = potential_of_stimuli(similarity, here, 0.1)
        alone = torch.cat([potential_of_stimuli(one[None], here[:1], 0.1) for one in similarity])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(alone, together)


@pytest.mark.parametrize("name", _TERMS)
@pytest.mark.parametrize("case", ["identical texts", "zero similarity", "one sample", "no stimulus at all"])
def test_degenerate_batches_give_finite_losses_and_gradients(name: str, case: str) -> None:
    patches, stimuli, present = _stimuli()
    if case == "identical texts":
        stimuli = stimuli[:1, :1].expand_as(stimuli)
    elif case == "zero similarity":
        patches, stimuli = patches.clone(), stimuli.clone()
        patches[..., 16:], stimuli[..., :16] = 0, 0
    elif case == "one sample":
        patches, stimuli, present = patches[:1], stimuli[:1], present[:1]
    else:
        present = torch.zeros_like(present)
    patches, stimuli = patches.float().requires_grad_(), stimuli.float().clone().requires_grad_()
    loss = _TERMS[name](patches, stimuli, present, torch.tensor(100.0))
    loss.backward()
    assert torch.isfinite(loss)
    assert patches.grad is not None and torch.isfinite(patches.grad).all()
    assert stimuli.grad is not None and torch.isfinite(stimuli.grad).all()
    if case in ("no stimulus at all",):
        assert loss.item() == 0.0


def test_a_missing_stimulus_is_neither_counted_nor_a_rival() -> None:
    patches, stimuli, present = _stimuli()
    other = stimuli.clone()
    other[~present] = _unit(int((~present).sum()), 32, seed=9)
    for term in _TERMS.values():
        assert term(patches, stimuli, present, SCALE).item() == term(patches, other, present, SCALE).item()


def test_no_gradient_flows_through_the_plan() -> None:
    patches, stimuli, present = _stimuli(n=4, m=9)
    patches.requires_grad_()
    optimal_transport(patches, stimuli, present.fill_(True), SCALE).backward()
    fixed = transport_plan(torch.einsum("imd,kjd->ikjm", patches.detach(), stimuli), present)
    again = patches.detach().clone().requires_grad_()
    logits = SCALE * (fixed * torch.einsum("imd,kjd->ikjm", again, stimuli)).sum((-1, -2))
    functional.cross_entropy(logits, torch.arange(4)).backward()
    assert patches.grad is not None and again.grad is not None
    assert torch.allclose(patches.grad, again.grad, atol=1e-12)


def test_columns_in_chunks_change_neither_loss_nor_gradient() -> None:
    found = []
    for columns in (1, 4, 64):
        patches, stimuli, present = _stimuli()
        patches.requires_grad_()
        loss = optimal_transport(patches, stimuli, present, SCALE, columns_at_once=columns)
        loss.backward()
        assert patches.grad is not None
        found.append((loss.item(), patches.grad))
    assert found[0][0] == pytest.approx(found[2][0], rel=1e-12)
    assert torch.allclose(found[0][1], found[2][1], atol=1e-6 * float(found[2][1].abs().max()))


@pytest.mark.parametrize("columns", [3, 64])
@pytest.mark.parametrize("negatives", list(Negatives))
def test_the_terms_from_shared_similarities_equal_each_by_itself(columns: int, negatives: Negatives) -> None:
    results = []
    for shared in (False, True):
        patches, stimuli, present = _stimuli()
        patches.requires_grad_(), stimuli.requires_grad_()
        given = (patches, stimuli, present, SCALE)
        transport, similarity = transport_and_similarity(*given, columns_at_once=columns)
        if not shared:
            transport, similarity = optimal_transport(*given), None
        fine = fine_grained(*given, negatives=negatives, similarity=similarity)
        gradients = torch.autograd.grad(0.7 * fine + 1.3 * transport, [patches, stimuli])
        results.append([fine, transport, *gradients])
    for apart, together in zip(*results, strict=True):
        assert (apart - together).abs().max() < 1e-12 * apart.abs().max()


def test_the_gradient_through_the_transported_similarities_is_that_of_autograd() -> None:
    patches, stimuli, present = _stimuli(n=5, m=9)
    patches.requires_grad_(), stimuli.requires_grad_()
    weights = torch.linspace(-1, 1, 25, dtype=torch.float64).reshape(5, 5)
    transported, own = _Transported.apply(patches, stimuli, present, 0.1, potential_of_stimuli, 0)
    found = torch.autograd.grad((weights * transported).sum() + own.square().sum(), [patches, stimuli])
    similarity = torch.einsum("imd,kjd->ikjm", patches, stimuli)
    plan = transport_plan(similarity.detach(), present)
    alone = torch.einsum("imd,ijd->ijm", patches, stimuli)
    plain = (weights * (plan * similarity).sum((-1, -2))).sum() + alone.square().sum()
    for one, other in zip(found, torch.autograd.grad(plain, [patches, stimuli]), strict=True):
        assert torch.allclose(one, other, rtol=1e-11, atol=1e-12)


def _gradients(rank: int, ranks: int) -> dict[str, list[Tensor]]:
    """What each term sends back to this rank's rows, the mean over ranks taken as DistributedDataParallel does."""
    patches, stimuli, present = _stimuli(n=8)
    images, texts = _unit(8, 32, seed=3), _unit(8, 32, seed=4)
    rows = slice(rank * 8 // ranks, (rank + 1) * 8 // ranks)
    local = [tensor[rows].clone().requires_grad_() for tensor in (images, texts, patches, stimuli)]
    found = {
        "info_nce": torch.autograd.grad(sum(info_nce(local[0], [local[1], local[0] + local[1]], SCALE)), local[:2]),
        "info_nce, rebuilt and smoothed": torch.autograd.grad(
            info_nce(rebuild_from_components(local[0], 3), [local[1]], SCALE, smoothing=0.1)[0], local[:2]
        ),
    }
    for name, term in _TERMS.items():
        if name != "optimal_transport" or ranks == 1:
            found[name] = torch.autograd.grad(term(local[2], local[3], present[rows], SCALE), local[2:])
    return {name: [gradient / ranks for gradient in gradients] for name, gradients in found.items()}


def test_two_ranks_give_the_gradients_of_one_on_the_joined_batch() -> None:
    joined = _gradients(0, 1)
    halves = on_ranks(2, _gradients)
    for name, gradients in halves[0].items():
        for place, first in enumerate(gradients):
            both = torch.cat([first, halves[1][name][place]])
            assert (both - joined[name][place]).abs().max() < 1e-9, name
