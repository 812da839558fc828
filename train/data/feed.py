"""Batches on their way to the device: the next one is read, collated and copied while a step is computed."""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from moodarchive.running.cores import available_cores
from train.data.batch import Batch
from train.data.samples import Sample

Collate = Callable[[Sequence[Sample]], list[Batch]]
_MOST_BESIDE_A_CPU = 2
"""Reading processes a rank where the model computes on the same cores."""


def choose_workers(wish: int | Literal["auto"], device: torch.device, streams: int) -> int:
    """Reading processes of this rank, which reads so many ``streams``.

    "auto": the rank's share of this machine's cores, less one for the rank itself.
    """
    if wish != "auto":
        return wish
    ranks_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    most = _MOST_BESIDE_A_CPU if device.type == "cpu" else streams
    return max(1, min(available_cores() // max(1, ranks_here) - 1, most, streams))


class FedBatch(NamedTuple):
    """A rank's batch of one step."""

    samples: list[Sample]
    slices: list[Batch]
    """What passes the towers one after another, on the device"""
    waited: float
    """Seconds that the step waited for it"""


class _Copied(NamedTuple):
    samples: list[Sample]
    slices: list[Batch]
    event: torch.cuda.Event | None


class Feeder:
    """Iterates over the fed batches; used in a ``with``, whose end stops the reading.

    ``ahead``: a thread takes the next batch from the reading processes, collates it and copies it, on a GPU from
    pinned memory and on a stream of its own, at most two batches before the step. Otherwise all of that is done when
    the step asks: pictures that are decoded in this process draw from torch's generator, which a step must not share.
    """

    def __init__(self, batches: Iterator[list[Sample]], collate: Collate, device: torch.device, *, ahead: bool) -> None:
        self._batches, self._collate, self._device, self._ahead = batches, collate, device, ahead
        on_gpu = ahead and device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]
        self._queue: queue.Queue[_Copied | BaseException | None] = queue.Queue(maxsize=1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run_ahead, name="feeder", daemon=True)

    def __enter__(self) -> "Feeder":
        if self._ahead:
            self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stopped.set()
        if self._ahead:
            self._thread.join()

    def __iter__(self) -> Iterator[FedBatch]:
        while True:
            began = time.perf_counter()
            copied = self._next()
            if copied is None:
                return
            self._hand_over(copied)
            yield FedBatch(copied.samples, copied.slices, time.perf_counter() - began)

    def copy(self, samples: Sequence[Sample]) -> list[Batch]:
        """The slices of a batch on the device, as the step's own stream sees them."""
        return [_move(piece, self._device) for piece in self._collate(samples)]

    def _next(self) -> _Copied | None:
        if self._ahead:
            item = self._queue.get()
            if isinstance(item, BaseException):
                raise item
            return item
        samples = next(self._batches, None)
        return None if samples is None else _Copied(samples, self.copy(samples), None)

    def _run_ahead(self) -> None:
        try:
            for samples in self._batches:
                if not self._put(self._copy_aside(samples)):
                    return
            self._put(None)
        except BaseException as error:  # noqa: BLE001  whoever asks for the next batch raises it
            self._put(error)

    def _put(self, item: _Copied | BaseException | None) -> bool:
        """False when nobody waits for it any more."""
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def _copy_aside(self, samples: list[Sample]) -> _Copied:
        if self._stream is None:
            return _Copied(samples, self.copy(samples), None)
        with torch.cuda.stream(self._stream):
            slices = self.copy(samples)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
        return _Copied(samples, slices, event)

    def _hand_over(self, copied: _Copied) -> None:
        """The step's kernels wait for the copy, on the GPU; the batch's memory is kept until they are through."""
        if copied.event is None:
            return
        current = torch.cuda.current_stream(self._device)
        current.wait_event(copied.event)

        def keep(tensor: Tensor) -> Tensor:
            tensor.record_stream(current)
            return tensor

        for piece in copied.slices:
            piece.map(keep)


def _move(piece: Batch, device: torch.device) -> Batch:
    """A GPU copies from pinned memory alone without the process waiting for it."""
    return piece.map(torch.Tensor.pin_memory).on(device) if device.type == "cuda" else piece
