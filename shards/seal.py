"""The seal: the archive describes itself and its history; manifest.json, written last, digests every file."""

import json
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from moodarchive.archive.pruned import PRUNED_PATH, read_pruned, write_pruned
from moodarchive.archive.takedown import takedown_paths
from moodarchive.keys import canonical_json
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH, SETS
from moodarchive.tables.parts import Sidecar, finished_parts
from moodarchive.tables.schemas import IMAGES, ITEMS, REPEATS, SCHEMA_VERSION, SELECTION, SHARD_INDEX, TABLES
from moodarchive.tables.sql import connect, view
from shards.attribution import ATTRIBUTION_PATH, write_attribution
from shards.card import CARD_PATH, card
from shards.croissant import CROISSANT_PATH, croissant
from shards.history import history_records, remember
from shards.restored import remove_stashes


def sizes_path(name: str) -> str:
    """``shards/SET/sizes.json``: tar → samples, as webdataset readers expect it."""
    return f"shards/{name}/sizes.json"


def seal(store: Store) -> bool:
    """Writes what describes the archive, its history and, last, manifest.json; False when it was sealed just so."""
    sidecars = {table.name: finished_parts(store, table) for table in TABLES}
    remove_stashes(store)
    _write_sizes(store, sidecars[SHARD_INDEX.name])
    _forget_remade(store, sidecars[IMAGES.name])
    told = _told(store, sidecars)
    _describe(store, told)
    told["records"] = {path: store.sha256(path) for path in _record_paths(store)}
    entry = remember(store, told, sorted(sidecars[SELECTION.name]))
    told["records"] |= history_records(store)
    told |= {"seal": entry.seal, "changes": entry.changes}
    manifest = (json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    return _write_if_other(store, MANIFEST_PATH, manifest)


def _describe(store: Store, told: Mapping[str, Any]) -> None:
    """ATTRIBUTION.parquet, the card and the Croissant metadata, from the manifest's figures."""
    attribution = _attribution_sha256(store, told)
    _write_if_other(store, CARD_PATH, card(told).encode())
    _write_if_other(store, CROISSANT_PATH, croissant(told, attribution).encode())


def _attribution_sha256(store: Store, told: Mapping[str, Any]) -> str:
    """The file's digest; it is written anew unless the last seal describes it as it lies there, from the same rows."""
    if store.exists(MANIFEST_PATH) and store.exists(ATTRIBUTION_PATH):
        try:
            sealed = json.loads(store.read_bytes(MANIFEST_PATH))
            sealed_rows, sha256 = _rows_of(sealed["parts"]), str(sealed["records"][ATTRIBUTION_PATH])
        except (ValueError, KeyError, TypeError, AttributeError):
            sealed_rows, sha256 = {}, ""  # a damaged manifest vouches for nothing
        if sealed_rows == _rows_of(told["parts"]) and sha256 == store.sha256(ATTRIBUTION_PATH):
            return sha256
    return write_attribution(
        store, sorted(part["part"] for part in told["parts"].values() if part["table"] == "selection")
    )


def _rows_of(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The digests of what attributions are made from."""
    return {name: part["files"] for name, part in parts.items() if part["table"] in (ITEMS.name, SELECTION.name)}


def _forget_remade(store: Store, images: Mapping[int, Sidecar]) -> None:
    """Takes the parts of images/ that hold pictures again off the record of what was pruned."""
    pruned = read_pruned(store)
    standing = pruned.standing(store, images)
    if standing != pruned:
        write_pruned(store, standing)


def _write_if_other(store: Store, path: str, text: bytes) -> bool:
    """False when the file says this already; it is then left alone."""
    if store.exists(path) and store.read_bytes(path) == text:
        return False
    store.write_bytes(path, text)
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
        else:
            _write_if_other(store, sizes_path(name), text)


def _told(store: Store, sidecars: Mapping[str, Mapping[int, Sidecar]]) -> dict[str, Any]:
    """What the manifest says, the digests of the records left out."""
    parts = {
        f"{name}/{part:05d}": sidecar.without_timings()
        for name, of_table in sidecars.items()
        for part, sidecar in of_table.items()
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "code_version": version("moodarchive"),
        "settings": json.loads(store.read_bytes("settings.json")),
        "counts": {name: _counts(of_table) for name, of_table in sidecars.items() if of_table or name != REPEATS.name},
        "sets": _sets(sidecars[SHARD_INDEX.name]),
        **_provenance(store, sorted(sidecars[SELECTION.name])),
        "pruned": {path: file.left for path, file in read_pruned(store).files.items()},
        "parts": parts,
    }


def _record_paths(store: Store) -> list[str]:
    rounds = [path for path in store.files("rounds") if path.endswith(".json")]
    sizes = [sizes_path(name) for name in SETS if store.exists(sizes_path(name))]
    pruned = [PRUNED_PATH] if store.exists(PRUNED_PATH) else []
    described = (CARD_PATH, CROISSANT_PATH, ATTRIBUTION_PATH)
    return ["settings.json", *rounds, *sizes, *described, *takedown_paths(store), *pruned]


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
        view(connection, store, ITEMS, parts, "key, source, licence, licence_url")
        view(connection, store, SELECTION, parts, "key, kept")
        found: dict[str, dict[str, int]] = {}
        for name, column in (("licences", "coalesce(licence, 'not stated')"), ("sources", "source")):
            rows = connection.execute(
                f"SELECT {column} AS name, count(*) FROM items JOIN selection USING (key) WHERE kept "
                "GROUP BY 1 ORDER BY 1"
            ).fetchall()
            found[name] = {str(name): int(count) for name, count in rows}
    return found
