"""The order of samples: whole, bounded in its shuffling, and independent of ranks."""

from collections import Counter

import pytest

from moodarchive.errors import ConfigError
from train.data.order import Order, StreamOrder

UNEVEN = (3, 200, 1, 17, 64, 5)


def _positions(stream: StreamOrder) -> list[tuple[int, int]]:
    return [(span.shard, row) for span in stream.spans for row in range(span.start, span.stop)]


def _samples(order: Order, epoch: int) -> list[tuple[int, int]]:
    """All samples of an epoch in global order."""
    streams = [order.stream(epoch, number) for number in range(order.streams)]
    positions = [_positions(stream) for stream in streams]
    return [
        positions[q % order.streams][streams[q % order.streams].emitted[q // order.streams]]
        for q in range(order.samples)
    ]


@pytest.mark.parametrize("sizes", [UNEVEN, (7,), (1,) * 40, (10_000,)])
def test_an_epoch_holds_every_sample_once(sizes: tuple[int, ...]) -> None:
    order = Order(archives=[sizes], weights=[1.0], seed=1, batch=4, streams=12, buffer=8)
    found = Counter(_samples(order, 0))
    assert found == Counter((shard, row) for shard, size in enumerate(sizes) for row in range(size))
    assert order.steps == sum(sizes) // 4


def test_epochs_and_seeds_differ_and_are_repeatable() -> None:
    order = Order(archives=[UNEVEN], weights=[1.0], seed=1, batch=4, streams=12, buffer=8)
    other = Order(archives=[UNEVEN], weights=[1.0], seed=2, batch=4, streams=12, buffer=8)
    assert _samples(order, 0) == _samples(order, 0)
    assert len({tuple(_samples(order, 0)), tuple(_samples(order, 1)), tuple(_samples(other, 0))}) == 3


def test_the_buffer_bounds_how_far_a_sample_moves_ahead() -> None:
    stream = Order(archives=[(500,)], weights=[1.0], seed=1, batch=4, streams=1, buffer=16).stream(0, 0)
    assert sorted(stream.emitted) == list(range(500))
    assert all(position < place + 16 for place, position in enumerate(stream.emitted))
    assert sum(position != place for place, position in enumerate(stream.emitted)) > 400


def test_archives_are_mixed_by_weight() -> None:
    order = Order(archives=[(50, 50), (40,)], weights=[0.5, 2.0], seed=1, batch=4, streams=6, buffer=8)
    found = Counter(shard for shard, _ in _samples(order, 0))
    assert found[0] + found[1] == 50
    assert found[2] == 80
    assert set(Counter(_samples(order, 0)[:]).values()) <= {1, 2}
    seen = {sample for epoch in range(30) for sample in _samples(order, epoch)}
    assert len(seen) > 130  # another half each epoch


def test_ranks_that_do_not_divide_are_refused() -> None:
    order = Order(archives=[UNEVEN], weights=[1.0], seed=1, batch=12, streams=12, buffer=8)
    order.check_ranks(3)
    with pytest.raises(ConfigError, match=r"5 ranks do not divide 12 streams and a global batch of 12; remedy"):
        order.check_ranks(5)


def test_an_archive_under_one_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"7 samples an epoch, fewer than one global batch of 8; remedy"):
        Order(archives=[(7,)], weights=[1.0], seed=1, batch=8)
