"""What a step takes of the memory is known before the run, and the largest batch that fits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from moodarchive.storage.store import Store
from tests.making import sealed_archive
from tests.train.small import small_model, small_settings, small_stepper, tiny_clip
from train.data.archive import SealedArchive, open_archive
from train.model.towers import open_towers
from train.settings import TrainSettings
from train.step import memory
from train.step.memory import LiveBytes, find_largest, plan_memory

CPU, MIB = torch.device("cpu"), 2.0**20


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> SealedArchive:
    store = Store(str(tmp_path_factory.mktemp("archive")))
    sealed_archive(store)
    return open_archive(store.root)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> TrainSettings:
    model = tiny_clip(tmp_path_factory.mktemp("clip"))
    return small_settings(model, tmp_path_factory.mktemp("out"), data={"batch": 64})


@pytest.fixture(scope="module")
def peak_of(settings: TrainSettings, archive: SealedArchive) -> memory.PeakOf:
    towers = open_towers(settings.model)
    return memory._estimating(settings, towers, memory._first_samples(settings, archive, towers))


def test_live_bytes_are_those_of_the_tensors_that_live_at_once() -> None:
    with LiveBytes() as live:
        one = torch.zeros(1000)
        view = one[:10]
        two = one + 1
        del two
        three = torch.zeros(500)
        assert live.live == 6000
    assert live.peak == 8000
    del one, three
    assert live.live == 4000  # of which the view still holds the whole
    del view
    assert live.live == 0


def test_a_step_of_fake_tensors_has_the_peak_of_a_real_one(settings: TrainSettings, archive: SealedArchive) -> None:
    towers = open_towers(settings.model)
    samples = memory._first_samples(settings, archive, towers)
    estimated = memory._estimating(settings, towers, samples)(16, 1)
    stepper = small_stepper(small_model())
    cut = memory._cut(samples, 16, 1, settings)
    with LiveBytes() as live:
        for tensor in (*stepper.clip.parameters(), *stepper.clip.buffers()):
            live.count(tensor)
        stepper(memory._cut(samples, 1, 1, settings), 0, bf16=False)
        stepper(cut, 0, bf16=False)
    assert estimated == pytest.approx(live.peak, rel=0.02)


def test_the_peak_grows_with_the_batch_and_shrinks_with_slices(peak_of: memory.PeakOf) -> None:
    small, large, sliced = peak_of(64, 1), peak_of(128, 1), peak_of(128, 4)
    assert 1.5 * small < 1.5 * large - 20 * MIB
    assert small > sliced


def test_a_plan_names_the_slices_that_fit_and_the_largest_batch(
    settings: TrainSettings, archive: SealedArchive, monkeypatch: pytest.MonkeyPatch, peak_of: memory.PeakOf
) -> None:
    limit = 1.01 * peak_of(64, 2)
    monkeypatch.setattr(memory, "free_memory", lambda: limit)
    plan = plan_memory(settings, archive, CPU, ranks=1)
    assert list(plan.peaks) == [1, 2]
    assert plan.peaks[1] > limit >= plan.peaks[2]
    assert 32 <= plan.largest < 64
    assert peak_of(plan.largest, 1) <= limit
    assert not Path(settings.output, "checkpoints").exists()


def test_ranks_share_the_batch_and_hold_their_gradients_twice(
    settings: TrainSettings, archive: SealedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "find_largest", lambda *given: 0)
    alone = plan_memory(settings.model_copy(update={"data": settings.data.model_copy(update={"batch": 16})}),
                        archive, CPU, ranks=1)  # fmt: skip
    of_four = plan_memory(settings, archive, CPU, ranks=4)
    assert of_four.rows == 16
    trained = sum(4 * p.numel() for p in open_towers(settings.model).clip.parameters())
    assert of_four.peaks[1] - alone.peaks[1] == trained


@pytest.mark.parametrize(
    ("peak", "largest"),
    [
        (lambda n: 10 + 2.0 * n, 45),
        (lambda n: 10 + 2.0 * n + 0.01 * n * n, 37),
        (lambda n: 10 + 0.5 * n, 180),
        (lambda n: 10 + 0.01 * n, 512),
        (lambda n: float("inf") if n > 8 else 10 + 2.0 * n, 8),
        (lambda n: 200.0, 0),
    ],
)
def test_the_largest_batch_fits_and_is_not_looked_for_without_end(peak: Callable[[int], float], largest: int) -> None:
    tried: list[int] = []

    def noted(rows: int) -> float:
        tried.append(rows)
        return 1e6 * peak(rows)

    answer = find_largest(noted, 64, 100e6)
    assert 0.93 * largest <= answer <= largest
    assert len(tried) < 16


def test_a_gpu_is_measured_by_steps_and_its_free_memory_counts(
    settings: TrainSettings, archive: SealedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = torch.device("cuda", 0)
    stepper, rows = small_stepper(small_model()), [0]

    def rehearse(cut: Any, *, bf16: bool) -> None:
        assert bf16
        rows[0] = len(cut[0].pixels)
        if rows[0] > 50:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(stepper, "rehearse", rehearse)
    monkeypatch.setattr(memory, "build_stepper", lambda *given, **named: stepper)
    monkeypatch.setattr(memory, "choose_compiling", lambda *given: False)
    monkeypatch.setattr(memory.Batch, "on", lambda batch, device: batch)
    for name, answer in {
        "get_device_name": "H200",
        "mem_get_info": (90e9, 140e9),
        "memory_reserved": 10e9,
        "empty_cache": None,
        "reset_peak_memory_stats": None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda *given, answer=answer: answer)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 5e9 + 2e9 * rows[0])
    plan = plan_memory(settings, archive, gpu, ranks=1)
    assert (plan.device, plan.is_measured, plan.available) == ("H200", True, 95e9)
    assert plan.peaks == {1: float("inf"), 2: 69e9}
    assert 41 <= plan.largest <= 45
