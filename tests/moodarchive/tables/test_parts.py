"""A part is its file and a sidecar written last; equal rows give equal bytes, within bounds."""

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moodarchive.errors import NotAnArchiveError
from moodarchive.storage.store import Store
from moodarchive.tables.parts import (
    finished_parts,
    input_digest,
    part_path,
    read_part,
    read_sidecar,
    run_of_parts,
    sidecar_path,
    write_part,
)
from moodarchive.tables.schemas import (
    CAPTIONS,
    DESCRIPTORS,
    IMAGES,
    SAFETY,
    SCHEMA_VERSION,
    SELECTION,
    Table,
    as_batch,
    empty_row,
)
from tests.making import ORIGIN, rows_of, write_earlier_rows, write_rows

Row = dict[str, object]


def _images(count: int, size: int) -> list[Row]:
    noise = np.random.default_rng(0)
    return [
        empty_row(IMAGES, key=f"{i:016x}", bytes=noise.bytes(size) if i % 5 else None, width=i, status="ok")
        for i in range(count)
    ]


def _batches(table: Table, rows: list[Row], size: int) -> Iterator[pa.RecordBatch]:
    for at in range(0, len(rows), size):
        yield as_batch(table, rows[at : at + size])


def test_batching_does_not_change_the_bytes(store: Store) -> None:
    rows = _images(230, 3_000)
    sizes = (1, 64, 100, 230)
    digests = {write_part(store, IMAGES, size, _batches(IMAGES, rows, size), ORIGIN).sha256 for size in sizes}
    assert len(digests) == 1
    assert rows_of(store, IMAGES, 64) == rows


def test_row_groups_hold_at_most_their_rows_and_64_mb_however_the_rows_came(store: Store) -> None:
    rows = _images(100, 1_200_000)  # 96 MB in a hundred rows: one group by rows, two by bytes
    digests = []
    for part, size in enumerate((100, 7)):
        digests.append(write_part(store, IMAGES, part, _batches(IMAGES, rows, size), ORIGIN).sha256)
        with store.open_read(part_path(IMAGES, part)) as file:
            metadata = pq.ParquetFile(file).metadata
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        assert [group.num_rows for group in groups] == [50, 50]
        assert max(group.total_byte_size for group in groups) <= 64 << 20
    assert digests[0] == digests[1]


def test_many_small_rows_are_cut_by_number(store: Store) -> None:
    write_part(store, IMAGES, 0, _batches(IMAGES, _images(250, 10), 64), ORIGIN)
    with store.open_read(part_path(IMAGES, 0)) as file:
        metadata = pq.ParquetFile(file).metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [100, 100, 50]


def test_a_writer_that_dies_midway_leaves_no_file_and_no_sidecar(store: Store) -> None:
    def dying() -> Iterator[pa.RecordBatch]:
        yield as_batch(IMAGES, _images(150, 100))
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_part(store, IMAGES, 0, dying(), ORIGIN)
    assert store.files() == {}
    assert read_sidecar(store, IMAGES, 0) is None
    assert finished_parts(store, IMAGES) == {}


def test_the_sidecar_comes_last(store: Store) -> None:
    def looking() -> Iterator[pa.RecordBatch]:
        yield as_batch(IMAGES, _images(150, 100))
        assert store.files() == {}

    write_part(store, IMAGES, 0, looking(), ORIGIN)
    root = store.path("")
    store.fs.rm_file(f"{root}/{sidecar_path(IMAGES, 0)}")
    assert store.exists(part_path(IMAGES, 0))
    assert finished_parts(store, IMAGES) == {}, "a file without a sidecar is no finished part"


def test_the_sidecar_tells_rows_bytes_digest_and_origin(store: Store) -> None:
    written = write_rows(store, DESCRIPTORS, 7, [{"emotion": "joy", "phrase": f"p{i}"} for i in range(5)])
    assert read_sidecar(store, DESCRIPTORS, 7) == written == finished_parts(store, DESCRIPTORS)[7]
    path = part_path(DESCRIPTORS, 7)
    assert (written.table, written.part, written.rows, written.settings) == ("descriptors", 7, 5, "test")
    assert written.files == {path: store.sha256(path)} == {path: written.sha256}
    assert written.bytes == store.files()[path]


def test_failures_are_counted_by_kind(store: Store) -> None:
    captions = [{"key": str(i), "status": "failed", "error": "refused" if i % 2 else "too_long"} for i in range(5)]
    assert write_rows(store, CAPTIONS, 0, [*captions, {"key": "9", "status": "ok"}]).failures == {
        "refused": 2,
        "too_long": 3,
    }
    safety = [{"key": "1", "verdict": "unsafe", "status": "ok"}, {"key": "2", "verdict": "safe", "status": "ok"}]
    assert write_rows(store, SAFETY, 0, safety).failures == {"unsafe": 1}
    kept = [{"key": "1", "kept": False, "reason": "repeat"}, {"key": "2", "kept": True}]
    assert write_rows(store, SELECTION, 0, kept).failures == {"repeat": 1}


def test_an_empty_part_is_a_part(store: Store) -> None:
    assert write_rows(store, SELECTION, 0, []).rows == 0
    assert rows_of(store, SELECTION, 0) == []
    assert list(finished_parts(store, SELECTION)) == [0]


def test_reading_is_in_order_and_bounded(store: Store) -> None:
    rows = _images(250, 10)
    write_part(store, IMAGES, 0, _batches(IMAGES, rows, 250), ORIGIN)
    batches = list(read_part(store, IMAGES, 0, batch_rows=40, columns=["key"]))
    assert max(batch.num_rows for batch in batches) <= 40
    assert batches[0].schema.names == ["key"]
    assert [key for batch in batches for key in batch["key"].to_pylist()] == [row["key"] for row in rows]


def test_known_sidecars_are_not_read_again(store: Store) -> None:
    first = write_rows(store, SELECTION, 0, [])
    second = write_rows(store, SELECTION, 1, [])
    store.write_bytes(sidecar_path(SELECTION, 0), b"would be refused")
    assert finished_parts(store, SELECTION, {0: first}) == {0: first, 1: second}


def test_another_schema_version_is_refused_with_what_to_do(store: Store) -> None:
    write_rows(store, SELECTION, 0, [])
    fields = json.loads(store.read_bytes(sidecar_path(SELECTION, 0)))
    later = {**fields, "schema_version": SCHEMA_VERSION + 1, "new": 1}
    store.write_bytes(sidecar_path(SELECTION, 0), json.dumps(later).encode())
    told = rf"selection/00000\.json has schema version {SCHEMA_VERSION + 1}.*reads {SCHEMA_VERSION}.*remedy: "
    with pytest.raises(NotAnArchiveError, match=told):
        read_sidecar(store, SELECTION, 0)


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"[]", b"{}", b"\xff\xfe", json.dumps({"schema_version": SCHEMA_VERSION}).encode()]
)
def test_a_sidecar_of_garbage_is_named(store: Store, garbage: bytes) -> None:
    store.write_bytes(sidecar_path(SELECTION, 3), garbage)
    with pytest.raises(NotAnArchiveError, match=r"selection/00003\.json is no sidecar.*remedy"):
        finished_parts(store, SELECTION)


def test_a_run_of_parts_is_one_input_and_any_changed_part_changes_it(store: Store) -> None:
    for part in range(2, 5):
        write_rows(store, SELECTION, part, [{"key": str(part)}])
    done = finished_parts(store, SELECTION)
    ((name, told),) = run_of_parts(SELECTION, done, range(2, 5)).items()
    digests = {f"selection/{part:05d}": sidecar.sha256 for part, sidecar in done.items()}
    assert name == "selection/00002-00004"
    assert input_digest(name, digests) == told
    for part in digests:
        assert input_digest(name, {**digests, part: "other"}) != told
    assert input_digest("selection/00003", digests) == digests["selection/00003"]
    assert input_digest("selection/00002-00005", digests) is None and input_digest("selection/00005", digests) is None
    assert run_of_parts(SELECTION, done, []) == {}


def test_a_part_of_an_earlier_release_gives_nulls_for_columns_that_came_later(store: Store) -> None:
    write_rows(store, CAPTIONS, 0, [{"key": f"k{i}", "status": "ok", "nudity": True, "gore": False} for i in range(3)])
    whole = rows_of(store, CAPTIONS, 0)
    write_earlier_rows(store, CAPTIONS, 0)
    assert rows_of(store, CAPTIONS, 0) == [row | {"nudity": None, "gore": None} for row in whole]
    (batch,) = read_part(store, CAPTIONS, 0)
    assert batch.schema.equals(CAPTIONS.schema)
    (batch,) = read_part(store, CAPTIONS, 0, columns=["gore", "key"])
    assert batch.to_pydict() == {"key": ["k0", "k1", "k2"], "gore": [None] * 3}
    (batch,) = read_part(store, CAPTIONS, 0, columns=["gore"])
    assert batch.to_pydict() == {"gore": [None] * 3}


def test_doubtful_rows_are_counted_by_their_own_name_and_earlier_sidecars_are_read_as_they_are(store: Store) -> None:
    verdicts = ["safe", "doubtful", "unsafe", "doubtful", None]
    write_rows(store, SAFETY, 0, [{"key": f"k{i}", "verdict": one} for i, one in enumerate(verdicts)])
    sidecar = finished_parts(store, SAFETY)[0]
    assert (sidecar.failures, sidecar.doubtful, sidecar.doubts, sidecar.lost) == ({"unsafe": 1}, 2, 2, 1)
    kept = [{"key": "a", "kept": True, "verdict": "doubtful"}, {"key": "b", "kept": True, "verdict": "safe"}]
    cut = {"key": "c", "kept": False, "reason": "low_score", "verdict": "doubtful"}
    write_rows(store, SELECTION, 0, [*kept, cut])
    selected = finished_parts(store, SELECTION)[0]
    assert (selected.failures, selected.doubtful, selected.lost) == ({"low_score": 1}, 1, 1)

    path = sidecar_path(SAFETY, 0)
    fields = json.loads(store.read_bytes(path))
    del fields["doubtful"]
    earlier = fields | {"failures": {"unsafe": 1, "doubtful": 2}}
    store.write_bytes(path, json.dumps(earlier).encode())
    read = finished_parts(store, SAFETY)[0]
    assert (read.doubtful, read.doubts, read.lost) == (0, 2, 1)
    assert read.to_fields() == earlier
