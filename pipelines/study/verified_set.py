"""MoodArchive-5k: the first verified held-out images, sealed as a small archive of their own under moodarchive-5k/."""

import hashlib
import io
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from moodarchive.archive.manifest import VerifiedManifest
from moodarchive.errors import DamagedPartError
from moodarchive.storage.store import Store
from moodarchive.tables.keys import canonical_json, digest
from moodarchive.tables.layout import MANIFEST_PATH, VERIFIED_FOLDER
from moodarchive.tables.parquet import read_table as read_parquet
from moodarchive.tables.parts import Origin, finished_parts, sidecar_path
from moodarchive.tables.schemas import SHARD_INDEX
from moodarchive.tables.spans import member_span, sample_sha256
from shards.attribution import ATTRIBUTION_PATH
from shards.attribution import SCHEMA as ATTRIBUTION_SCHEMA
from shards.card import CARD_PATH
from shards.seal import sizes_path
from shards.tars import MEMBERS, SAMPLES, index_path, tar_path, write_shards
from validate.study.design.items import Item, caption_hash
from validate.study.verdicts.verified_set import NAME, VERIFIED_IMAGES, render_card

SET = "heldout"
SAMPLES_PER_SHARD = 1_000
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class VerifiedSample:
    """A held-out sample that people accepted: its members, and the row of human_verdicts/ that says so."""

    key: str
    jpg: bytes
    jpg_sha256: str
    txt: bytes
    metadata: Mapping[str, Any]
    """The sample's json, as the archive's shard has it."""
    verdict: Row

    @property
    def json(self) -> bytes:
        """The sample's json with how many people verified it, and how they voted; nobody is named."""
        names = ("answers", "generated", "original", "neither", "probability", "simulated")
        votes = {name: self.verdict[name] for name in names}
        metadata = {**self.metadata, "human_verification": votes}
        return json.dumps(metadata, sort_keys=True, ensure_ascii=False).encode()


def seal_verified(store: Store, verdicts: Sequence[Row], items: Sequence[Item]) -> VerifiedManifest:
    """Writes shards, index, attributions, card and, last, the manifest; returns the manifest.

    ``verdicts`` are rows of human_verdicts/. Taken are the accepted held-out images whose caption is still the one that
    was judged, in the order of their content hash. The same verdicts give the same bytes.
    """
    verified = Store(f"{store.root.rstrip('/')}/{VERIFIED_FOLDER}")
    verified.remove(MANIFEST_PATH)
    samples = _select_samples(store, {str(row["key"]): row for row in verdicts if row["accepted"]})
    files = _pack_samples(verified, samples)
    manifest = _describe_samples(samples)
    texts = {
        ATTRIBUTION_PATH: _attribute_samples(samples),
        CARD_PATH: render_card(manifest, len(items)).encode(),
    }
    files |= {path: verified.write_bytes(path, text) for path, text in texts.items()}
    manifest = replace(manifest, files=dict(sorted(files.items())))
    verified.write_bytes(MANIFEST_PATH, manifest.to_json())
    return manifest


def _select_samples(store: Store, accepted: Mapping[str, Row]) -> list[VerifiedSample]:
    """The first samples in the order of the content hash, as the held-out shards have them."""
    samples = (
        sample
        for sidecar in finished_parts(store, SHARD_INDEX).values()
        for path in sidecar.files
        if path.startswith(f"shards/{SET}/") and path.endswith(".parquet")
        for sample in _read_shard(store, path, accepted)
    )
    return sorted(samples, key=lambda sample: (sample.metadata["sha256"], sample.key))[:VERIFIED_IMAGES]


def _read_shard(store: Store, index: str, accepted: Mapping[str, Row]) -> Iterator[VerifiedSample]:
    """The shard's accepted samples whose caption is the one that was judged."""
    with store.open_read(index) as file:
        rows = [row for row in read_parquet(file).to_pylist() if row["key"] in accepted]
    if not rows:
        return
    with store.open_read(index.removesuffix(".parquet") + ".tar") as tar:
        for row in rows:
            sample = _read_sample(tar, row, accepted[row["key"]])
            if sample is None:
                raise DamagedPartError(
                    f"{row['key']} is not what {store.root}/{index} says; remedy: moodarchive verify {store.root}"
                )
            sentences = (sample.metadata["summary"], *sample.metadata["stimuli"], sample.metadata["assessment"])
            if caption_hash(sentences) == sample.verdict["caption_hash"]:
                yield sample


def _read_sample(tar: BinaryIO, row: Row, verdict: Row) -> VerifiedSample | None:
    """The sample that the index's row points to; None when its bytes have not the index's digest."""
    members = {member: member_span(row, member).read(tar) for member in MEMBERS}
    digests = {member: hashlib.sha256(data) for member, data in members.items()}
    if sample_sha256(*(digests[member].digest() for member in MEMBERS)) != row["sha256"]:
        return None
    return VerifiedSample(
        key=row["key"],
        jpg=members["jpg"],
        jpg_sha256=digests["jpg"].hexdigest(),
        txt=members["txt"],
        metadata=json.loads(members["json"]),
        verdict=verdict,
    )


def _pack_samples(verified: Store, samples: Sequence[VerifiedSample]) -> dict[str, str]:
    """Writes the shards and their sizes, removes those of an earlier, larger set; returns each file's sha256."""
    files: dict[str, str] = {}
    sizes: dict[str, int] = {}
    left = iter(samples)
    while chunk := list(islice(left, SAMPLES_PER_SHARD)):
        part = len(sizes)
        origin = Origin(settings=digest(NAME), inputs={}, started=time.time())
        files |= write_shards(verified, SHARD_INDEX, part, _batches(chunk), origin).files
        sizes[f"{part:05d}.tar"] = len(chunk)
    for part in finished_parts(verified, SHARD_INDEX):
        if part >= len(sizes):
            for path in (tar_path(SET, part), index_path(SET, part), sidecar_path(SHARD_INDEX, part)):
                verified.remove(path)
    files[sizes_path(SET)] = verified.write_bytes(sizes_path(SET), canonical_json(sizes).encode())
    return files


def _batches(samples: Sequence[VerifiedSample]) -> Iterator[pa.RecordBatch]:
    for sample in samples:
        row = {name: getattr(sample, name) for name in ("key", "jpg", "jpg_sha256", "json", "txt")} | {"set": SET}
        yield pa.RecordBatch.from_pylist([row], schema=SAMPLES)


def _describe_samples(samples: Sequence[VerifiedSample]) -> VerifiedManifest:
    """What the samples come to; the files' digests follow once they are written."""
    answers = Counter(int(sample.verdict["answers"]) for sample in samples)
    return VerifiedManifest(
        name=NAME,
        samples=len(samples),
        wanted=VERIFIED_IMAGES,
        simulated=any(sample.verdict["simulated"] for sample in samples),
        answers_per_image={str(count): number for count, number in sorted(answers.items())},
        licences=_count_values(samples, "licence"),
        emotions=_count_values(samples, "emotion"),
        files={},
    )


def _count_values(samples: Sequence[VerifiedSample], name: str) -> dict[str, int]:
    return dict(sorted(Counter(str(sample.metadata[name]) for sample in samples).items()))


def _attribute_samples(samples: Sequence[VerifiedSample]) -> bytes:
    """ATTRIBUTION.parquet of the set."""
    rows = [{name: sample.metadata.get(name) for name in ATTRIBUTION_SCHEMA.names} for sample in samples]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=ATTRIBUTION_SCHEMA), sink, compression="zstd")
    return sink.getvalue()


def forget(store: Store, keys: frozenset[str]) -> None:
    """Removes the set as a whole when it holds one of the keys: ``moodarchive study apply`` makes it anew without."""
    files = list(store.files(VERIFIED_FOLDER))
    indexes = (path for path in files if path.endswith(".parquet"))
    if any(not keys.isdisjoint(_read_keys(store, path)) for path in indexes):
        # the manifest first: half a set must not pass for one
        for path in sorted(files, key=lambda path: not path.endswith(f"/{MANIFEST_PATH}")):
            store.remove(path)


def _read_keys(store: Store, path: str) -> list[str]:
    with store.open_read(path) as file:
        return [str(key) for key in read_parquet(file, columns=["key"])["key"].to_pylist()]
