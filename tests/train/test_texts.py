"""Texts are grouped by length with the least padding that so many groups allow."""

from itertools import combinations

import numpy as np
import pytest

from train.texts import grouped


@pytest.mark.parametrize("seed", range(4))
def test_no_other_grouping_leaves_less_padding(seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 12, 14).tolist()
    found = sum(rows * longest for rows, longest in grouped([[1] * length for length in lengths]).groups)
    ordered = sorted(lengths)
    cut_anywhere = (
        [*edges, len(ordered)] for count in range(6) for edges in combinations(range(1, len(ordered)), count)
    )
    least = min(
        sum((stop - start) * ordered[stop - 1] for start, stop in zip([0, *edges], edges, strict=False))
        for edges in cut_anywhere
    )
    assert found == least


@pytest.mark.parametrize("lengths", [[5], [3, 3, 3], [248, 1], list(range(1, 60))])
def test_every_text_is_found_at_its_place(lengths: list[int]) -> None:
    texts = grouped([[number + 1] * length for number, length in enumerate(lengths)])
    assert len(texts.groups) == min(6, len(set(lengths)))
    groups = texts.tokens.split([rows * length for rows, length in texts.groups])
    rows = [row for group, shape in zip(groups, texts.groups, strict=True) for row in group.reshape(shape).tolist()]
    for number, length in enumerate(lengths):
        assert [token for token in rows[texts.places[number]] if token] == [number + 1] * length
