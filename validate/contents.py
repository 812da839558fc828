"""Looks inside one part: tables agree key by key, shards hold exactly the kept rows, pictures decode."""

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

from PIL import Image

from moodarchive.layout import PRIVATE, SETS
from moodarchive.parquet import read_table as read_parquet
from moodarchive.parts import part_path, read_part
from moodarchive.schemas import CAPTIONS, DEALT, IMAGES, KEPT, SAFETY, SCORES, Table
from moodarchive.store import Store

Found = Iterator[tuple[str, str]]


def part_problems(store: Store, part: int, sealed: frozenset[str]) -> Found:
    """(where, what) for everything wrong in the part; ``sealed`` names its shards' files that the manifest covers."""
    dealt = _column(store, DEALT, part, "key")
    if dealt != sorted(set(dealt)):
        yield part_path(DEALT, part), "keys are not in order, or not unique"
    for table in (IMAGES, SAFETY, CAPTIONS, SCORES, KEPT):
        if _column(store, table, part, "key") != dealt:
            yield part_path(table, part), "its keys are not those of dealt"
    judged, kept, split = (_column(store, KEPT, part, name) for name in ("key", "kept", "split"))
    splits = {key: of_key for key, is_kept, of_key in zip(judged, kept, split, strict=True) if is_kept}
    yield from _caption_problems(store, part, set(splits))
    packed: dict[str, str] = {}
    for name in SETS:
        if f"shards/{name}/{part:05d}.tar" in sealed:
            yield from _shard_problems(store, name, part, packed)
    for key in sorted(set(splits) - set(packed)):
        yield key, f"kept, but in no shard of part {part:05d}"
    for key, name in sorted(packed.items()):
        if key not in splits:
            yield key, f"in shards/{name}/{part:05d}.tar, but not kept"
        elif name not in (splits[key], PRIVATE):
            yield key, f"in {name}, but its split is {splits[key]}"


def _column(store: Store, table: Table, part: int, name: str) -> list[Any]:
    batches = read_part(store, table, part, columns=[name], batch_rows=10_000)
    return [value for batch in batches for value in batch[0].to_pylist()]


def _caption_problems(store: Store, part: int, kept: set[str]) -> Found:
    for batch in read_part(store, CAPTIONS, part):
        for row in batch.to_pylist():
            if row["key"] in kept:
                sentences = [row["summary"], *(row["stimuli"] or []), row["assessment"]]
                if len(sentences) != 5 or not all(sentences):
                    yield row["key"], f"kept, but its caption in captions/{part:05d} has not five sentences"


def _shard_problems(store: Store, name: str, part: int, packed: dict[str, str]) -> Found:
    path = f"shards/{name}/{part:05d}.tar"
    with store.open_read(f"shards/{name}/{part:05d}.parquet") as file:
        index = {row["key"]: row for row in read_parquet(file).to_pylist()}
    seen: dict[str, dict[str, tuple[int, int]]] = {}
    with store.open_read(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            key, _, kind = member.name.partition(".")
            seen.setdefault(key, {})[kind] = (member.offset_data, member.size)
            content = tar.extractfile(member)
            if content and (problem := _content_problem(kind, content.read())):
                yield f"{path}:{member.name}", problem
    for key in sorted(seen.keys() ^ index.keys()):
        yield path, f"{key} is in {'the tar' if key in seen else 'the index'} only"
    for key in seen.keys() & index.keys():
        expected = {kind: (index[key][f"{kind}_offset"], index[key][f"{kind}_size"]) for kind in ("jpg", "json", "txt")}
        if seen[key] != expected:
            yield path, f"the members of {key} do not lie where the index says"
        if key in packed:
            yield key, f"in two sets, {packed[key]} and {name}"
        packed[key] = name


def _content_problem(kind: str, content: bytes) -> str | None:
    try:
        if kind == "jpg":
            with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
                image.load()
        elif kind == "json":
            if not json.loads(content).get("licence"):
                return "no licence"
        elif len(content.decode().split()) < 5:
            return "caption of fewer than five words"
    except Exception as error:  # noqa: BLE001  decoders raise anything on damaged bytes
        return f"cannot be decoded: {error}"
    return None
