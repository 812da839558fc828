"""Looks inside one part: tables agree key by key, shards hold exactly the kept rows, pictures decode."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from PIL import Image

from moodarchive.archive.licences import may_be_published
from moodarchive.storage.store import Store
from moodarchive.tables.layout import DOUBTFUL, PRIVATE, SETS
from moodarchive.tables.parquet import read_table as read_parquet
from moodarchive.tables.parts import part_path, read_part
from moodarchive.tables.schemas import CAPTIONS, IMAGES, ITEMS, SAFETY, SCORES, SELECTION, Table
from moodarchive.tables.spans import member_span, sample_sha256

Problems = Iterator[tuple[str, str]]
_MEMBERS = ("jpg", "json", "txt")


@dataclass(frozen=True)
class PublishingRule:
    """The sources that the seal's settings keep private, and those that the operator may pass on."""

    private_sources: frozenset[str] = frozenset()
    permitted_sources: frozenset[str] = frozenset()

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any] | None) -> "PublishingRule":
        """As the manifest's copy of the settings says it."""
        shards = ((settings or {}).get("whole_table") or {}).get("shards") or {}
        return cls(*(frozenset(shards.get(name) or ()) for name in ("private_sources", "permitted_sources")))

    def find_reason(self, source: str, licence: str | None, licence_url: str | None) -> str:
        """Why an image of this provenance may lie in private shards only; empty where it may lie in any."""
        if source in self.private_sources:
            return f"its source {source} is private"
        if may_be_published(licence, licence_url, permitted=source in self.permitted_sources):
            return ""
        return f"its licence ({licence or licence_url or 'none stated'}) does not let it be passed on"


class _Member(NamedTuple):
    offset: int
    size: int
    sha256: bytes


def part_problems(store: Store, part: int, sealed: frozenset[str], rule: PublishingRule) -> Problems:
    """(where, what) for everything wrong in the part; ``sealed`` names its shards' files that the manifest covers."""
    items = _column(store, ITEMS, part, "key")
    if items != sorted(set(items)):
        yield part_path(ITEMS, part), "keys are not in order, or not unique"
    for table in (IMAGES, SAFETY, CAPTIONS, SCORES, SELECTION):
        if _column(store, table, part, "key") != items:
            yield part_path(table, part), "its keys are not those of items"
    judged, kept, split, verdict = (
        _column(store, SELECTION, part, name) for name in ("key", "kept", "split", "verdict")
    )
    splits = {key: of_key for key, is_kept, of_key in zip(judged, kept, split, strict=True) if is_kept}
    classified = zip(_column(store, SAFETY, part, "key"), _column(store, SAFETY, part, "verdict"), strict=True)
    doubtful = {key for key, said in (*zip(judged, verdict, strict=True), *classified) if said == DOUBTFUL}
    yield from _caption_problems(store, part, set(splits))
    packed: dict[str, str] = {}
    for name in SETS:
        if f"shards/{name}/{part:05d}.tar" in sealed:
            yield from _shard_problems(store, name, part, packed)
    for key in sorted(set(splits) - set(packed)):
        yield key, f"kept, but in no shard of part {part:05d}"
    yield from _set_problems(part, packed, splits, doubtful)
    provenance = (_column(store, ITEMS, part, name) for name in ("source", "licence", "licence_url"))
    for key, *stated in zip(items, *provenance, strict=True):
        if packed.get(key, PRIVATE) != PRIVATE and (reason := rule.find_reason(*stated)):
            yield (
                key,
                f"in {packed[key]}, but {reason}: it belongs into {PRIVATE}; remedy: moodarchive run packs it anew",
            )


def _set_problems(part: int, packed: Mapping[str, str], splits: Mapping[str, str], doubtful: set[str]) -> Problems:
    """What lies in a set in which it does not belong; ``packed`` and ``splits`` by key."""
    for key, name in sorted(packed.items()):
        if key not in splits:
            yield key, f"in shards/{name}/{part:05d}.tar, but not kept"
        elif name not in (splits[key], PRIVATE):
            yield key, f"in {name}, but its split is {splits[key]}"
        elif name != PRIVATE and key in doubtful:
            yield key, f"in {name}, but its picture is doubtful and belongs into {PRIVATE}"


def _column(store: Store, table: Table, part: int, name: str) -> list[Any]:
    batches = read_part(store, table, part, columns=[name], batch_rows=10_000)
    return [value for batch in batches for value in batch[0].to_pylist()]


def _caption_problems(store: Store, part: int, kept: set[str]) -> Problems:
    for batch in read_part(store, CAPTIONS, part):
        for row in batch.to_pylist():
            if row["key"] in kept:
                sentences = [row["summary"], *(row["stimuli"] or []), row["assessment"]]
                if len(sentences) != 5 or not all(sentences):
                    yield row["key"], f"kept, but its caption in captions/{part:05d} has not five sentences"


def _shard_problems(store: Store, name: str, part: int, packed: dict[str, str]) -> Problems:
    path = f"shards/{name}/{part:05d}.tar"
    with store.open_read(f"shards/{name}/{part:05d}.parquet") as file:
        index = {row["key"]: row for row in read_parquet(file).to_pylist()}
    packed_members: dict[str, dict[str, _Member]] = {}
    with store.open_read(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            key, _, kind = member.name.partition(".")
            extracted = tar.extractfile(member)
            content = extracted.read() if extracted else b""
            packed_members.setdefault(key, {})[kind] = _Member(
                member.offset_data, member.size, hashlib.sha256(content).digest()
            )
            if problem := _content_problem(kind, content):
                yield f"{path}:{member.name}", problem
    for key in sorted(packed_members.keys() ^ index.keys()):
        yield path, f"{key} is in {'the tar' if key in packed_members else 'the index'} only"
    for key in sorted(packed_members.keys() & index.keys()):
        if problem := _index_problem(index[key], packed_members[key]):
            yield path, problem
        if key in packed:
            yield key, f"in two sets, {packed[key]} and {name}"
        packed[key] = name


def _index_problem(row: Mapping[str, Any], members: Mapping[str, _Member]) -> str | None:
    if {kind: member[:2] for kind, member in members.items()} != {kind: member_span(row, kind) for kind in _MEMBERS}:
        return f"the members of {row['key']} do not lie where the index says"
    if sample_sha256(*(members[kind].sha256 for kind in _MEMBERS)) != row["sha256"]:
        return (
            f"{row['key']} has not the digest of the index; remedy: remove images/ and shards/ of this part, run again"
        )
    return None


def _content_problem(kind: str, content: bytes) -> str | None:
    try:
        if kind == "jpg":
            with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
                image.load()
        elif kind == "json":
            # a list may state an address alone, and one's own pictures neither; but a sample always says which
            if not {"licence", "licence_url"} <= json.loads(content).keys():
                return "no licence"
        elif len(content.decode().split()) < 5:
            return "caption of fewer than five words"
    except Exception as error:  # noqa: BLE001  decoders raise anything on damaged bytes
        return f"cannot be decoded: {error}"
    return None
