"""Several ranks cut their batches into the same number of slices, also where only one of them has no room."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from moodarchive.errors import StageError
from moodarchive.storage.store import Store
from tests.making import sealed_archive
from tests.train.ranks import on_ranks
from tests.train.small import log_of, random_batch, small_model, small_settings, small_stepper, tiny_clip
from train.loop import train
from train.settings import LossSettings, TrainSettings
from train.step import slicing
from train.step.slicing import Slicing
from train.step.stepper import Stepper

CPU = torch.device("cpu")


class _Memory:
    """Holds so many samples at once from the step of this number on; notes what is tried."""

    def __init__(self, limits: dict[int, int]) -> None:
        self.tried: list[int] = []
        backward = Stepper.backward

        def with_limit(stepper: Stepper, slices: Any, *, bf16: bool) -> Any:
            self.tried.append(len(slices[0].pixels))
            limit = [rows for first, rows in sorted(limits.items()) if first <= self.steps][-1]
            if len(slices[0].pixels) > limit:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return backward(stepper, slices, bf16=bf16)

        update = Stepper.update

        def counted(stepper: Stepper, step: int, is_sound: Any) -> None:
            self.steps = step + 1
            update(stepper, step, is_sound)

        self.steps = 0
        Stepper.backward = with_limit  # type: ignore[method-assign]
        Stepper.update = counted  # type: ignore[method-assign]


def _train_with_little_memory_on_rank_1(
    settings: TrainSettings, root: str, limits: dict[int, int], rank: int, ranks: int
) -> tuple[list[int], str]:
    memory = _Memory(limits if rank == 1 else {0: 1000})
    try:
        train(settings, root, lambda report: None)
    except StageError as error:
        if rank == 1:
            return memory.tried, str(error)
        return memory.tried, "the other ranks"
    return memory.tried, ""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = Store(str(tmp_path_factory.mktemp("archive")))
    sealed_archive(store)
    return store.root


@pytest.mark.slow
def test_ranks_of_which_one_has_little_memory_agree_before_the_first_step(root: str, tmp_path: Path) -> None:
    model = tiny_clip(tmp_path / "clip")
    settings = small_settings(model, tmp_path / "sliced", data={"epochs": 1})
    (first, _), (second, _) = on_ranks(2, partial(_train_with_little_memory_on_rank_1, settings, root, {0: 2}))
    assert first == [6, 3, 2, *[2] * 3]
    assert second == first
    whole = small_settings(model, tmp_path / "whole", data={"epochs": 1})
    on_ranks(2, partial(_train_with_little_memory_on_rank_1, whole, root, {0: 6}))
    for one, other in zip(log_of(tmp_path / "sliced"), log_of(tmp_path / "whole"), strict=True):
        assert one["keys"] == other["keys"]
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)


def _rehearsed(rank: int, ranks: int) -> bool:
    """Whether a rank that rehearses while the other does not comes back, with everything as it was."""
    losses = LossSettings(transport_scope="global", negatives="batch")  # type: ignore[arg-type]
    stepper = small_stepper(DistributedDataParallel(small_model()), losses)
    before = {name: tensor.clone() for name, tensor in stepper.clip.state_dict().items()}
    if rank:
        stepper.rehearse([random_batch(1, 2), random_batch(2, 2)], bf16=False)
    untouched = all(torch.equal(before[name], tensor) for name, tensor in stepper.clip.state_dict().items())
    stepper([random_batch(3 + rank)], 0, bf16=False)  # the ranks still meet
    return untouched


@pytest.mark.slow
def test_a_rank_rehearses_without_the_others_and_changes_nothing() -> None:
    assert on_ranks(2, _rehearsed) == [True, True]


def test_a_rehearsal_leaves_a_run_as_it_was_and_makes_the_optimisers_state() -> None:
    plain, rehearsed = small_stepper(small_model()), small_stepper(small_model())
    rehearsed.rehearse([random_batch(9)], bf16=False)
    assert len(rehearsed.optimiser.state) > 0
    for step in range(2):
        batch = random_batch(step)
        expected, losses = plain([batch], step, bf16=False), rehearsed([batch], step, bf16=False)
        assert all(torch.equal(losses[name], loss) for name, loss in expected.items())
    for one, other in zip(plain.clip.parameters(), rehearsed.clip.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_number_of_slices_is_remembered_for_the_same_share_ranks_and_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    monkeypatch.setattr(slicing, "world_size", lambda: 2)
    failed = Slicing(store, 2, CPU)
    failed.remember(12)
    assert Slicing(store, 1, CPU)._recall(12) == 4
    assert Slicing(store, 1, CPU)._recall(6) == 1
    monkeypatch.setattr(slicing, "world_size", lambda: 4)
    assert Slicing(store, 1, CPU)._recall(12) == 1
    for damaged in (b"{", b"[]", json.dumps({"slices": "many"}).encode()):
        store.write_bytes("checkpoints/slices.json", damaged)
        assert Slicing(store, 1, CPU)._recall(12) == 1


@pytest.mark.torture
def test_a_later_step_that_does_not_fit_one_rank_ends_the_run_and_the_next_one_goes_on(
    root: str, tmp_path: Path
) -> None:
    settings = small_settings(tiny_clip(tmp_path / "clip"), tmp_path / "out")
    with pytest.raises(Exception, match=r"in more slices|terminated"):
        on_ranks(2, partial(_raise_with_little_memory_on_rank_1, settings, root, {0: 6, 3: 3}))
    assert [line["step"] for line in log_of(tmp_path / "out")] == [1, 2]
    (first, _), (second, _) = on_ranks(2, partial(_train_with_little_memory_on_rank_1, settings, root, {0: 3}))
    assert first == second == [3] * 5  # a rehearsal and the four steps that were left
    assert [line["step"] for line in log_of(tmp_path / "out")] == [1, 2, 3, 4, 5, 6]


def _raise_with_little_memory_on_rank_1(
    settings: TrainSettings, root: str, limits: dict[int, int], rank: int, ranks: int
) -> None:
    _Memory(limits if rank == 1 else {0: 1000})
    train(settings, root, lambda report: None)
