"""One part of a stage, without Ray: current parts are left alone, stale ones redone, tables joined by key."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pytest

from moodarchive.errors import StageError
from moodarchive.running.stage import Readers, Resources, Stage, join_rows, run_part
from moodarchive.storage.store import Store
from moodarchive.tables.parts import read_part, read_sidecar
from moodarchive.tables.schemas import IMAGES, ITEMS, SAFETY, as_batch, empty_row
from tests.making import rows_of, write_rows


@dataclass
class Counting:
    """A toy worker: every picture is safe; it remembers for which parts it worked."""

    worked: list[int] = field(default_factory=list)

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        self.worked.append(part)
        for batch in readers["images"]():
            rows = [empty_row(SAFETY, key=key, verdict="safe", status="ok") for key in batch["key"].to_pylist()]
            yield as_batch(SAFETY, rows)


def _stage(settings: str = "one") -> Stage:
    resources = Resources(cpus=1)
    return Stage(
        name="toy", reads=(IMAGES,), writes=SAFETY, make_worker=Counting, resources=resources, settings=settings
    )


def _images(store: Store, part: int, count: int, width: int = 1) -> None:
    write_rows(store, IMAGES, part, [{"key": f"{i:016x}", "width": width, "status": "ok"} for i in range(count)])


def _keys(store: Store, part: int) -> list[str]:
    return [row["key"] for row in rows_of(store, SAFETY, part)]


def test_a_part_is_made_once_and_then_left_alone(store: Store) -> None:
    _images(store, 4, 150)
    worker = Counting()
    first = run_part(_stage(), store, worker, 4)
    again = run_part(_stage(), store, worker, 4)
    assert worker.worked == [4]
    assert first == again == read_sidecar(store, SAFETY, 4)
    assert _keys(store, 4) == [f"{i:016x}" for i in range(150)]
    assert first.settings == "one"
    made_from = read_sidecar(store, IMAGES, 4)
    assert made_from and first.inputs == {"images/00004": made_from.sha256}


def test_a_changed_input_makes_the_part_stale(store: Store) -> None:
    worker = Counting()
    _images(store, 0, 3)
    run_part(_stage(), store, worker, 0)
    _images(store, 0, 5)
    assert run_part(_stage(), store, worker, 0).rows == 5
    assert worker.worked == [0, 0]


def test_an_input_made_again_with_equal_bytes_does_not(store: Store) -> None:
    worker = Counting()
    _images(store, 0, 3)
    run_part(_stage(), store, worker, 0)
    _images(store, 0, 3)
    run_part(_stage(), store, worker, 0)
    assert worker.worked == [0]


def test_changed_settings_make_the_part_stale(store: Store) -> None:
    worker = Counting()
    _images(store, 0, 3)
    run_part(_stage("one"), store, worker, 0)
    assert run_part(_stage("two"), store, worker, 0).settings == "two"
    assert worker.worked == [0, 0]


def test_a_worker_that_dies_leaves_the_part_undone(store: Store) -> None:
    def dying(part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        yield from Counting()(part, readers)
        raise RuntimeError("died")

    _images(store, 0, 3)
    with pytest.raises(RuntimeError, match="died"):
        run_part(_stage(), store, dying, 0)
    assert list(store.files()) == ["images/00000.json", "images/00000.parquet"]
    assert run_part(_stage(), store, Counting(), 0).rows == 3


def test_an_input_that_is_not_done_is_named(store: Store) -> None:
    with pytest.raises(StageError, match=r"toy: images/00007 is not done"):
        run_part(_stage(), store, Counting(), 7)


def _readers(store: Store) -> Readers:
    return {table.name: lambda table=table: read_part(store, table, 0) for table in (ITEMS, IMAGES)}  # type: ignore[misc]


@pytest.mark.parametrize("count", [1, 64, 250])
def test_tables_are_joined_row_by_row_whatever_their_row_groups(store: Store, count: int) -> None:
    small_groups = replace(IMAGES, rows_per_group=7)
    write_rows(store, ITEMS, 0, [{"key": f"{i:016x}", "title": str(i)} for i in range(count)])
    write_rows(store, small_groups, 0, [{"key": f"{i:016x}", "width": i, "status": "ok"} for i in range(count)])
    pairs = [pair for some in join_rows(_readers(store), "items", "images") for pair in zip(*some, strict=True)]
    assert [(items["title"], image["width"]) for items, image in pairs] == [(str(i), i) for i in range(count)]


@pytest.mark.parametrize(
    ("items", "images"),
    [(["a", "b"], ["a", "c"]), (["a", "b"], ["b", "a"]), (["a", "b"], ["a"]), (64 * ["a"], 65 * ["a"]), (["a"], [])],
    ids=["another key", "another order", "a row less", "a batch more", "none"],
)
def test_tables_of_other_keys_are_never_joined(store: Store, items: list[str], images: list[str]) -> None:
    write_rows(store, ITEMS, 0, [{"key": key} for key in items])
    write_rows(store, IMAGES, 0, [{"key": key, "status": "ok"} for key in images])
    with pytest.raises(StageError, match="the keys of items and images differ; remedy"):
        list(join_rows(_readers(store), "items", "images"))
