"""MoodArchive-5k: the first verified held-out images, sealed as a small archive of their own under moodarchive-5k/."""

import hashlib
import io
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from moodarchive.errors import DamagedPartError
from moodarchive.keys import canonical_json, digest
from moodarchive.storage.store import Store
from moodarchive.tables.layout import VERIFIED_FOLDER
from moodarchive.tables.parquet import read_table as read_parquet
from moodarchive.tables.parts import Origin, finished_parts
from moodarchive.tables.schemas import SCHEMA_VERSION, SHARD_INDEX
from moodarchive.tables.spans import member_span, sample_sha256
from shards.attribution import SCHEMA as ATTRIBUTION_SCHEMA
from shards.tars import MEMBERS, SAMPLES, write_shards
from validate.study.design.items import Item, caption_hash
from validate.study.verdicts.verified_set import NAME, VERIFIED_IMAGES, render_card

SET = "heldout"
SAMPLES_PER_SHARD = 1_000
Row = Mapping[str, Any]


def seal_verified(store: Store, verdicts: Sequence[Row], items: Sequence[Item]) -> dict[str, Any]:
    """Writes shards, index, attributions, card and, last, the manifest; returns the manifest.

    ``verdicts`` are rows of human_verdicts/. Taken are the accepted held-out images whose caption is still the one that
    was judged, in the order of their content hash. The same verdicts give the same bytes.
    """
    inner = Store(f"{store.root.rstrip('/')}/{VERIFIED_FOLDER}")
    inner.remove("manifest.json")
    accepted = {str(row["key"]): row for row in verdicts if row["accepted"]}
    samples = _samples(store, accepted)[:VERIFIED_IMAGES]
    files: dict[str, str] = {}
    chunks = [samples[at : at + SAMPLES_PER_SHARD] for at in range(0, len(samples), SAMPLES_PER_SHARD)]
    for part, chunk in enumerate(chunks):
        origin = Origin(settings=digest(NAME), inputs={}, started=time.time())
        files |= write_shards(inner, SHARD_INDEX, part, _batches(chunk), origin).files
    for part in finished_parts(inner, SHARD_INDEX):
        if part >= len(chunks):
            for suffix in (f"{SET}/{part:05d}.tar", f"{SET}/{part:05d}.parquet", f"{part:05d}.json"):
                inner.remove(f"shards/{suffix}")
    told = _told(samples, [accepted[sample["key"]] for sample in samples])
    sizes = {f"{part:05d}.tar": len(chunk) for part, chunk in enumerate(chunks)}
    files[f"shards/{SET}/sizes.json"] = inner.write_bytes(f"shards/{SET}/sizes.json", canonical_json(sizes).encode())
    files["ATTRIBUTION.parquet"] = inner.write_bytes("ATTRIBUTION.parquet", _attribution(samples))
    files["README.md"] = inner.write_bytes("README.md", render_card(told, len(items)).encode())
    told["files"] = dict(sorted(files.items()))
    inner.write_bytes("manifest.json", (json.dumps(told, indent=1, sort_keys=True) + "\n").encode())
    return told


def _samples(store: Store, accepted: Mapping[str, Row]) -> list[dict[str, Any]]:
    """Each verified sample's members, as the held-out shards have them, in the order of the content hash."""
    found = []
    for sidecar in finished_parts(store, SHARD_INDEX).values():
        for path in sidecar.files:
            if path.startswith(f"shards/{SET}/") and path.endswith(".parquet"):
                found += list(_of_shard(store, path, accepted))
    return sorted(found, key=lambda sample: (sample["about"]["sha256"], sample["key"]))


def _of_shard(store: Store, path: str, accepted: Mapping[str, Row]) -> Iterator[dict[str, Any]]:
    with store.open_read(path) as file:
        rows = [row for row in read_parquet(file).to_pylist() if row["key"] in accepted]
    if not rows:
        return
    with store.open_read(path.removesuffix(".parquet") + ".tar") as tar:
        for row in rows:
            members = {member: member_span(row, member).read(tar) for member in MEMBERS}
            digests = {member: hashlib.sha256(data) for member, data in members.items()}
            if sample_sha256(*(digests[member].digest() for member in MEMBERS)) != row["sha256"]:
                where = f"{store.root}/{path}"
                raise DamagedPartError(
                    f"{row['key']} is not what {where} says; remedy: moodarchive verify {store.root}"
                )
            about = json.loads(members["json"])
            judged = accepted[row["key"]]
            if caption_hash((about["summary"], *about["stimuli"], about["assessment"])) == judged["caption_hash"]:
                told = about | {"human_verification": _verification(judged)}
                yield {"key": row["key"], "about": told, "jpg_sha256": digests["jpg"].hexdigest(), **members}


def _verification(judged: Row) -> dict[str, Any]:
    """How many people verified, and how they voted; nobody is named."""
    names = ("answers", "generated", "original", "neither", "probability", "simulated")
    return {name: judged[name] for name in names}


def _batches(samples: Sequence[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
    for sample in samples:
        text = json.dumps(sample["about"], sort_keys=True, ensure_ascii=False).encode()
        row = {name: sample[name] for name in ("key", "jpg", "jpg_sha256", "txt")} | {"set": SET, "json": text}
        yield pa.RecordBatch.from_pylist([row], schema=SAMPLES)


def _told(samples: Sequence[dict[str, Any]], judged: Sequence[Row]) -> dict[str, Any]:
    answers = Counter(int(row["answers"]) for row in judged)
    return {
        "name": NAME,
        "schema_version": SCHEMA_VERSION,
        "samples": len(samples),
        "wanted": VERIFIED_IMAGES,
        "simulated": any(row["simulated"] for row in judged),
        "answers_per_image": {str(count): number for count, number in sorted(answers.items())},
        "licences": dict(sorted(Counter(str(sample["about"]["licence"]) for sample in samples).items())),
        "emotions": dict(sorted(Counter(str(sample["about"]["emotion"]) for sample in samples).items())),
    }


def _attribution(samples: Sequence[dict[str, Any]]) -> bytes:
    rows = [{name: sample["about"].get(name) for name in ATTRIBUTION_SCHEMA.names} for sample in samples]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=ATTRIBUTION_SCHEMA), sink, compression="zstd")
    return sink.getvalue()
