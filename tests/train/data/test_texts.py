"""Texts are packed without padding, and each is found again."""

from itertools import pairwise

import numpy as np
import pytest

from train.data.texts import pack_texts, unpack_texts


@pytest.mark.parametrize("seed", range(40))
def test_packed_texts_hold_every_token_once_and_are_found_again(seed: int) -> None:
    random = np.random.default_rng(seed)
    longest = random.choice([1, 3, 60, 248])
    lengths = random.integers(1, longest, random.integers(1, 25), endpoint=True)
    texts = [random.integers(0, 49408, length).tolist() for length in lengths]
    packed = pack_texts(texts)
    assert unpack_texts(packed) == texts
    assert len(packed.tokens) == sum(map(len, texts))
    bounds = packed.bounds.tolist()
    lengths = [stop - start for start, stop in pairwise(bounds)]
    assert lengths == sorted(map(len, texts)) == [length for count, length in packed.runs for _ in range(count)]
    assert sorted(packed.ranks.tolist()) == list(range(len(texts)))
    assert packed.positions.tolist() == [position for length in lengths for position in range(length)]
