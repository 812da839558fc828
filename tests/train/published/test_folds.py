"""Folds share every label out evenly, and the pairs of a fold are of different pictures."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from moodarchive.errors import DatasetError
from train.published.dataset import Captioned, Located, Pair
from train.published.folds import FOLD_PAIRS, pair_folds, stratified_folds

LABELS = ["joy"] * 53 + ["fear"] * 21 + ["awe"] * 10 + ["envy"] * 3


def _captioned(pictures: int, captions: int) -> Captioned:
    pairs = [
        Pair(Located(f"{number}.jpg"), f"{number} {place}", "positive" if place else "negative")
        for number in range(pictures)
        for place in range(captions)
    ]
    return Captioned(name="made", folder=Path(), pairs=pairs)


def test_five_folds_share_out_every_item_and_every_label() -> None:
    folds = stratified_folds(LABELS, seed=0)
    assert sorted(np.concatenate(folds)) == list(range(len(LABELS)))
    counts = [Counter(LABELS[place] for place in fold) for fold in folds]
    for label in ("joy", "fear", "awe"):
        shares = [count[label] for count in counts]
        assert max(shares) - min(shares) <= 1
    assert max(map(len, folds)) - min(map(len, folds)) <= 1


def test_a_seed_fixes_the_folds_and_another_gives_others() -> None:
    one, same, other = (stratified_folds(LABELS, seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(left, right) for left, right in zip(one, same, strict=True))
    assert not all(np.array_equal(left, right) for left, right in zip(one, other, strict=True))


def test_labels_that_are_all_rare_are_shared_out_together() -> None:
    folds = stratified_folds([str(number) for number in range(12)], seed=0)
    assert sorted(len(fold) for fold in folds) == [2, 2, 2, 3, 3]


def test_fewer_than_ten_items_are_too_few() -> None:
    with pytest.raises(DatasetError, match="9 items are too few for 5 folds"):
        stratified_folds(["joy"] * 9, seed=0)


def test_a_set_of_senticaps_size_gives_five_folds_of_a_thousand_pairs_without_a_picture_twice() -> None:
    data = _captioned(2360, 4)
    folds = pair_folds(data, seed=0)
    assert [len(fold) for fold in folds] == [FOLD_PAIRS] * 5
    for fold in folds:
        assert len({data.pairs[place].picture for place in fold}) == FOLD_PAIRS
        share = sum(data.pairs[place].label == "positive" for place in fold) / FOLD_PAIRS
        assert share == pytest.approx(0.75, abs=0.06)
    assert len(set(np.concatenate(folds))) == 5 * FOLD_PAIRS


def test_a_small_set_gives_folds_of_what_it_has() -> None:
    folds = pair_folds(_captioned(30, 1), seed=0)
    assert [len(fold) for fold in folds] == [6] * 5
