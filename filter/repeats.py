"""Which pictures repeat another that survives, exact or near by perceptual hash, and who survives."""

from collections.abc import Iterator
from itertools import combinations

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

NEAR_BITS = 3
"""Two pictures of at most this Hamming distance (of 64) look the same."""

# Who survives among look-alikes: the earlier round, then the held-out picture (training must not see its like), then
# the larger one.
_RANKED = """
CREATE TABLE ranked AS
SELECT row_number() OVER (ORDER BY round, split <> 'heldout', area DESC, key) AS place, key, phash, split
FROM judged WHERE reason IS NULL
"""
_MARKED = """
CREATE TABLE marked AS
SELECT r.key, CASE WHEN o.split = 'heldout' AND r.split <> 'heldout' THEN 'near_heldout' ELSE 'repeat' END AS reason,
       o.key AS of
FROM near p JOIN ranked r ON r.place = p.place JOIN ranked o ON o.place = p.of
"""

Places = NDArray[np.int64]
Hashes = NDArray[np.uint64]

_EDGES = (0, 13, 26, 39, 52, 64)
# Five blocks: hashes that differ in at most three bits agree in at least two blocks (pigeonhole), so sorting by each
# two blocks brings every pair together. Two blocks are 25 bits: of ten million hashes hardly any agree by chance.
_MASKS = tuple(
    np.uint64(sum((1 << _EDGES[block + 1]) - (1 << _EDGES[block]) for block in chosen))
    for chosen in combinations(range(len(_EDGES) - 1), 2)
)


def mark_repeats(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes the table ``marked`` (key, reason, of) from ``judged``: which of its rows without a reason repeat whom."""
    connection.execute(_RANKED)
    find_repeats(connection)
    connection.execute(_MARKED)


def find_repeats(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes the table ``near`` (place, of) from ``ranked`` (place, phash): who repeats which survivor.

    Places are judged in order, each against survivors only: a picture near a repeat, but near no survivor, survives.
    Memory: about 60 bytes a picture.
    """
    columns = connection.execute("SELECT place, phash FROM ranked ORDER BY place").fetchnumpy()
    place, of = _repeats(np.asarray(columns["place"], np.int64), np.asarray(columns["phash"], np.uint64))
    connection.register("pairs", pa.table({"place": pa.array(place, pa.int64()), "of": pa.array(of, pa.int64())}))
    connection.execute("CREATE OR REPLACE TABLE near AS SELECT * FROM pairs")
    connection.unregister("pairs")


def _repeats(places: Places, hashes: Hashes) -> tuple[Places, Places]:
    """The places that repeat a survivor, and the survivors' places."""
    # Pictures of one hash share one fate: they are near the same survivors, and the first of them is theirs if it
    # survives. So only the first of each hash is compared with others.
    distinct, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    survivor = np.arange(len(hashes))  # of each place that comes first with its hash; itself when it survives
    for later, earlier in _near_pairs(distinct, first):
        if survivor[later] == later and survivor[earlier] == earlier:
            survivor[later] = earlier
    fate = survivor[first[which]]
    repeated = np.flatnonzero(fate != np.arange(len(hashes)))
    return places[repeated], places[fate[repeated]]


def _near_pairs(distinct: Hashes, first: Places) -> Iterator[tuple[int, int]]:
    """Every (later, earlier) pair of near hashes by place, ordered by the later one, then the earlier one."""
    places = int(first.max(initial=0)) + 1
    # a pair as one number sorts a hundred times faster than as two
    runs = [pairs for mask in _MASKS for pairs in _near_under(mask, distinct, first, places)]
    if runs:
        for later, earlier in zip(*np.divmod(np.unique(np.concatenate(runs)), places), strict=True):
            yield int(later), int(earlier)


def _near_under(mask: np.uint64, distinct: Hashes, first: Places, places: int) -> Iterator[Places]:
    """Pairs (later x places + earlier) of near hashes that agree under the mask.

    They are neighbours once sorted: at distance 1, 2, … for as long as any run of equal ones goes on.
    """
    masked = distinct & mask
    order = np.argsort(masked)
    masked, hashes, place = masked[order], distinct[order], first[order]
    del order
    left = np.arange(len(masked) - 1)
    step = 1
    while len(left):
        left = left[masked[left] == masked[left + step]]
        near = left[np.bitwise_count(hashes[left] ^ hashes[left + step]) <= NEAR_BITS]
        one, other = place[near], place[near + step]
        yield np.maximum(one, other) * places + np.minimum(one, other)
        step += 1
        left = left[left + step < len(masked)]
