"""The stream of samples from real tars: the same global batches on any number of ranks, from any step on."""

from itertools import chain

import pytest

from moodarchive.storage.store import Store
from tests.making import sealed_archive
from tests.train.small import PREPROCESS, tiny_clip
from train.data.archive import Shard, open_archive
from train.data.batch import Reads
from train.data.order import Order
from train.data.samples import Decoder, Sample, collate
from train.data.stream import RankStream
from train.data.texts import unpack_texts


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Shard]:
    store = Store(str(tmp_path_factory.mktemp("archive")))
    sealed_archive(store)
    return list(open_archive(store.root).shards)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    model = tiny_clip(tmp_path_factory.mktemp("clip"))
    return Decoder(model=model, context=248, preprocess_config=PREPROCESS, seed=0)


def _batches(shards: list[Shard], decoder: Decoder, ranks: int = 1, first: int = 0) -> list[list[Sample]]:
    """The global batches, the ranks' samples laid back into their order."""
    order = Order(archives=[[shard.samples for shard in shards]], weights=[1.0], seed=3, batch=6, streams=6, buffer=4)
    shares = [
        RankStream(
            shards=shards,
            order=order,
            decoder=decoder,
            rank=rank,
            ranks=ranks,
            first_step=first,
            last_step=2 * order.steps,
        ).batches(workers=0)
        for rank in range(ranks)
    ]
    return [[sample for row in zip(*batch, strict=True) for sample in row] for batch in zip(*shares, strict=True)]


def _keys(batches: list[list[Sample]]) -> list[list[str]]:
    return [[sample.key for sample in batch] for batch in batches]


@pytest.mark.parametrize("ranks", [2, 3, 6])
def test_the_global_batches_do_not_depend_on_the_ranks(shards: list[Shard], decoder: Decoder, ranks: int) -> None:
    assert _keys(_batches(shards, decoder, ranks)) == _keys(_batches(shards, decoder))


def test_a_stream_goes_on_with_the_very_next_batch_and_the_same_crops(shards: list[Shard], decoder: Decoder) -> None:
    whole = _batches(shards, decoder)
    for first in (1, len(whole) // 2, len(whole) - 1):
        rest = _batches(shards, decoder, ranks=3, first=first)
        assert _keys(rest) == _keys(whole[first:])
        for batch, expected in zip(rest, whole[first:], strict=True):
            assert collate(batch).pixels.equal(collate(expected).pixels)


def test_an_epoch_repeats_no_sample_and_drops_less_than_a_batch(shards: list[Shard], decoder: Decoder) -> None:
    whole = _keys(_batches(shards, decoder))
    epochs = [list(chain.from_iterable(whole[: len(whole) // 2])), list(chain.from_iterable(whole[len(whole) // 2 :]))]
    samples = sum(shard.samples for shard in shards)
    for keys in epochs:
        assert len(set(keys)) == len(keys) > samples - 6
    assert epochs[0] != epochs[1]


def test_a_batch_holds_the_texts_that_losses_read_and_marks_missing_stimuli(
    shards: list[Shard], decoder: Decoder
) -> None:
    samples = _batches(shards, decoder)[0]
    samples[1] = samples[1]._replace(stimuli=samples[1].stimuli[:1])
    batch = collate(samples)
    assert batch.present.tolist()[:2] == [[True] * 3, [True, False, False]]
    full = [sample.full for sample in samples]
    three = [[*sample.stimuli, [0], [0]][:3] for sample in samples]
    ends = [sample.ends for sample in samples]
    five = [[ends[row][0], *three[row], ends[row][1]] for row in range(len(samples))]
    for reads, short, fine in (
        (Reads(short=False, fine=False), [], []),
        (Reads(fine=False), [[sample.short] for sample in samples], []),
        (Reads(short=False), [], three),
        (Reads(apart=True), ends, three),
        (Reads(apart=True, parts=5), [], five),
        (Reads(apart=True, parts=5, fine=False), ends, []),
        (Reads(parts=5), [[sample.short] for sample in samples], five),
    ):
        texts = collate(samples, reads).texts
        assert unpack_texts(texts) == [*full, *chain.from_iterable(short), *chain.from_iterable(fine)]
        assert len(texts.ranks) == len(samples) * (1 + reads.short_texts + reads.fine_texts)
    assert collate(samples, Reads(parts=5)).present.tolist()[:2] == [[True] * 5, [True, True, False, False, True]]
