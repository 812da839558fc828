"""The next batch is read, collated and copied while a step is computed, and is the same however it was brought."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from train.data import feed
from train.data.batch import Batch
from train.data.feed import Feeder, choose_workers
from train.data.samples import Sample, collate

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def _samples(number: int, rows: int = 3) -> list[Sample]:
    return [
        Sample(
            key=f"{number}-{row}",
            full=[1, number, row, 2],
            short=[1, 2],
            ends=([1, 2], [1, 2]),
            stimuli=[[1, row, 2]],
            replaced=(),
            pixels=torch.full((4, 4, 3), number + row, dtype=torch.uint8),
        )
        for row in range(rows)
    ]


def _collate(samples: Any) -> list[Batch]:
    return [collate(samples[:2]), collate(samples[2:])]


@pytest.mark.parametrize(
    ("machine", "wish", "streams", "workers"),
    [
        ((CUDA, 16, 1), "auto", 96, 15),
        ((CUDA, 128, 8), "auto", 12, 12),
        ((CUDA, 128, 8), "auto", 96, 15),
        ((CUDA, 8, 8), "auto", 12, 1),
        ((CPU, 64, 1), "auto", 96, 2),
        ((CPU, 2, 1), "auto", 96, 1),
        ((CUDA, 16, 1), 0, 96, 0),
        ((CPU, 2, 1), 40, 8, 40),
    ],
)
def test_reading_processes_follow_the_ranks_share_of_the_cores(
    machine: tuple[torch.device, int, int], wish: Any, streams: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, cores, ranks = machine
    monkeypatch.setattr(feed, "available_cores", lambda: cores)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
    assert choose_workers(wish, device, streams) == workers


@pytest.mark.parametrize("ahead", [False, True])
def test_batches_come_in_order_and_in_slices_however_they_are_brought(ahead: bool) -> None:
    with Feeder(iter([_samples(number) for number in range(5)]), _collate, CPU, ahead=ahead) as feeder:
        batches = list(feeder)
    assert [[sample.key for sample in batch.samples] for batch in batches] == [
        [f"{number}-{row}" for row in range(3)] for number in range(5)
    ]
    for number, batch in enumerate(batches):
        for piece, expected in zip(batch.slices, _collate(_samples(number)), strict=True):
            assert torch.equal(piece.pixels, expected.pixels)
            assert torch.equal(piece.texts.tokens, expected.texts.tokens)
            assert torch.equal(piece.present, expected.present)


def test_the_next_batch_is_collated_while_the_step_is_computed() -> None:
    collated = [threading.Event() for _ in range(3)]

    def collate_and_say(samples: Any) -> list[Batch]:
        assert threading.current_thread() is not threading.main_thread()
        collated[int(samples[0].full[1])].set()
        return _collate(samples)

    with Feeder(iter([_samples(number) for number in range(3)]), collate_and_say, CPU, ahead=True) as feeder:
        for number, _ in enumerate(feeder):
            if number < 2:  # the step: it lasts until the next batch is there
                assert collated[number + 1].wait(10)


def test_the_wait_for_a_batch_is_measured_and_only_that() -> None:
    gate = threading.Event()

    def slow() -> Iterator[list[Sample]]:
        yield _samples(0)
        assert gate.wait(10)
        yield _samples(1)

    with Feeder(slow(), _collate, CPU, ahead=True) as feeder:
        batches = iter(feeder)
        next(batches)
        threading.Timer(0.3, gate.set).start()
        assert 0.2 < next(batches).waited < 5


def test_an_error_of_the_reading_is_raised_where_the_batch_was_due() -> None:
    def broken() -> Iterator[list[Sample]]:
        yield _samples(0)
        raise ValueError("a reading process died")

    with Feeder(broken(), _collate, CPU, ahead=True) as feeder:
        batches = iter(feeder)
        assert next(batches).samples[0].key == "0-0"
        with pytest.raises(ValueError, match="a reading process died"):
            next(batches)


def test_a_run_that_ends_early_leaves_no_thread_behind() -> None:
    def endless() -> Iterator[list[Sample]]:
        while True:
            yield _samples(0)

    with Feeder(endless(), _collate, CPU, ahead=True) as feeder:
        next(iter(feeder))
        assert any(thread.name == "feeder" for thread in threading.enumerate())
    assert not any(thread.name == "feeder" for thread in threading.enumerate())


class _FakeGpu:
    """Notes in which order a GPU would be asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.stream = "the step's"
        calls, gpu = self.calls, self

        class Stream:
            def __init__(self, device: torch.device) -> None:
                assert device == CUDA

            def wait_event(self, event: Any) -> None:
                calls.append("the step's stream waits")

        class Event:
            def record(self) -> None:
                calls.append(f"event on {gpu.stream} stream")

        @contextmanager
        def on_stream(stream: Any) -> Iterator[None]:
            gpu.stream = "a side"
            yield
            gpu.stream = "the step's"

        def to(tensor: Tensor, device: torch.device, *, non_blocking: bool) -> Tensor:
            calls.append(f"copy on {gpu.stream} stream, {'not waited for' if non_blocking else 'waited for'}")
            return tensor

        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "stream", on_stream)
        monkeypatch.setattr(torch.cuda, "current_stream", Stream)
        monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: self._note("pin", tensor))
        monkeypatch.setattr(Tensor, "to", to)
        monkeypatch.setattr(Tensor, "record_stream", lambda tensor, stream: self._note("keep", tensor))

    def _note(self, call: str, tensor: Tensor) -> Tensor:
        self.calls.append(call)
        return tensor


def test_a_gpu_copies_pinned_memory_on_a_stream_of_its_own_and_the_step_waits_on_the_gpu_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = _FakeGpu(monkeypatch)
    with Feeder(iter([_samples(0)]), lambda samples: [collate(samples)], CUDA, ahead=True) as feeder:
        (_,) = list(feeder)
    pieces = 6  # pixels, four tensors of the texts, present
    copies = ["copy on a side stream, not waited for"] * pieces
    assert gpu.calls == [*["pin"] * pieces, *copies, "event on a side stream", "the step's stream waits",
                         *["keep"] * pieces]  # fmt: skip


def test_a_gpu_without_reading_processes_is_fed_on_the_steps_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = _FakeGpu(monkeypatch)
    with Feeder(iter([_samples(0)]), lambda samples: [collate(samples)], CUDA, ahead=False) as feeder:
        (_,) = list(feeder)
    assert gpu.calls == [*["pin"] * 6, *["copy on the step's stream, not waited for"] * 6]
