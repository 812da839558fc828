"""Sums: the manifest's totals are those of its parts and of the rows, and neighbouring tables reconcile."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from moodarchive.archive.licences import count_by_licence
from moodarchive.archive.manifest import IMAGE_TABLES, ArchiveManifest
from moodarchive.storage.store import Store
from moodarchive.tables.parts import Sidecar, input_digest
from moodarchive.tables.schemas import ITEMS, OPTIONAL, REPEATS, SELECTION, TABLES, VECTORS
from moodarchive.tables.sql import connect, view


def total_problems(manifest: ArchiveManifest) -> Iterator[str]:
    """What the manifest says of tables and sets, and its parts do not."""
    for table in TABLES:
        parts = manifest.of_table(table.name)
        if table in OPTIONAL and not parts and table.name not in manifest.counts:
            continue
        expected = _totals(parts)
        if manifest.counts.get(table.name) != expected:
            yield f"counts of {table.name}: {manifest.counts.get(table.name)}, its parts say {expected}"
    sets: dict[str, dict[str, int]] = {}
    for part in manifest.of_table("shards"):
        for name, samples in part.sets.items():
            of_set = sets.setdefault(name, {"shards": 0, "samples": 0})
            of_set["shards"] += 1
            of_set["samples"] += samples
    if manifest.sets != sets:
        yield f"sets: {manifest.sets}, the shards say {sets}"


def _totals(parts: Sequence[Sidecar]) -> dict[str, Any]:
    failures: Counter[str] = Counter()
    for part in parts:
        failures.update(part.failures)
    doubtful = sum(part.doubtful for part in parts)
    return {
        "parts": len(parts),
        "rows": sum(part.rows for part in parts),
        "failures": dict(failures),
        "bytes": sum(part.bytes for part in parts),
        **({"doubtful": doubtful} if doubtful else {}),
    }


def unequal_parts(manifest: ArchiveManifest) -> Iterator[tuple[int, str, str]]:
    """(part, ``table/NNNNN``, what) for each part that has not as many rows as the part has items."""
    optional = (REPEATS.name,) if manifest.of_table(REPEATS.name) else ()
    for part in manifest.image_parts:
        items = manifest.parts[f"items/{part:05d}"].rows
        for table in (*IMAGE_TABLES, *optional, VECTORS.name):
            name = f"{table}/{part:05d}"
            if table == VECTORS.name and name not in manifest.parts:
                continue  # scored before the setting was on
            if name not in manifest.parts:
                yield part, name, f"no such part, items has {items} rows"
            elif manifest.parts[name].rows != items:
                yield part, name, f"{manifest.parts[name].rows} rows, items has {items}"


def stale_parts(manifest: ArchiveManifest) -> Iterator[tuple[str, str]]:
    """(``table/NNNNN``, what) for each part that was made from another state of its inputs than was sealed."""
    digests = {name: part.sha256 for name, part in manifest.parts.items()}
    now = cache(lambda source: input_digest(source, digests))
    for name, part in manifest.parts.items():
        for source, sha256 in part.inputs.items():
            if now(source) not in (None, sha256):
                yield name, f"was made from another {source}"


def provenance_problems(store: Store, manifest: ArchiveManifest) -> Iterator[str]:
    """What the manifest says of licences and sources, and the kept rows do not."""
    parts = manifest.image_parts
    with connect(store) as connection:
        view(connection, store, ITEMS, parts, "key, source, licence, licence_url")
        view(connection, store, SELECTION, parts, "key, kept")
        query = "SELECT {0}, count(*) FROM items JOIN selection USING (key) WHERE kept GROUP BY {0}"
        rows = connection.execute(query.format("licence, licence_url")).fetchall()
        licences, stated = count_by_licence(rows), Counter[str]()
        for licence, _, count in rows:
            stated["not stated" if licence is None else licence] += count
        # seals of version 0.2 counted what the rows say as they say it
        if manifest.licences not in (licences, dict(stated)):
            yield f"licences: {manifest.licences}, the kept rows say {licences}"
        sources = dict(connection.execute(query.format("source")).fetchall())
        if manifest.sources != sources:
            yield f"sources: {manifest.sources}, the kept rows say {sources}"
