"""The history: the last seal's record says what the manifest says, and its verdicts are those of selection/."""

import json
from collections.abc import Iterator

from moodarchive.archive.manifest import ArchiveManifest
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH, SEALS_FOLDER
from moodarchive.tables.schemas import SELECTION
from moodarchive.tables.sql import connect, location, view

_SHARED = ("seal", "counts", "sets", "licences", "sources", "settings", "changes")
_UNLIKE = """
SELECT count(*) FROM
    (SELECT key, reason, split, emotion FROM selection) k
    FULL JOIN (SELECT key, reason, split, emotion FROM read_parquet(?)) v USING (key)
WHERE k.key IS NULL OR v.key IS NULL OR k.reason IS DISTINCT FROM v.reason OR k.split IS DISTINCT FROM v.split
   OR k.emotion IS DISTINCT FROM v.emotion
"""


def history_problems(store: Store, manifest: ArchiveManifest) -> Iterator[tuple[str, str]]:
    """(where, what) for a record of this seal that is absent, stale, or says something else than the manifest."""
    path = f"{SEALS_FOLDER}/{manifest.seal:04d}.json"
    later = [other for other in manifest.records if other.startswith(f"{SEALS_FOLDER}/") and other > path[:-5] + "~"]
    for other in later:
        yield MANIFEST_PATH, f"says seal {manifest.seal}, but covers {other}"
    try:
        entry = json.loads(store.read_bytes(path))
        recorded = {name: entry[name] for name in (*_SHARED, "shards", "verdicts")}
    except FileNotFoundError:
        yield path, "missing: the record of this seal"
        return
    except (ValueError, KeyError, TypeError) as error:
        yield path, f"no record of a seal ({error!r})"
        return
    for name in _SHARED:
        if recorded[name] != getattr(manifest, name):
            yield path, f"{name} is not what the manifest says"
    if recorded["shards"] != manifest.tars:
        yield path, "shards are not those of the manifest"
    if recorded["verdicts"] != manifest.records.get(f"{path[:-5]}.parquet"):
        yield path, "its verdicts are not those of the manifest"


def verdict_problems(store: Store, manifest: ArchiveManifest) -> Iterator[tuple[str, str]]:
    """(where, what) when the verdicts kept with the seal are not those of selection/."""
    path = f"{SEALS_FOLDER}/{manifest.seal:04d}.parquet"
    if path not in manifest.records:
        yield path, "missing: the verdicts of this seal"
        return
    with connect(store) as connection:
        view(connection, store, SELECTION, manifest.image_parts, "key, reason, split, emotion")
        unlike = int(connection.execute(_UNLIKE, [location(store, path)]).fetchall()[0][0])
    if unlike:
        yield path, f"{unlike} verdicts are not those of selection/"
