"""Repeats that were found before captions: nobody described them, and they are cut for just that."""

from collections.abc import Iterator

from moodarchive.archive.manifest import ArchiveManifest
from moodarchive.storage.store import Store
from moodarchive.tables.layout import TAKEN_DOWN
from moodarchive.tables.schemas import CAPTIONS, ITEMS, REPEATS, SAFETY, SELECTION
from moodarchive.tables.sql import connect, view

_PROBLEMS = f"""
SELECT key, CASE
    WHEN r.key IS NULL THEN 'not in repeats/'
    WHEN d.key IS NULL THEN 'in repeats/, but not in items/'
    WHEN r.reason IS NOT NULL AND c.status <> 'skipped' THEN 'marked as ' || r.reason || ' in repeats/, but described'
    WHEN r.reason IS NOT NULL AND k.reason IS DISTINCT FROM r.reason AND k.reason IS DISTINCT FROM '{TAKEN_DOWN}'
        THEN 'marked as ' || r.reason || ' in repeats/, but selection/ says ' || coalesce(k.reason, 'kept')
    WHEN r.reason IS NULL AND k.reason IN ('repeat', 'near_heldout')
        THEN k.reason || ' in selection/, unmarked in repeats/'
    WHEN r.reason IS NULL AND s.verdict IN ('safe', 'doubtful') AND c.status = 'skipped'
        AND k.reason IS DISTINCT FROM '{TAKEN_DOWN}'
        THEN 'neither marked in repeats/ nor described'
    WHEN r.reason IS NOT NULL AND o.reason IS NOT NULL THEN 'marked for the like of ' || r.of || ', itself marked'
    END AS problem
FROM items d FULL JOIN repeats r USING (key) LEFT JOIN safety s USING (key) LEFT JOIN captions c USING (key)
     LEFT JOIN selection k USING (key) LEFT JOIN repeats o ON o.key = r.of
WHERE problem IS NOT NULL ORDER BY key
"""


def repeat_problems(store: Store, manifest: ArchiveManifest) -> Iterator[tuple[str, str]]:
    """(key, what) for every mark that captions or verdicts do not bear out; nothing where repeats/ was never made."""
    if not manifest.of_table(REPEATS.name):
        return
    with connect(store) as connection:
        for table, columns in (
            (ITEMS, "key"),
            (SAFETY, "key, verdict"),
            (REPEATS, "*"),
            (CAPTIONS, "key, status"),
            (SELECTION, "key, reason"),
        ):
            view(connection, store, table, [part.part for part in manifest.of_table(table.name)], columns)
        yield from connection.execute(_PROBLEMS).fetchall()
