"""A step in slices, with activations computed again, or on two ranks has the gradients of the plain step."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from tests.train.ranks import on_ranks
from tests.train.small import random_batch, small_model, small_stepper
from train.data.batch import Batch
from train.data.texts import pack_texts, unpack_texts
from train.model.compiling import compile_blocks
from train.model.moodify_clip import MoodifyClip
from train.settings import LossSettings

ROWS = 6
GLOBAL = LossSettings(transport_scope="global")


def _rows(batch: Batch, start: int, stop: int) -> Batch:
    """Some samples of a batch, with all of their texts."""
    n, texts = len(batch.pixels), unpack_texts(batch.texts)
    wanted = [*texts[start:stop], *texts[n + start : n + stop], *texts[2 * n + 3 * start : 2 * n + 3 * stop]]
    return Batch(batch.pixels[start:stop], pack_texts(wanted), batch.present[start:stop])


def _model(dtype: torch.dtype, *, checkpoints: bool = False, compiled: bool = False) -> MoodifyClip:
    model = small_model().to(dtype)
    model.clip.set_grad_checkpointing(checkpoints)
    if compiled:
        compile_blocks(model, backend="aot_eager")
    return model


def _stepped(model: torch.nn.Module, slices: list[Batch]) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Losses of two steps, and the second step's gradients."""
    stepper = small_stepper(model, GLOBAL)
    stepper(slices, 0, bf16=False)
    losses = {name: float(loss) for name, loss in stepper(slices, 1, bf16=False).items()}
    gradients = {name: p.grad for name, p in stepper.clip.named_parameters() if p.grad is not None}
    return losses, gradients


def _assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    assert largest > 1e-3
    for name, gradient in expected.items():
        assert (found[name] - gradient).abs().max() < 1e-9 * largest, name


@pytest.mark.parametrize(
    ("cuts", "checkpoints"),
    [
        ((0, 4, 6), True),
        pytest.param((0, 2, 4, 6), False, marks=pytest.mark.torture),
        pytest.param((0, 4, 6), False, marks=pytest.mark.torture),
    ],
)
def test_slices_even_and_uneven_have_the_gradients_of_the_whole_batch(cuts: tuple[int, ...], checkpoints: bool) -> None:
    whole = random_batch(1, ROWS)
    losses, gradients = _stepped(_model(torch.float64), [whole])
    slices = [_rows(whole, start, stop) for start, stop in pairwise(cuts)]
    found, of_slices = _stepped(_model(torch.float64, checkpoints=checkpoints), slices)
    assert found == pytest.approx(losses, rel=1e-9)
    _assert_equal(of_slices, gradients)


def test_activations_that_are_computed_again_change_no_bit() -> None:
    losses, gradients = _stepped(_model(torch.float32), [random_batch(2, ROWS)])
    found, again = _stepped(_model(torch.float32, checkpoints=True), [random_batch(2, ROWS)])
    assert found == losses
    assert all(again[name].equal(gradient) for name, gradient in gradients.items())


@pytest.mark.torture
def test_compiled_blocks_in_slices_with_activations_computed_again_have_the_plain_gradients() -> None:
    whole = random_batch(3, ROWS)
    _, gradients = _stepped(_model(torch.float64), [whole])
    slices = [_rows(whole, 0, 4), _rows(whole, 4, 6)]
    _, found = _stepped(_model(torch.float64, checkpoints=True, compiled=True), slices)
    _assert_equal(found, gradients)


def _on_rank(rank: int, ranks: int) -> tuple[dict[str, float], dict[str, Tensor]]:
    whole, own = random_batch(4, ROWS), ROWS // ranks
    start = rank * own
    slices = [_rows(whole, start, start + 2), _rows(whole, start + 2, start + own)]
    model = DistributedDataParallel(_model(torch.float64, checkpoints=True))
    return _stepped(model, slices)


@pytest.mark.torture
def test_two_ranks_in_slices_with_activations_computed_again_have_the_gradients_of_one() -> None:
    losses, gradients = _stepped(_model(torch.float64), [random_batch(4, ROWS)])
    halves = on_ranks(2, _on_rank)
    for _, found in halves:
        _assert_equal(found, gradients)
    means = {name: sum(told[name] for told, _ in halves) / 2 for name in losses}
    assert means == pytest.approx(losses, rel=1e-9)
