"""The archive describes itself: sizes, counts, licences and every file's digest, in manifest.json, written last."""

import json
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from moodarchive.keys import canonical_json
from moodarchive.parts import Sidecar, finished_parts
from moodarchive.schemas import DEALT, KEPT, SCHEMA_VERSION, SHARD_INDEX, TABLES
from moodarchive.sql import connect, view
from moodarchive.store import Store
from shards.tars import SETS

MANIFEST_PATH = "manifest.json"


def sizes_path(name: str) -> str:
    """``shards/SET/sizes.json``: tar → samples, as webdataset readers expect it."""
    return f"shards/{name}/sizes.json"


def seal(store: Store) -> bool:
    """Writes sizes.json of each set and, last, manifest.json; False when the archive was sealed just so already."""
    sidecars = {table.name: finished_parts(store, table) for table in TABLES}
    _write_sizes(store, sidecars[SHARD_INDEX.name])
    manifest = (json.dumps(_manifest(store, sidecars), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    if store.exists(MANIFEST_PATH) and store.read_bytes(MANIFEST_PATH) == manifest:
        return False
    store.write_bytes(MANIFEST_PATH, manifest)
    return True


def unseal(store: Store) -> None:
    """Removes the manifest, before anything that it describes changes."""
    store.remove(MANIFEST_PATH)


def _write_sizes(store: Store, shards: Mapping[int, Sidecar]) -> None:
    sizes: dict[str, dict[str, int]] = {name: {} for name in SETS}
    for part, sidecar in shards.items():
        for name, samples in sidecar.sets.items():
            sizes[name][f"{part:05d}.tar"] = samples
    for name, of_set in sizes.items():
        text = (canonical_json(of_set) + "\n").encode()
        if not of_set:
            store.remove(sizes_path(name))
        elif not store.exists(sizes_path(name)) or store.read_bytes(sizes_path(name)) != text:
            store.write_bytes(sizes_path(name), text)


def _manifest(store: Store, sidecars: Mapping[str, Mapping[int, Sidecar]]) -> dict[str, Any]:
    parts = {
        f"{name}/{part:05d}": sidecar.without_timings()
        for name, of_table in sidecars.items()
        for part, sidecar in of_table.items()
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "code_version": version("moodarchive"),
        "settings": json.loads(store.read_bytes("settings.json")),
        "counts": {name: _counts(of_table) for name, of_table in sidecars.items()},
        "sets": _sets(sidecars[SHARD_INDEX.name]),
        **_provenance(store, sorted(sidecars[KEPT.name])),
        "parts": parts,
        "records": {path: store.sha256(path) for path in _record_paths(store)},
    }


def _record_paths(store: Store) -> list[str]:
    rounds = [path for path in store.files("rounds") if path.endswith(".json")]
    sizes = [sizes_path(name) for name in SETS if store.exists(sizes_path(name))]
    return ["settings.json", *rounds, *sizes]


def _counts(sidecars: Mapping[int, Sidecar]) -> dict[str, Any]:
    failures: Counter[str] = Counter()
    for sidecar in sidecars.values():
        failures.update(sidecar.failures)
    return {
        "parts": len(sidecars),
        "rows": sum(sidecar.rows for sidecar in sidecars.values()),
        "failures": dict(sorted(failures.items())),
        "bytes": sum(sidecar.bytes for sidecar in sidecars.values()),
    }


def _sets(shards: Mapping[int, Sidecar]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for sidecar in shards.values():
        for name, samples in sidecar.sets.items():
            of_set = found.setdefault(name, {"shards": 0, "samples": 0})
            of_set["shards"] += 1
            of_set["samples"] += samples
    return found


def _provenance(store: Store, parts: list[int]) -> dict[str, dict[str, int]]:
    """Kept images by licence and by source."""
    with connect(store) as connection:
        view(connection, store, DEALT, parts, "key, source, licence, licence_url")
        view(connection, store, KEPT, parts, "key, kept")
        found: dict[str, dict[str, int]] = {}
        for name, column in (("licences", "coalesce(licence, 'not stated')"), ("sources", "source")):
            rows = connection.execute(
                f"SELECT {column} AS name, count(*) FROM dealt JOIN kept USING (key) WHERE kept GROUP BY 1 ORDER BY 1"
            ).fetchall()
            found[name] = {str(name): int(count) for name, count in rows}
    return found
