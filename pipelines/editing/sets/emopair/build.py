"""Builds an EmoPair set: requests, pictures, judging, packing, the seal; a killed build goes on with equal bytes."""

import io
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from moodarchive.archive.licences import count_by_licence
from moodarchive.archive.manifest import PairManifest
from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import NotWholeError
from moodarchive.storage.store import Store
from moodarchive.tables.keys import canonical_json
from moodarchive.tables.layout import MANIFEST_PATH, PRIVATE, SETS
from moodarchive.tables.parts import finished_parts, read_part
from moodarchive.tables.schemas import PAIR_INDEX, PAIR_REQUESTS, PAIR_TABLES, PAIRS, Table
from pipelines.editing.sets.emopair.json_form import write_json
from pipelines.editing.sets.emopair.requests import write_requests
from pipelines.editing.sets.emopair.settings import PairSettings
from pipelines.editing.sets.emopair.stages import PROVENANCE, pair_stages
from pipelines.editing.sets.parts import SETTINGS_PATH, record_settings, remove_later_parts, run_set_stages
from shards.seal import sizes_path

NAME = "EmoPair"
ATTRIBUTION_PATH, CARD_PATH = "ATTRIBUTION.parquet", "README.md"
ATTRIBUTION = pa.schema([("key", pa.string()), *((name, pa.string()) for name in PROVENANCE)])


def build_pairs(settings: PairSettings, root: str, *, on_ray: bool = True) -> PairManifest:
    """Builds or completes the set at ``root``; returns what it sealed. ``on_ray`` False works in this process alone."""
    store = Store(root)
    with only_writer(store):
        store.remove_drafts()
        record_settings(store, settings.recorded())
        store.remove(MANIFEST_PATH)
        parts = write_requests(store, settings)
        remove_later_parts(store, PAIR_TABLES, len(parts))
        run_set_stages(pair_stages(settings), store, parts, ray_address=settings.ray_address, on_ray=on_ray)
        return seal_pairs(store, settings)


def seal_pairs(store: Store, settings: PairSettings) -> PairManifest:
    """Writes sizes, attributions, the card and, last, the manifest; equal sets give equal bytes."""
    counted = _count(store)
    packed = finished_parts(store, PAIR_INDEX)
    sets: Counter[str] = Counter()
    for name in SETS:
        sizes = {f"{part:05d}.tar": sidecar.sets[name] for part, sidecar in packed.items() if name in sidecar.sets}
        if sizes:
            store.write_bytes(sizes_path(name), canonical_json(sizes).encode())
        else:
            store.remove(sizes_path(name))
        sets[name] += sum(sizes.values())
    store.write_bytes(ATTRIBUTION_PATH, _attribution(store))
    manifest = PairManifest(
        name=NAME,
        code_version=version("moodarchive"),
        settings=settings.recorded(),
        sets={name: count for name, count in sets.items() if count},
        files={},
        **counted,
    )
    store.write_bytes(CARD_PATH, _card(manifest).encode())
    parts = [part for table in PAIR_TABLES for part in finished_parts(store, table).values()]
    files = {path: sha256 for part in parts for path, sha256 in part.files.items()}
    own = [SETTINGS_PATH, ATTRIBUTION_PATH, CARD_PATH, *(sizes_path(name) for name in manifest.sets)]
    files |= {path: store.sha256(path) for path in own}
    manifest = PairManifest(**{**vars(manifest), "files": dict(sorted(files.items()))})
    store.write_bytes(MANIFEST_PATH, manifest.to_json())
    return manifest


def _rows(store: Store, table: Table, columns: list[str]) -> Iterator[dict[str, Any]]:
    for part in sorted(finished_parts(store, table)):
        for batch in read_part(store, table, part, columns=columns, batch_rows=10_000):
            yield from batch.to_pylist()


def _count(store: Store) -> dict[str, Any]:
    reasons: Counter[str] = Counter()
    subsets: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    licences: Counter[tuple[str | None, str | None]] = Counter()
    pairs = 0
    names = ["key", "kept", "reason", "subset", "class_source", "class_target"]
    requests = _rows(store, PAIR_REQUESTS, ["key", "licence", "licence_url"])
    for row, request in zip(_rows(store, PAIRS, names), requests, strict=True):
        pairs += 1
        if not row["kept"]:
            reasons[row["reason"]] += 1
            continue
        subsets[row["subset"]] += 1
        classes[f"{row['class_source']} > {row['class_target']}"] += 1
        licences[request["licence"], request["licence_url"]] += 1
    return {
        "pairs": pairs,
        "kept": subsets.total(),
        "reasons": dict(sorted(reasons.items())),
        "subsets": dict(sorted(subsets.items())),
        "classes": dict(sorted(classes.items())),
        "licences": count_by_licence([(*both, count) for both, count in licences.items()]),
    }


def _attribution(store: Store) -> bytes:
    kept = {row["key"] for row in _rows(store, PAIRS, ["key", "kept"]) if row["kept"]}
    rows = [row for row in _rows(store, PAIR_REQUESTS, ATTRIBUTION.names) if row["key"] in kept]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=ATTRIBUTION), sink, compression="zstd")
    return sink.getvalue()


def _card(manifest: PairManifest) -> str:
    lines = [
        f"# {NAME}",
        "",
        "Pairs of pictures after EmoEditor (arXiv 2403.08255): a source, the same scene as it evokes another of",
        "Mikels' eight emotions, and the instruction that leads from one to the other. Built by MoodArchive "
        f"{manifest.code_version}; nobody's own EmoPair is copied unless a source below says so.",
        "",
        f"{manifest.kept:,} of {manifest.pairs:,} pairs are kept.",
        "",
        "| part | pairs |",
        "|---|---|",
        *(f"| {name} | {count:,} |" for name, count in manifest.subsets.items()),
        *(f"| left out: {name} | {count:,} |" for name, count in manifest.reasons.items()),
        *(f"| set {name} | {count:,} |" for name, count in manifest.sets.items()),
        *(f"| licence {name} | {count:,} |" for name, count in manifest.licences.items()),
        "",
        "Samples are WebDataset: KEY.source.png, KEY.target.png, KEY.json, KEY.txt (the instruction). Whom to name",
        f"stands in {ATTRIBUTION_PATH}; shards/{PRIVATE}/ holds what may not be passed on.",
    ]
    return "\n".join(lines) + "\n"


def export_json(root: str, path: Path, *, kept_only: bool) -> int:
    """Writes the set in the authors' form, in the set's order; returns how many pairs."""
    store = Store(root)
    if not store.exists(MANIFEST_PATH):
        raise NotWholeError(f"{root} is no sealed EmoPair set; remedy: moodarchive pairs build")
    rows = [row for row in _rows(store, PAIRS, PAIRS.schema.names) if row["source_softmax"] is not None]
    chosen = [row for row in rows if row["kept"] or not kept_only]
    return write_json(path, sorted(chosen, key=lambda row: row["number"]))
