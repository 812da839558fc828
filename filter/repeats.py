"""Which pictures repeat another that survives: exact, or near by perceptual hash."""

import duckdb
import pyarrow as pa

NEAR_BITS = 3
"""Two pictures of at most this Hamming distance (of 64) look the same."""

# Four bands of 16 bits: hashes that differ in at most three bits agree in at least one band (pigeonhole), so the join
# on bands finds every pair.
_PAIRS = f"""
WITH banded AS (
    SELECT place, phash, unnest([phash & 65535, ((phash >> 16) & 65535) + 65536,
                                 ((phash >> 32) & 65535) + 131072, (phash >> 48) + 196608]) AS band
    FROM ranked)
SELECT DISTINCT later.place AS later, earlier.place AS earlier
FROM banded later JOIN banded earlier ON later.band = earlier.band
WHERE earlier.place < later.place AND bit_count(xor(later.phash, earlier.phash)) <= {NEAR_BITS}
ORDER BY later, earlier
"""


def mark_repeats(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes the table ``repeats`` (place, of) from ``ranked`` (place, phash): who repeats which survivor.

    Places are judged in order, each against survivors only: a picture near a repeat, but near no survivor, survives.
    """
    survivor_of: dict[int, int] = {}
    for batch in connection.sql(_PAIRS).to_arrow_reader(100_000):
        for later, earlier in zip(batch["later"].to_pylist(), batch["earlier"].to_pylist(), strict=True):
            if earlier not in survivor_of:
                survivor_of.setdefault(later, earlier)
    columns = {"place": list(survivor_of), "of": list(survivor_of.values())}
    connection.register("found", pa.table(columns, schema=pa.schema([("place", pa.int64()), ("of", pa.int64())])))
    connection.execute("CREATE OR REPLACE TABLE repeats AS SELECT * FROM found")
    connection.unregister("found")
