"""The whole-table steps keep their pace and their answers where pictures crowd together."""

import time
from random import Random

import duckdb
import numpy as np
import pyarrow as pa

from filter.cut import CutSettings, cut, is_cut_current
from filter.repeats import find_repeats
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import SELECTION
from tests.filter.reference import Case, write_cases
from tests.making import IMAGE_TABLES, rows_of, write_rows


def _repeats(hashes: list[int]) -> dict[int, int]:
    ranked = pa.table({"place": range(1, len(hashes) + 1), "phash": pa.array(hashes, pa.uint64())})
    with duckdb.connect() as connection:
        connection.register("ranked", ranked)
        find_repeats(connection)
        return dict(connection.execute("SELECT place, of FROM near").fetchall())


def test_any_three_flipped_bits_are_found_and_four_are_not() -> None:
    random = Random(5)
    for flips, expected in ((1, True), (2, True), (3, True), (4, False)):
        for _ in range(25):
            one = random.getrandbits(64)
            other = one ^ sum(1 << bit for bit in random.sample(range(64), flips))
            assert _repeats([one, other]) == ({2: 1} if expected else {})


def test_a_hundred_thousand_equal_pictures_all_repeat_the_first() -> None:
    began = time.perf_counter()
    found = _repeats([7] * 100_000)
    assert time.perf_counter() - began < 5, "comparing all with all would take minutes"
    assert found == dict.fromkeys(range(2, 100_001), 1)


def test_equal_pictures_share_the_fate_of_their_first() -> None:
    # the second is near the first, the third near the second only: it survives, and its equals repeat it
    assert _repeats([0, 0b111, 0b111111, 0b111, 0b111111]) == {2: 1, 4: 1, 5: 3}


def test_the_extreme_hashes_are_hashes_like_others() -> None:
    top = 2**64 - 1
    assert _repeats([0, top, top - 1, 1]) == {3: 2, 4: 1}
    assert _repeats([]) == {} and _repeats([top]) == {}


def test_a_part_without_images_is_judged_too(store: Store) -> None:
    images = [Case(name=str(i), phash=int(np.uint64(i * 0x9E3779B97F4A7C15 % 2**64))) for i in range(30)]
    parts = write_cases(store, images)
    empty = max(parts) + 1
    for table in IMAGE_TABLES[:-1]:
        write_rows(store, table, empty, [])
    cut(store, CutSettings(), [*parts, empty])
    assert is_cut_current(store, CutSettings(), [*parts, empty])
    assert rows_of(store, SELECTION, empty) == []
    assert sum(sidecar.rows for sidecar in finished_parts(store, SELECTION).values()) == 30
