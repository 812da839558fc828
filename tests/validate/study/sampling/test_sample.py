"""The sample: strata, known probabilities, extension without asking again, licences and held-out images."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from moodarchive.errors import NotAnArchiveError, StudyError
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import IMAGES, SELECTION
from tests.making import rows_of
from tests.validate.study.archives import study_archive
from validate.study.design.items import Item, read_items
from validate.study.sampling.allocation import allocate, take_first
from validate.study.sampling.sample import SampleOptions, sample

OPTIONS = SampleOptions(n=24, heldout=5, workers=3, gold=0.1, seed=7)


def _asked(store: Store) -> dict[str, Item]:
    return {item.item: item for item in read_items(store) if not item.gold}


def test_the_weights_of_a_sample_add_up_to_the_archive(store: Store) -> None:
    study_archive(store)
    design = sample(store, OPTIONS)
    asked = _asked(store)
    assert design.strata == ("emotion", "context", "source")
    assert design.left_out == {"licence allows no adaptation": 4}
    assert round(sum(1 / item.inclusion for item in asked.values())) == 96 - 4
    of_stratum = Counter(item.stratum for item in asked.values())
    for item in asked.values():
        assert of_stratum[item.stratum] == item.sampled <= item.population
    assert sum(count for name, count in of_stratum.items() if name != "heldout") == OPTIONS.n


def test_a_larger_sample_holds_the_smaller_one_as_it_was_asked(store: Store) -> None:
    study_archive(store)
    sample(store, OPTIONS)
    before = read_items(store)
    design = sample(store, replace(OPTIONS, n=40))
    after = {item.item: item for item in read_items(store)}
    assert {item.item for item in before} < after.keys()
    for item in before:
        assert (after[item.item].caption, after[item.item].original) == (item.caption, item.original)
    assert design.batches[0] == len(before) and len(design.batches) == 2
    assert round(sum(1 / item.inclusion for item in after.values() if not item.gold)) == 92


def test_the_same_call_again_changes_nothing(store: Store) -> None:
    study_archive(store)
    sample(store, OPTIONS)
    once = {path: store.sha256(path) for path in store.files("study")}
    sample(store, OPTIONS)
    assert {path: store.sha256(path) for path in store.files("study")} == once


def test_another_seed_or_a_smaller_number_is_refused(store: Store) -> None:
    study_archive(store)
    sample(store, OPTIONS)
    with pytest.raises(StudyError, match="seed 7"):
        sample(store, replace(OPTIONS, seed=8))
    with pytest.raises(StudyError, match="24 were drawn"):
        sample(store, replace(OPTIONS, n=23))


def test_heldout_images_come_in_hash_order_and_rejected_ones_are_replaced(store: Store) -> None:
    study_archive(store)
    hashes = {row["key"]: row["sha256"] for part in (0, 1) for row in rows_of(store, IMAGES, part)}
    heldout = {row["key"] for part in (0, 1) for row in rows_of(store, SELECTION, part) if row["split"] == "heldout"}
    sample(store, OPTIONS)
    shown = sorted(heldout, key=lambda key: hashes[key])
    first = {item.key for item in _asked(store).values() if item.split == "heldout"}
    assert first == set(shown[:5])
    sample(store, OPTIONS, rejected=[shown[0], shown[3]])
    assert {item.key for item in _asked(store).values() if item.split == "heldout"} == set(shown[:7])


def test_gold_questions_show_the_caption_of_another_picture_under_a_name_that_tells_nothing(store: Store) -> None:
    study_archive(store)
    sample(store, OPTIONS)
    items = read_items(store)
    own = {item.key: item for item in items if not item.gold}
    gold = [item for item in items if item.gold]
    assert len(gold) >= 6
    for item in gold:
        assert item.sentences != own[item.key].sentences and item.item not in own
        assert len(item.item) == len(item.key) == 16


def test_an_archive_that_is_not_sealed_is_refused(store: Store) -> None:
    with pytest.raises(NotAnArchiveError, match="moodarchive run"):
        sample(store, OPTIONS)


def test_a_larger_n_takes_no_seat_away_from_any_stratum() -> None:
    population = {"a": 3, "b": 50, "c": 1_000, "d": 20_000, "e": 1}
    seats = [allocate(population, n) for n in range(10, 1_500, 7)]
    assert all(sum(one.values()) == n for one, n in zip(seats, range(10, 1_500, 7), strict=True))
    for smaller, larger in pairwise(seats):
        assert all(larger[name] >= count for name, count in smaller.items())
    assert all(one[name] <= size for one in seats for name, size in population.items())


def test_images_that_come_later_with_an_early_number_are_taken_too() -> None:
    order = [("1", "new"), ("2", "asked"), ("3", "other")]
    assert take_first(order, 1, frozenset({"asked"})) == ["new", "asked"]
