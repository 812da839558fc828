"""Which images a takedown list means: those it names, their exact copies, and every listing of either."""

from collections.abc import Iterable

import duckdb
import pyarrow as pa

from moodarchive.archive.takedown import Identifiers, define_digests
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import CANDIDATES, IMAGES, ITEMS
from moodarchive.tables.sql import connect, view

_LISTINGS = """
CREATE TABLE listings AS
SELECT DISTINCT key, url, landing_url, creator, creator_url FROM (
    SELECT key, url, landing_url, creator, creator_url FROM candidates
    UNION ALL SELECT key, url, landing_url, creator, creator_url FROM items)
"""
_FIRST = """
SELECT key FROM listings WHERE key IN (FROM keys)
UNION SELECT key FROM listings WHERE address_of(url) IN (FROM urls) OR address_of(landing_url) IN (FROM urls)
UNION SELECT key FROM listings WHERE creator_of(creator) IN (FROM creators)
UNION SELECT key FROM listings WHERE creator_of(creator_url) IN (FROM creators)
UNION SELECT key FROM images WHERE key IN (FROM keys) OR sha256 IN (FROM hashes)
"""
# what of the list means an image, by kind
_MEANT = {
    "keys": "SELECT key FROM listings WHERE key IN (FROM keys) UNION SELECT key FROM images WHERE key IN (FROM keys)",
    "urls": """
SELECT address_of(url) FROM listings WHERE address_of(url) IN (FROM urls)
UNION SELECT address_of(landing_url) FROM listings WHERE address_of(landing_url) IN (FROM urls)""",
    "hashes": "SELECT sha256 FROM images WHERE sha256 IN (FROM hashes)",
    "creators": """
SELECT creator_of(creator) FROM listings WHERE creator_of(creator) IN (FROM creators)
UNION SELECT creator_of(creator_url) FROM listings WHERE creator_of(creator_url) IN (FROM creators)""",
}
# the same file under another key: by its address, or by its bytes
_COPIES = """
SELECT key FROM listings WHERE address_of(url) IN (SELECT address_of(url) FROM listings JOIN met USING (key))
UNION SELECT key FROM images WHERE sha256 IN (SELECT sha256 FROM images JOIN met USING (key))
EXCEPT FROM met
"""


def match_images(store: Store, asked: Identifiers) -> tuple[Identifiers, Identifiers]:
    """What the images that the list means are known by, closed under equality; and what of the list means none.

    The former are keys, addresses and content hashes. Reads the tables as they are: to be called before anything is
    erased. Whole-table, in bounded memory.
    """
    with connect(store) as connection:
        _open(connection, store, asked)
        connection.execute(f"CREATE TABLE met AS {_FIRST}")
        while connection.execute(f"INSERT INTO met {_COPIES} RETURNING key").fetchall():
            pass
        met = Identifiers(
            keys=_set(connection, "SELECT key FROM met"),
            urls=_set(connection, "SELECT DISTINCT address_of(url) FROM listings JOIN met USING (key)"),
            hashes=_set(connection, "SELECT DISTINCT sha256 FROM images JOIN met USING (key)"),
        )
        return met, asked - Identifiers(**{kind: _set(connection, query) for kind, query in _MEANT.items()})


def _open(connection: duckdb.DuckDBPyConnection, store: Store, asked: Identifiers) -> None:
    for table, columns in (
        (CANDIDATES, "key, url, landing_url, creator, creator_url"),
        (ITEMS, "key, url, landing_url, creator, creator_url"),
        (IMAGES, "key, sha256"),
    ):
        view(connection, store, table, finished_parts(store, table), columns)
    define_digests(connection)
    for name in ("keys", "urls", "hashes", "creators"):
        _register(connection, name, getattr(asked, name))
    connection.execute(_LISTINGS)


def _register(connection: duckdb.DuckDBPyConnection, name: str, values: Iterable[str]) -> None:
    connection.register(name, pa.table({"name": pa.array(sorted(values), pa.string())}))


def _set(connection: duckdb.DuckDBPyConnection, query: str) -> frozenset[str]:
    return frozenset(str(value) for (value,) in connection.execute(query).fetchall() if value is not None)
