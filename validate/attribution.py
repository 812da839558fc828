"""ATTRIBUTION.parquet names every kept image once, as items/ tells of it, and no other."""

from collections.abc import Iterator

from moodarchive.archive.manifest import ArchiveManifest
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import ITEMS, SELECTION
from moodarchive.tables.sql import connect, location, view

ATTRIBUTION_PATH = "ATTRIBUTION.parquet"
COLUMNS = ("key", "title", "creator", "creator_url", "licence", "licence_url", "landing_url")
_SAID = ", ".join(COLUMNS)
_WORDS = f"key, hash({', '.join(COLUMNS[1:])}) AS words"
# digests in place of the words: those of ten million images fit into memory
_UNLIKE = f"""
WITH owed AS (SELECT {_WORDS} FROM items JOIN selection USING (key) WHERE kept),
said AS (SELECT {_WORDS} FROM read_parquet(?))
SELECT key, CASE WHEN o.key IS NULL THEN 'named, but not kept' WHEN s.key IS NULL THEN 'kept, but not named'
            ELSE 'named, but not as items/ tells of it' END
FROM owed o FULL JOIN said s USING (key) WHERE o.words IS DISTINCT FROM s.words
UNION ALL SELECT key, 'named more than once' FROM said GROUP BY key HAVING count(*) > 1
ORDER BY ALL
"""
_SHOWN = 20


def attribution_problems(store: Store, manifest: ArchiveManifest) -> Iterator[tuple[str, str]]:
    """(file, key and what) for each image that the file names wrongly, a few of many."""
    if ATTRIBUTION_PATH not in manifest.records:
        yield ATTRIBUTION_PATH, "not in the manifest: nobody is given credit"
        return
    with connect(store) as connection:
        view(connection, store, ITEMS, manifest.image_parts, _SAID)
        view(connection, store, SELECTION, manifest.image_parts, "key, kept")
        unlike = connection.execute(_UNLIKE, [location(store, ATTRIBUTION_PATH)]).fetchall()
    yield from ((ATTRIBUTION_PATH, f"{key} is {what}") for key, what in unlike[:_SHOWN])
    if len(unlike) > _SHOWN:
        yield ATTRIBUTION_PATH, f"and {len(unlike) - _SHOWN:,} more rows"
