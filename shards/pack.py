"""Kept rows become WebDataset samples: jpg, json and txt in deterministic tars, one shard a part and set."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

import pyarrow as pa
from pydantic import Field

from moodarchive.captions import caption_text
from moodarchive.layout import PRIVATE
from moodarchive.schemas import CAPTIONS, DEALT, IMAGES, KEPT, SAFETY, SCORES, SHARD_INDEX
from moodarchive.settings import Kind, Settings
from moodarchive.stage import Readers, Resources, Stage, Worker, joined_batches
from moodarchive.store import Store
from shards.restored import PruneAwarePacker, write_and_forget
from shards.tars import SAMPLES

_READS = (DEALT, IMAGES, SAFETY, CAPTIONS, SCORES, KEPT)
_PICTURES = {"bytes"}


class ShardSettings(Settings):
    """Which sources may not be redistributed, and what packing may take."""

    private_sources: Annotated[tuple[str, ...], Kind.WHOLE_TABLE] = ()
    workers: Annotated[int, Field(ge=1), Kind.EXECUTION] = 1
    cpus_per_worker: Annotated[float, Field(gt=0), Kind.EXECUTION] = 1.0


@dataclass(frozen=True)
class Packer:
    """Joins a part's tables into samples, 64 rows at a time; pictures pass from table to table without Python."""

    private_sources: tuple[str, ...]

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        for batches in joined_batches(readers, *(table.name for table in _READS)):
            is_kept = batches[_READS.index(KEPT)]["kept"]
            kept = [batch.filter(is_kept) for batch in batches]
            if kept[0].num_rows:
                pictures = kept[_READS.index(IMAGES)]["bytes"]
                yield self._samples(
                    pictures, [batch.drop_columns(_PICTURES & set(batch.schema.names)) for batch in kept]
                )

    def _samples(self, pictures: pa.Array, kept: list[pa.RecordBatch]) -> pa.RecordBatch:
        rows = [_Row._make(row) for row in zip(*(batch.to_pylist() for batch in kept), strict=True)]
        columns = {
            "set": [self._set(row) for row in rows],
            "key": [row.dealt["key"] for row in rows],
            "jpg": pictures,
            "json": [_ENCODER.encode(_metadata(row)).encode() for row in rows],
            "txt": [_text(row.caption).encode() for row in rows],
        }
        return pa.RecordBatch.from_arrays([pa.array(columns[f.name], f.type) for f in SAMPLES], schema=SAMPLES)

    def _set(self, row: "_Row") -> str:
        return PRIVATE if row.dealt["source"] in self.private_sources else str(row.kept["split"])


class _Row(NamedTuple):
    """What the tables say of one key, in the order of _READS."""

    dealt: dict[str, Any]
    image: dict[str, Any]
    safety: dict[str, Any]
    caption: dict[str, Any]
    score: dict[str, Any]
    kept: dict[str, Any]


def _text(caption: dict[str, Any]) -> str:
    return caption_text(caption["summary"], caption["stimuli"], caption["assessment"])


_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False)
_CAPTION_FIELDS = ("summary", "stimuli", "assessment", "model", "prompt_hash", "seed")
_IMAGE_FIELDS = ("sha256", "width", "height", "original_width", "original_height", "original_bytes", "original_type")


def _metadata(row: _Row) -> dict[str, Any]:
    """Every field that a user of the archive may need, licence and provenance first of all; outcomes left out."""
    return {
        **row.dealt,
        **{name: row.caption[name] for name in _CAPTION_FIELDS},
        **{name: row.image[name] for name in _IMAGE_FIELDS},
        "site_width": row.dealt["width"],
        "site_height": row.dealt["height"],
        "phash": f"{row.image['phash']:016x}",
        "emotions_seen": row.caption["emotions"],
        "nsfw": row.safety["nsfw"],
        "score": row.score["score"],
        "score_phrase": row.score["phrase"],
        "emotion": row.kept["emotion"],
        "context": row.kept["context"],
        "split": row.kept["split"],
    }


def _make_worker(private_sources: tuple[str, ...], store: Store | None) -> Worker:
    packer = Packer(private_sources)
    return PruneAwarePacker(packer, store) if store else packer


def pack_stage(settings: ShardSettings, store: Store | None = None) -> Stage:
    """The stage that fills shards/; with ``store``, also from shards alone where images/ was pruned."""
    return Stage(
        name="pack",
        reads=_READS,
        writes=SHARD_INDEX,
        make_worker=partial(_make_worker, settings.private_sources, store),
        resources=Resources(cpus=settings.cpus_per_worker, min_workers=settings.workers, max_workers=settings.workers),
        settings=settings.digest(Kind.WHOLE_TABLE),
        finish=write_and_forget,
    )
