"""Nothing of what was taken down is left: no picture, no word, no sample, in no table, shard or page."""

import re
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa

from moodarchive.archive.manifest import ArchiveManifest
from moodarchive.archive.takedown import (
    ERASED_PROVENANCE,
    FOLDER,
    Identifiers,
    bound_by,
    define_digests,
    read_takedowns,
    takedown_paths,
    url_digest,
)
from moodarchive.errors import DamagedPartError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import TAKEN_DOWN
from moodarchive.tables.schemas import CANDIDATES, CAPTIONS, IMAGES, ITEMS, SELECTION, Table
from moodarchive.tables.sql import connect, location, view
from validate.study.design.items import ITEMS_PATH, read_items

_STILL_SAID = " OR ".join(f"{name} IS NOT NULL" for name in ERASED_PROVENANCE)
_BOUND = """
SELECT DISTINCT key FROM {table} WHERE address_of(url) IN (FROM urls) OR address_of(landing_url) IN (FROM asked_urls)
UNION SELECT key FROM {table} WHERE creator_of(creator) IN (FROM creators)
UNION SELECT key FROM {table} WHERE creator_of(creator_url) IN (FROM creators) ORDER BY key
"""
_LEFTOVERS: tuple[tuple[Table, str, str], ...] = (
    (CANDIDATES, _STILL_SAID, "candidates still tell of it"),
    (ITEMS, _STILL_SAID, "items still tells of it"),
    (IMAGES, f"bytes IS NOT NULL OR status <> '{TAKEN_DOWN}'", "images still hold it"),
    (CAPTIONS, "summary IS NOT NULL OR stimuli IS NOT NULL OR assessment IS NOT NULL", "it still has a caption"),
    (CAPTIONS, "nudity IS NOT NULL OR gore IS NOT NULL", "captions/ still says what it shows"),
    (SELECTION, f"kept OR reason IS DISTINCT FROM '{TAKEN_DOWN}'", "it still counts as something else than taken down"),
)
_TEXTS = ("report/index.html", "crawl/answers", "logs")


def unfinished_takedowns(store: Store) -> Iterator[tuple[str, str]]:
    """(where, what) for each record that cannot be read, or was not carried out to the end."""
    try:
        takedowns = read_takedowns(store)
    except DamagedPartError as error:
        yield FOLDER, str(error)
        return
    for takedown in takedowns:
        if not takedown.done:
            yield takedown.path, "this takedown has not been carried out; remedy: moodarchive run goes on with it"


def takedown_problems(store: Store, manifest: ArchiveManifest) -> Iterator[tuple[str, str]]:
    """(key or file, what) for everything that is left of what was taken down."""
    if not takedown_paths(store):
        return
    bound = bound_by(store)
    with connect(store) as connection:
        _open(connection, store, manifest, bound)
        for table, left, what in _LEFTOVERS:
            query = f"SELECT DISTINCT key FROM {table.name} WHERE key IN (FROM keys) AND ({left}) ORDER BY key"
            yield from ((key, f"taken down, but {what}") for (key,) in connection.execute(query).fetchall())
        copies = "SELECT key FROM images WHERE sha256 IN (FROM hashes) AND status = 'ok' ORDER BY key"
        yield from ((key, "a copy of what was taken down") for (key,) in connection.execute(copies).fetchall())
        for table in (CANDIDATES, ITEMS):
            for (key,) in connection.execute(_BOUND.format(table=table.name)).fetchall():
                yield key, f"of an address or creator that was taken down, but {table.name} still tells of it"
        yield from _in_files(connection, store, manifest)
    yield from _in_texts(store, bound)
    if store.exists(ITEMS_PATH):
        words = (item for item in read_items(store) if item.key in bound.keys and any((item.title, *item.sentences)))
        yield from ((item.key, "taken down, but the study's items still tell of it") for item in words)


def _open(connection: duckdb.DuckDBPyConnection, store: Store, manifest: ArchiveManifest, bound: Identifiers) -> None:
    for table, *_ in _LEFTOVERS:
        columns = "key, bytes, sha256, status" if table is IMAGES else "*"
        view(connection, store, table, sorted(part.part for part in manifest.of_table(table.name)), columns)
    asked = Identifiers()
    for takedown in read_takedowns(store):
        asked = asked | takedown.asked
    sets = {name: getattr(bound, name) for name in ("keys", "urls", "hashes", "creators")} | {"asked_urls": asked.urls}
    for name, values in sets.items():
        connection.register(name, pa.table({"name": pa.array(sorted(values), pa.string())}))
    define_digests(connection)


def _in_files(
    connection: duckdb.DuckDBPyConnection, store: Store, manifest: ArchiveManifest
) -> Iterator[tuple[str, str]]:
    indexes = [path for path in manifest.files if re.fullmatch(r"shards/\w+/\d+\.parquet", path)]
    files = [*indexes, *(path for path in manifest.records if path == "ATTRIBUTION.parquet")]
    if files:
        query = "SELECT DISTINCT key FROM read_parquet(?, union_by_name = true) WHERE key IN (FROM keys) ORDER BY key"
        for (key,) in connection.execute(query, [[location(store, path) for path in files]]).fetchall():
            yield key, "taken down, but a shard or ATTRIBUTION.parquet still names it"


def _in_texts(store: Store, bound: Identifiers) -> Iterator[tuple[str, str]]:
    """Pages, cached answers and logs: a picture by its key, a row by its address."""
    for path in (path for folder in _TEXTS for path in store.files(folder)):
        text = store.read_bytes(path).decode("utf-8", "replace").replace("\\/", "/")
        keys: Any = re.findall(r'data-key="([0-9a-f]{16})"', text)
        if bound.keys.intersection(keys):
            yield path, "shows what was taken down; remedy: moodarchive report"
        elif any(url_digest(url) in bound.urls for url in re.findall(r"https?://[^\s\"'<>\\]+", text)):
            yield path, "names an address that was taken down"
