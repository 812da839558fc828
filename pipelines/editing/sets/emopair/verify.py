"""Proves an EmoPair set whole: every file, count, sample and row is what the manifest says."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from moodarchive.archive.licences import may_be_published
from moodarchive.archive.manifest import PairManifest
from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.errors import NotWholeError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH, PRIVATE
from moodarchive.tables.parquet import read_table
from moodarchive.tables.parts import finished_parts, read_part
from moodarchive.tables.schemas import PAIR_INDEX, PAIR_MEMBERS, PAIR_REQUESTS, PAIR_TABLES, PAIRS
from moodarchive.tables.spans import member_span, sample_sha256
from pipelines.editing.sets.emopair.json_form import problem_of_softmax
from pipelines.editing.sets.proof import file_problems
from validate.verify import Problem

_COMPARED = ("key", "kept", "split", "prompt", "source_sha256", "target_sha256")


def verify_pairs(root: str) -> Iterator[Problem]:
    """Every problem; none means that the set is whole."""
    store = Store(root)
    if not store.exists(MANIFEST_PATH):
        raise NotWholeError(f"{root} is no sealed EmoPair set; remedy: moodarchive pairs build")
    try:
        manifest = PairManifest.from_json(store.read_bytes(MANIFEST_PATH))
    except ValueError as error:
        yield Problem(MANIFEST_PATH, f"cannot be read ({error})")
        return
    damaged = list(file_problems(store, manifest.files, PAIR_TABLES))
    yield from damaged
    if not damaged:
        yield from _rows(store, manifest)
        yield from _samples(store, manifest)


def _rows(store: Store, manifest: PairManifest) -> Iterator[Problem]:
    reasons: Counter[str] = Counter()
    kept = rows = 0
    for part in sorted(finished_parts(store, PAIRS)):
        for batch in read_part(store, PAIRS, part):
            for row in batch.to_pylist():
                rows += 1
                kept += bool(row["kept"])
                reasons.update([row["reason"]] if row["reason"] else [])
                if problem := _row_problem(row):
                    yield Problem(f"pairs/{part:05d}.parquet {row['key']}", problem)
    if (rows, kept, dict(sorted(reasons.items()))) != (manifest.pairs, manifest.kept, dict(manifest.reasons)):
        yield Problem(
            MANIFEST_PATH, f"counts {manifest.pairs} pairs and {manifest.kept} kept; there are {rows}, {kept}"
        )


def _row_problem(row: dict[str, Any]) -> str:
    if row["kept"] == bool(row["reason"]):
        return f"kept is {row['kept']} with the reason {row['reason']!r}"
    if not row["kept"]:
        return ""
    for name in ("class_source", "class_target"):
        if row[name] not in MIKELS_EIGHT:
            return f"{name} is {row[name]!r}"
    if row["class_source"] == row["class_target"]:
        return "both sides are of one class"
    return problem_of_softmax(row["source_softmax"])


def _samples(store: Store, manifest: PairManifest) -> Iterator[Problem]:
    """Every sample's digest, its licence's set, and that it is what its row says."""
    kept = {
        row["key"]: row
        for part in sorted(finished_parts(store, PAIRS))
        for batch in read_part(store, PAIRS, part, columns=_COMPARED)
        for row in batch.to_pylist()
        if row["kept"]
    }
    licences = {
        row["key"]: may_be_published(row["licence"], row["licence_url"], permitted=bool(row["permitted"]))
        for part in sorted(finished_parts(store, PAIR_REQUESTS))
        for batch in read_part(store, PAIR_REQUESTS, part, columns=["key", "licence", "licence_url", "permitted"])
        for row in batch.to_pylist()
    }
    seen: Counter[str] = Counter()
    for sidecar in finished_parts(store, PAIR_INDEX).values():
        for index in (path for path in sidecar.files if path.endswith(".parquet")):
            name = index.split("/")[1]
            with store.open_read(index) as file:
                rows = read_table(file).to_pylist()
            with store.open_read(index.removesuffix(".parquet") + ".tar") as tar:
                for row in rows:
                    seen[row["key"]] += 1
                    members = {member: member_span(row, member).read(tar) for member in PAIR_MEMBERS}
                    if problem := _sample_problem(row, members, kept.get(row["key"])):
                        yield Problem(f"{index} {row['key']}", problem)
                    elif name != (kept[row["key"]]["split"] if licences[row["key"]] else PRIVATE):
                        yield Problem(f"{index} {row['key']}", f"lies in {name}, where its licence or split is not")
    for key in kept:
        if seen[key] != 1:
            yield Problem(f"shards {key}", f"stands {seen[key]} times in the shards")


def _sample_problem(row: dict[str, Any], members: dict[str, bytes], pair: dict[str, Any] | None) -> str:
    if pair is None:
        return "is no kept pair"
    digests = {member: hashlib.sha256(data) for member, data in members.items()}
    if sample_sha256(*(digests[member].digest() for member in PAIR_MEMBERS)) != row["sha256"]:
        return "is not what its index says"
    if any(digests[side].hexdigest() != pair[f"{side}_sha256"] for side in ("source", "target")):
        return "has other pictures than its row"
    metadata = json.loads(members["json"])
    return "" if metadata["prompt"] == pair["prompt"] == members["txt"].decode() else "has another instruction"
