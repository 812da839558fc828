"""Sealed shards as an endless stream of a rank's batches, in the canonical order, from any step on."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from moodarchive.errors import RowError, StageError
from moodarchive.storage.store import Store
from moodarchive.tables.spans import member_span, sample_sha256, sample_span
from train.data.archive import Shard
from train.data.order import Order, StreamOrder
from train.data.samples import Decoder, Sample

_TRIES = 16
"""Samples tried in a corrupt one's place before the stream gives up."""


class _Raw(NamedTuple):
    """A sample as it lies in its tar; not ``sound`` when its bytes are not those that were sealed."""

    key: str
    jpg: bytes
    metadata: bytes
    sound: bool


class _StreamReader:
    """Yields a stream's samples in its order. Reads in sequence; memory is bounded by the shuffle buffer."""

    def __init__(self, shards: Sequence[Shard], order: StreamOrder, decoder: Decoder, epoch: int, start: int) -> None:
        self._shards, self._order, self._decoder, self._epoch = shards, order, decoder, epoch
        self._places = [(span.shard, row) for span in order.spans for row in range(span.start, span.stop)]
        self._emitted_before = np.zeros(len(order), dtype=bool)
        self._emitted_before[order.emitted[:start]] = True
        self._emitted = start
        self._read_up_to = 0
        self._buffered: dict[int, _Raw] = {}
        self._opened: tuple[int, dict[str, list[Any]], BinaryIO] | None = None

    def __next__(self) -> Sample:
        position = int(self._order.emitted[self._emitted])
        self._emitted += 1
        while self._read_up_to <= position:
            if not self._emitted_before[self._read_up_to]:
                self._buffered[self._read_up_to] = self._read(self._read_up_to)
            self._read_up_to += 1
        return self._decode(position, self._buffered.pop(position))

    def _decode(self, position: int, raw: _Raw) -> Sample:
        """The sample, or the next sound one of the stream in a corrupt one's place."""
        corrupt: list[str] = []
        for _ in range(min(_TRIES, len(self._places))):
            try:
                if not raw.sound:
                    raise RowError("changed", raw.key)
                sample = self._decoder(raw.key, self._epoch, raw.jpg, raw.metadata)
                return sample._replace(replaced=tuple(corrupt))
            except RowError:
                corrupt.append(raw.key)
                position = (position + 1) % len(self._places)
                raw = self._read(position)
        raise StageError(
            f"{len(corrupt)} samples in a row are corrupt, from {corrupt[0]} on; remedy: moodarchive verify"
        )

    def _read(self, position: int) -> _Raw:
        number, row = self._places[position]
        if self._opened is None or self._opened[0] != number:
            if self._opened:
                self._opened[2].close()
            shard = self._shards[number]
            self._opened = (number, shard.rows(), Store(shard.root).open_read(shard.tar))
        _, columns, file = self._opened
        row_values = {name: column[row] for name, column in columns.items()}
        span = sample_span(row_values)
        data = span.read(file)
        members = [member_span(row_values, name).within(span, data) for name in ("jpg", "json", "txt")]
        sha256 = sample_sha256(*(hashlib.sha256(member).digest() for member in members))
        return _Raw(row_values["key"], members[0], members[1], sha256 == row_values["sha256"])


@dataclass(frozen=True, kw_only=True)
class RankStream(IterableDataset[list[tuple[int, Sample]]]):
    """A rank's share of the global batches ``first_step`` up to ``last_step``, as one data worker reads it.

    Each step yields what this worker's streams give, with the samples' positions in the rank's batch; the shares of all
    workers together are the batch.
    """

    shards: Sequence[Shard]
    order: Order
    decoder: Decoder
    rank: int
    ranks: int
    first_step: int
    last_step: int

    def __iter__(self) -> Iterator[list[tuple[int, Sample]]]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        if worker:
            torch.set_num_threads(1)
        own_streams, size = self.order.streams // self.ranks, self.order.batch // self.ranks
        readers: dict[int, _StreamReader] = {}
        reading = -1
        for step in range(self.first_step, self.last_step):
            epoch, batch = divmod(step, self.order.steps)
            if epoch != reading:
                readers, reading = {}, epoch
            share = []
            for position in range(size):
                turn, stream = divmod(batch * size + position, own_streams)
                if stream % workers != number:
                    continue
                if stream not in readers:
                    order = self.order.stream(epoch, self.rank + self.ranks * stream)
                    readers[stream] = _StreamReader(self.shards, order, self.decoder, epoch, turn)
                share.append((position, next(readers[stream])))
            yield share

    def batches(self, workers: int) -> Iterator[list[Sample]]:
        """The rank's batches in order, read by so many worker processes, which begin now; 0 reads in this process."""
        loader = DataLoader(
            self,
            batch_size=None,
            num_workers=workers,
            collate_fn=_pack,
            # spawned workers see their parent die; those of a fork server would outlive it
            multiprocessing_context="spawn" if workers else None,
            prefetch_factor=4 if workers else None,
        )
        return _join_shares(iter(loader), max(1, workers))


def _join_shares(shares: Iterator["_Share"], workers: int) -> Iterator[list[Sample]]:
    while batch := list(islice(shares, workers)):
        ordered = sorted((item for share in batch for item in _unpack(share)), key=lambda item: item[0])
        yield [sample for _, sample in ordered]


class _Share(NamedTuple):
    """A worker's part of one batch on its way between processes; each tensor that travels costs a file handle."""

    items: list[tuple[int, tuple[Any, ...]]]
    """Positions in the rank's batch, and samples without their pixels"""
    pixels: Tensor
    """[items, H, W, 3] bytes"""


def _pack(share: list[tuple[int, Sample]]) -> _Share:
    pixels = torch.stack([sample.pixels for _, sample in share]) if share else torch.empty(0)
    return _Share([(position, sample[:-1]) for position, sample in share], pixels)


def _unpack(share: _Share) -> Iterator[tuple[int, Sample]]:
    for (position, fields), pixels in zip(share.items, share.pixels, strict=True):
        yield position, Sample._make((*fields, pixels))
