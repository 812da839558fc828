"""The order of samples in an epoch: a function of seed, epoch and the shards' sizes, and of nothing else.

All samples of the permuted shards, end to end, are cut into C canonical streams of nearly equal length. Each stream is
read in sequence and leaves through a bounded shuffle buffer. Sample q of the epoch is the next one of stream q mod C. A
global batch is the next B samples; rank r of R takes those with q mod R = r, which lie in the streams c with c mod R =
r, as R divides C. So the global batches do not depend on ranks or workers, every rank takes the same number of steps,
few and uneven shards lose nothing, and at most one incomplete batch an epoch is dropped.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from moodarchive.errors import ConfigError


@dataclass(frozen=True)
class Span:
    """Rows ``start`` up to ``stop`` of a shard."""

    shard: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, kw_only=True)
class Order:
    """How samples are ordered.

    ``archives`` holds the shards' sizes of each archive, ``weights`` how often an archive's samples are seen in an
    epoch (0.5: a random half of its shards' samples, another one each epoch). Shards are numbered through all archives.
    """

    archives: Sequence[Sequence[int]]
    weights: Sequence[float]
    seed: int
    batch: int
    streams: int = 96
    buffer: int = 64

    def __post_init__(self) -> None:
        if self.samples < self.batch:
            raise ConfigError(
                f"the archive has {self.samples} samples an epoch, fewer than one global batch of {self.batch}; "
                "remedy: a smaller batch"
            )

    @property
    def samples(self) -> int:
        """Samples of an epoch, those of the dropped batch included."""
        return sum(round(sum(sizes) * weight) for sizes, weight in zip(self.archives, self.weights, strict=True))

    @property
    def steps(self) -> int:
        """Global batches of an epoch."""
        return self.samples // self.batch

    def check_ranks(self, ranks: int) -> None:
        """ConfigError unless streams and batches divide among the ranks."""
        if self.streams % ranks or self.batch % ranks:
            raise ConfigError(
                f"{ranks} ranks do not divide {self.streams} streams and a global batch of {self.batch}; remedy: a "
                "number of ranks that divides both (another data.streams or data.batch changes the order of samples)"
            )

    def stream(self, epoch: int, number: int) -> "StreamOrder":
        """The epoch's stream of this number."""
        spans = self._epoch(epoch)
        # the longer streams come first, so that sample q is there for every q
        short, longer = divmod(self.samples, self.streams)
        start = number * short + min(number, longer)
        stop = start + short + (number < longer)
        return StreamOrder(
            spans=tuple(_cut(spans, start, stop)),
            emitted=_through_buffer(stop - start, self.buffer, _random(self.seed, "stream", epoch, number)),
        )

    def _epoch(self, epoch: int) -> list[Span]:
        pieces: list[Span] = []
        first = 0
        for number, (sizes, weight) in enumerate(zip(self.archives, self.weights, strict=True)):
            wanted = round(sum(sizes) * weight)
            turn = 0
            while wanted > 0:
                for shard in _permutation(len(sizes), _random(self.seed, "archive", epoch, number, turn)):
                    taken = min(sizes[shard], wanted)
                    # a cut shard starts anywhere, so that over the epochs all of its samples are seen
                    start = int(
                        _random(self.seed, "cut", epoch, number, turn).random_raw() % (sizes[shard] - taken + 1)
                    )
                    pieces.append(Span(first + int(shard), start, start + taken))
                    wanted -= taken
                turn += 1
            first += len(sizes)
        shuffled = _permutation(len(pieces), _random(self.seed, "epoch", epoch))
        return [pieces[index] for index in shuffled if len(pieces[index])]


@dataclass(frozen=True)
class StreamOrder:
    """One stream of one epoch: what is read in sequence, and in which order its positions leave the buffer."""

    spans: tuple[Span, ...]
    emitted: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.emitted)


def _cut(spans: Sequence[Span], start: int, stop: int) -> list[Span]:
    """The part of all samples, end to end, between two positions."""
    ends = np.cumsum([0, *map(len, spans)])
    parts = []
    for span, (begins, ends_at) in zip(spans, pairwise(ends), strict=True):
        low, high = max(start, int(begins)), min(stop, int(ends_at))
        if low < high:
            parts.append(Span(span.shard, span.start + low - int(begins), span.start + high - int(begins)))
    return parts


def _through_buffer(length: int, size: int, random: np.random.PCG64) -> npt.NDArray[np.int64]:
    """The positions 0 … length - 1 as they leave a shuffle buffer of ``size``: none moves ahead by more than that."""
    emitted = np.empty(length, dtype=np.int64)
    buffered = list(range(min(size, length)))
    for position, draw in enumerate(random.random_raw(length) if length else ()):
        chosen = int(draw) % len(buffered)
        emitted[position] = buffered[chosen]
        entering = position + size
        if entering < length:
            buffered[chosen] = entering
        else:
            buffered[chosen] = buffered[-1]
            buffered.pop()
    return emitted


def _permutation(length: int, random: np.random.PCG64) -> npt.NDArray[np.int64]:
    return np.argsort(random.random_raw(length), kind="stable") if length else np.empty(0, dtype=np.int64)


def _random(seed: int, *names: object) -> np.random.PCG64:
    """A generator named by its arguments; its raw numbers are the same on every machine and in every release."""
    text = "/".join(map(str, (seed, *names)))
    return np.random.PCG64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))
