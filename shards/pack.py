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
from moodarchive.stage import Readers, Resources, Stage, joined
from shards.tars import SAMPLES, write_shards

_READS = (DEALT, IMAGES, SAFETY, CAPTIONS, SCORES, KEPT)


class ShardSettings(Settings):
    """Which sources may not be redistributed, and what packing may take."""

    private_sources: Annotated[tuple[str, ...], Kind.WHOLE_TABLE] = ()
    workers: Annotated[int, Field(ge=1), Kind.EXECUTION] = 1
    cpus_per_worker: Annotated[float, Field(gt=0), Kind.EXECUTION] = 1.0


@dataclass(frozen=True)
class Packer:
    """Joins a part's tables into samples, 64 rows at a time."""

    private_sources: tuple[str, ...]

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        for rows in joined(readers, *(table.name for table in _READS)):
            samples = [self._sample(row) for row in map(_Row._make, zip(*rows, strict=True)) if row.kept["kept"]]
            if samples:
                yield pa.RecordBatch.from_pylist(samples, schema=SAMPLES)

    def _sample(self, row: "_Row") -> dict[str, object]:
        private = row.dealt["source"] in self.private_sources
        return {
            "set": PRIVATE if private else row.kept["split"],
            "key": row.dealt["key"],
            "jpg": row.image["bytes"],
            "json": json.dumps(_metadata(row), sort_keys=True, ensure_ascii=False).encode(),
            "txt": caption_text(row.caption["summary"], row.caption["stimuli"], row.caption["assessment"]).encode(),
        }


class _Row(NamedTuple):
    """What the tables say of one key, in the order of _READS."""

    dealt: dict[str, Any]
    image: dict[str, Any]
    safety: dict[str, Any]
    caption: dict[str, Any]
    score: dict[str, Any]
    kept: dict[str, Any]


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


def pack_stage(settings: ShardSettings) -> Stage:
    """The stage that fills shards/."""
    return Stage(
        name="pack",
        reads=_READS,
        writes=SHARD_INDEX,
        make_worker=partial(Packer, settings.private_sources),
        resources=Resources(cpus=settings.cpus_per_worker, min_workers=settings.workers, max_workers=settings.workers),
        settings=settings.digest(Kind.WHOLE_TABLE),
        finish=write_shards,
    )
