"""Verification over a Ray cluster finds what one process finds, in the same order."""

from collections.abc import Iterator

import pytest

from moodarchive.errors import StageError
from moodarchive.running.parallel_map import in_threads
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import CAPTIONS, SELECTION
from pipelines.runner.cluster import Cluster
from pipelines.runner.distribution import PARTS_WORTH_RAY, over_ray, spread_for
from shards.seal import seal
from tests.making import Fate, fates, rows_of, sealed_archive, write_fates, write_rows
from validate import verify as verification
from validate.verify import verify


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(cpus=2) as running:
        yield running


def _damaged_within(store: Store) -> None:
    """An archive with damage that only a look into its rows and tars finds, under a seal that covers it."""
    sealed_archive(store)
    for part in (0, 1):
        rows = rows_of(store, CAPTIONS, part)
        write_rows(store, CAPTIONS, part, [{**row, "assessment": None} for row in rows])
    verdicts = rows_of(store, SELECTION, 1)
    write_rows(store, SELECTION, 1, [{**row, "split": row["split"] and "heldout"} for row in verdicts])
    assert seal(store)


@pytest.mark.parametrize("fast", [False, True])
def test_the_same_problems_in_the_same_order(
    store: Store, cluster: Cluster, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "TASK_FILES", 3)
    _damaged_within(store)
    if fast:
        for path in ("images/00001.parquet", "items/00000.parquet", "shards/train/00001.tar", "rounds/0000.json"):
            store.write_bytes(path, store.read_bytes(path)[:-1])
        store.remove("safety/00000.json")
        store.write_bytes("captions/00001.json", b"{}")
        store.write_bytes("too many.txt", b"")
    found = list(verify(store, fast=fast, over=over_ray(cluster)))
    assert found == list(verify(store, fast=fast, over=in_threads))
    assert len(found) > 10


def test_an_error_in_a_task_is_raised_as_what_it_was(cluster: Cluster) -> None:
    with pytest.raises(StageError, match=r"^part 3 is bad$") as raised:
        list(over_ray(cluster)(_refuse_three, range(9)))
    assert raised.value.__cause__ is None


def _refuse_three(part: int) -> int:
    if part == 3:
        raise StageError("part 3 is bad")
    return part


def test_small_roots_and_digests_alone_start_no_ray(store: Store) -> None:
    alone, named = Cluster(), Cluster(address="ray://elsewhere:1")
    write_fates(store, 0, fates(0, 3))
    assert spread_for(store, alone, fast=False) is in_threads
    assert spread_for(store, named, fast=True) is not in_threads
    for part in range(1, PARTS_WORTH_RAY):
        write_fates(store, part, [Fate(number=part)])
    assert spread_for(store, alone, fast=False) is not in_threads
    assert spread_for(store, alone, fast=True) is in_threads
