"""The list of an L-AVC set's records: its lines, what a manifest counts of them, and the manifest."""

import json
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from moodarchive.archive.licences import count_by_licence
from moodarchive.language_edit.records import FIELDS, Row
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH

NAME, RECORDS = "L-AVC", "records.jsonl"


def record_line(row: Row) -> str:
    """One record's line."""
    return json.dumps({name: row[name] for name in FIELDS if name in row}, ensure_ascii=False) + "\n"


def count_records(rows: list[Row]) -> dict[str, Any]:
    """What a manifest says of the records; elements, splits and licences are of the kept ones."""
    kept = [row for row in rows if row["status"] == "kept"]
    licences = Counter((row["licence"], row["licence_url"]) for row in kept)
    return {
        "records": len(rows),
        "kept": len(kept),
        "elements": dict(sorted(Counter(row["element"] for row in kept).items())),
        "splits": dict(sorted(Counter(row["split"] for row in kept).items())),
        "licences": count_by_licence([(*both, count) for both, count in sorted(licences.items(), key=str)]),
        "reasons": dict(sorted(Counter(row["reason"] for row in rows if row["reason"]).items())),
    }


def write_manifest(store: Store, files: Mapping[str, str], **facts: Any) -> dict[str, Any]:
    """Writes and returns the manifest of a set or of its shards; ``files`` are paths with their digests."""
    manifest = {"name": NAME, "code_version": version("moodarchive"), **facts, "files": dict(sorted(files.items()))}
    store.write_bytes(MANIFEST_PATH, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
    return manifest
