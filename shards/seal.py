"""The seal: the archive describes itself and its history; manifest.json, written last, digests every file."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from moodarchive.archive.licences import count_by_licence
from moodarchive.archive.manifest import ArchiveManifest, Contents
from moodarchive.archive.pruned import PRUNED_PATH, read_pruned, write_pruned
from moodarchive.archive.takedown import takedown_paths
from moodarchive.storage.store import Store
from moodarchive.tables.keys import canonical_json
from moodarchive.tables.layout import MANIFEST_PATH, SETS
from moodarchive.tables.parts import Sidecar, finished_parts
from moodarchive.tables.schemas import IMAGES, ITEMS, OPTIONAL, SELECTION, SHARD_INDEX, TABLES
from moodarchive.tables.sql import connect, view
from shards.attribution import ATTRIBUTION_PATH, write_attribution
from shards.card import CARD_PATH, render_card
from shards.croissant import CROISSANT_PATH, render_croissant
from shards.history import digest_history, record_seal
from shards.restored import remove_stashes

_OPTIONAL = {table.name for table in OPTIONAL}
Sidecars = Mapping[str, Mapping[int, Sidecar]]
"""Table name → part number → sidecar."""


def sizes_path(name: str) -> str:
    """``shards/SET/sizes.json``: tar → samples, as webdataset readers expect it."""
    return f"shards/{name}/sizes.json"


def seal(store: Store, *, amend: bool = False) -> bool:
    """Writes what describes the archive, its history and, last, manifest.json; False when it was sealed just so.

    ``amend`` writes the last seal's record anew in place of a further one: the same contents, otherwise written down.
    """
    sidecars = {table.name: finished_parts(store, table) for table in TABLES}
    remove_stashes(store)
    _write_sizes(store, sidecars[SHARD_INDEX.name])
    _forget_remade(store, sidecars[IMAGES.name])
    contents = _gather_contents(store, sidecars)
    _describe(store, contents)
    contents = replace(contents, records={path: store.sha256(path) for path in _record_paths(store)})
    entry = record_seal(store, contents, amend=amend)
    records = {**contents.records, **digest_history(store)}
    sections = {name: value for name, value in vars(contents).items() if name != "records"}
    manifest = ArchiveManifest(**sections, records=records, seal=entry.seal, changes=entry.changes)
    return _write_if_other(store, MANIFEST_PATH, manifest.to_json())


def unseal(store: Store) -> None:
    """Removes the manifest, before anything that it describes changes."""
    store.remove(MANIFEST_PATH)


def _gather_contents(store: Store, sidecars: Sidecars) -> Contents:
    """What is to be sealed; the digests of the records are taken once they are written."""
    licences, sources = _count_provenance(store, sorted(sidecars[SELECTION.name]))
    counted = {name: of_table for name, of_table in sidecars.items() if of_table or name not in _OPTIONAL}
    return Contents(
        code_version=version("moodarchive"),
        settings=json.loads(store.read_bytes("settings.json")),
        counts={name: _count_rows(of_table) for name, of_table in counted.items()},
        sets=_count_samples(sidecars[SHARD_INDEX.name]),
        licences=licences,
        sources=sources,
        pruned={path: file.left for path, file in read_pruned(store).files.items()},
        parts={
            f"{name}/{part:05d}": sidecar for name, of_table in sidecars.items() for part, sidecar in of_table.items()
        },
        records={},
    )


def _describe(store: Store, contents: Contents) -> None:
    """ATTRIBUTION.parquet, the card and the Croissant metadata, from the contents' figures."""
    attribution = _bring_attribution_up_to_date(store, contents)
    _write_if_other(store, CARD_PATH, render_card(contents).encode())
    _write_if_other(store, CROISSANT_PATH, render_croissant(contents, attribution).encode())


def _bring_attribution_up_to_date(store: Store, contents: Contents) -> str:
    """The file's sha256; it stays as it is if the last seal describes it as it lies there, from the same rows."""
    if store.exists(MANIFEST_PATH) and store.exists(ATTRIBUTION_PATH):
        try:
            sealed = ArchiveManifest.from_json(store.read_bytes(MANIFEST_PATH))
        except ValueError:
            pass  # a damaged manifest vouches for nothing
        else:
            sha256 = sealed.records.get(ATTRIBUTION_PATH, "")
            if _attributed_rows(sealed) == _attributed_rows(contents) and sha256 == store.sha256(ATTRIBUTION_PATH):
                return sha256
    return write_attribution(store, sorted(part.part for part in contents.of_table(SELECTION.name)))


def _attributed_rows(contents: Contents) -> dict[str, Mapping[str, str]]:
    """The digests of what attributions are made from."""
    return {name: part.files for name, part in contents.parts.items() if part.table in (ITEMS.name, SELECTION.name)}


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


def _record_paths(store: Store) -> list[str]:
    rounds = [path for path in store.files("rounds") if path.endswith(".json")]
    sizes = [sizes_path(name) for name in SETS if store.exists(sizes_path(name))]
    pruned = [PRUNED_PATH] if store.exists(PRUNED_PATH) else []
    described = (CARD_PATH, CROISSANT_PATH, ATTRIBUTION_PATH)
    return ["settings.json", *rounds, *sizes, *described, *takedown_paths(store), *pruned]


def _count_rows(sidecars: Mapping[int, Sidecar]) -> dict[str, Any]:
    failures: Counter[str] = Counter()
    for sidecar in sidecars.values():
        failures.update(sidecar.failures)
    doubtful = sum(sidecar.doubtful for sidecar in sidecars.values())
    return {
        "parts": len(sidecars),
        "rows": sum(sidecar.rows for sidecar in sidecars.values()),
        "failures": dict(sorted(failures.items())),
        "bytes": sum(sidecar.bytes for sidecar in sidecars.values()),
        **({"doubtful": doubtful} if doubtful else {}),
    }


def _count_samples(shards: Mapping[int, Sidecar]) -> dict[str, dict[str, int]]:
    """Shards and samples of each set."""
    sets: dict[str, dict[str, int]] = {}
    for sidecar in shards.values():
        for name, samples in sidecar.sets.items():
            of_set = sets.setdefault(name, {"shards": 0, "samples": 0})
            of_set["shards"] += 1
            of_set["samples"] += samples
    return sets


def _count_provenance(store: Store, parts: list[int]) -> list[dict[str, int]]:
    """Kept images by licence, and by source."""
    with connect(store) as connection:
        view(connection, store, ITEMS, parts, "key, source, licence, licence_url")
        view(connection, store, SELECTION, parts, "key, kept")
        query = "SELECT {0}, count(*) FROM items JOIN selection USING (key) WHERE kept GROUP BY {0} ORDER BY ALL"
        by_licence, by_source = (
            connection.sql(query.format(columns)) for columns in ("licence, licence_url", "source")
        )
        sources = {str(name): int(count) for name, count in by_source.fetchall()}
        return [count_by_licence(by_licence.fetchall()), sources]
