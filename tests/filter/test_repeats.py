"""Repeats are near a surviving picture: all pairs are found, and chains of likeness end at the survivor."""

import duckdb
import pytest

from filter.repeats import NEAR_BITS, find_repeats
from tests.filter.reference import clustered_hashes, repeats_of


def _marked(hashes: list[int]) -> dict[int, int]:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE ranked (place BIGINT, phash UBIGINT)")
        connection.execute("INSERT INTO ranked SELECT unnest(?), unnest(?)", [list(range(len(hashes))), hashes])
        find_repeats(connection)
        return dict(connection.execute("SELECT place, of FROM near").fetchall())


@pytest.mark.parametrize("seed", range(3))
def test_all_repeats_of_2000_hashes_are_found_and_no_other(seed: int) -> None:
    hashes = clustered_hashes(2000, seed)
    expected = repeats_of(hashes)
    assert 300 < len(expected) < 1700
    assert _marked(hashes) == expected


@pytest.mark.parametrize("bits", range(6))
def test_the_limit_is_three_bits_wherever_they_lie(bits: int) -> None:
    for spread in (1, 16, 21):
        other = sum(1 << (i * spread + 5) % 64 for i in range(bits))
        assert bool(_marked([0, other])) == (bits <= NEAR_BITS)


def test_likeness_is_measured_to_survivors_and_never_by_chains() -> None:
    a, b, c = 0, 0b111, 0b111111  # a is like b, b is like c, a is not like c
    assert _marked([a, b, c]) == {1: 0}
    assert _marked([b, a, c]) == {1: 0, 2: 0}


def test_the_highest_bits_count_as_any_other() -> None:
    assert _marked([2**64 - 1, 2**64 - 1, 2**63 - 1, 0]) == {1: 0, 2: 0}


def test_no_pictures_have_no_repeats() -> None:
    assert _marked([]) == {}
