"""Kept rows become WebDataset samples: jpg, json and txt in deterministic tars, one shard a part and set."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from moodarchive.archive.licences import LICENCE_RULES, may_be_published
from moodarchive.emotions.captions import caption_text
from moodarchive.emotions.taxonomy import EMOTIONS
from moodarchive.running.part_log import forget_logs
from moodarchive.running.stage import Readers, Resources, Stage, Worker, join_batches
from moodarchive.settings import Settings, SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.forgetting import parts_holding
from moodarchive.tables.keys import digest
from moodarchive.tables.layout import DOUBTFUL, PRIVATE
from moodarchive.tables.schemas import CAPTIONS, IMAGES, ITEMS, SAFETY, SCORES, SELECTION, SHARD_INDEX
from shards.restored import PruneAwarePacker, write_and_remove_stash
from shards.tars import SAMPLES

_READS = (ITEMS, IMAGES, SAFETY, CAPTIONS, SCORES, SELECTION)


class ShardSettings(Settings):
    """Whose images may not be redistributed, and what packing may take."""

    private_sources: Annotated[tuple[str, ...], SettingScope.WHOLE_TABLE] = ()
    """Sources whose images go into the private shards, beside those whose terms ask for it."""
    permitted_sources: Annotated[tuple[str, ...], SettingScope.WHOLE_TABLE] = ()
    """Sources whose images of unknown licence may be passed on. A run fills it in, from the sources with a
    ``permission`` and ``redistribution = true``."""
    workers: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 1
    """Worker processes of the stage, on the whole cluster."""
    cpus_per_worker: Annotated[float, Field(gt=0), SettingScope.EXECUTION] = 1.0
    """Share of a CPU that Ray sets aside for each worker."""

    def keeps_private(self, source: str, licence: str | None, licence_url: str | None) -> bool:
        """True when an image of this provenance may lie in private shards only: by its source or by its licence."""
        permitted = source in self.permitted_sources
        return source in self.private_sources or not may_be_published(licence, licence_url, permitted=permitted)


_CAPTION_FIELDS = ("summary", "stimuli", "assessment", "model", "prompt_hash", "seed")
_IMAGE_FIELDS = ("sha256", "width", "height", "original_width", "original_height", "original_bytes", "original_type")
METADATA = {
    **{name: (ITEMS, name) for name in ITEMS.schema.names},
    **{name: (CAPTIONS, name) for name in _CAPTION_FIELDS},
    **{name: (IMAGES, name) for name in _IMAGE_FIELDS},
    "site_width": (ITEMS, "width"),
    "site_height": (ITEMS, "height"),
    "phash": (IMAGES, "phash"),
    "emotions_seen": (CAPTIONS, "emotions"),
    "nsfw": (SAFETY, "nsfw"),
    "nudity": (CAPTIONS, "nudity"),
    "gore": (CAPTIONS, "gore"),
    "score": (SCORES, "score"),
    "score_phrase": (SCORES, "phrase"),
    "emotion": (SELECTION, "emotion"),
    "context": (SELECTION, "context"),
    "split": (SELECTION, "split"),
}
"""Name in the sample's json → table and column: every field that a user of the archive may need, licence and provenance
first of all; outcomes are left out."""

_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class Packer:
    """Joins a part's tables into samples, 64 rows at a time; pictures pass from table to table without Python."""

    settings: ShardSettings

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        for batches in join_batches(readers, *(table.name for table in _READS)):
            is_kept = batches[_READS.index(SELECTION)]["kept"]
            if is_kept.true_count:
                kept = {
                    table.name: batch if is_kept.true_count == batch.num_rows else batch.filter(is_kept)
                    for table, batch in zip(_READS, batches, strict=True)
                }
                yield self._samples(kept)

    def _samples(self, kept: Mapping[str, pa.RecordBatch]) -> pa.RecordBatch:
        fields = {name: kept[table.name][column].to_pylist() for name, (table, column) in METADATA.items()}
        fields["phash"] = [f"{phash:016x}" for phash in fields["phash"]]
        _set_later_scores(fields, kept[SCORES.name])
        rows = (dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True))
        # a cut of release 0.2.0 names no verdict, so that the classifier's holds
        verdicts = zip(*(kept[table.name]["verdict"].to_pylist() for table in (SAFETY, SELECTION)), strict=True)
        provenances = (fields[name] for name in ("source", "licence", "licence_url"))
        captions = zip(fields["summary"], fields["stimuli"], fields["assessment"], strict=True)
        columns = {
            "set": [
                PRIVATE if DOUBTFUL in said or self.settings.keeps_private(*provenance) else split
                for split, said, *provenance in zip(fields["split"], verdicts, *provenances, strict=True)
            ],
            "key": kept[ITEMS.name]["key"],
            "jpg": kept[IMAGES.name]["bytes"],
            "jpg_sha256": kept[IMAGES.name]["stored_sha256"],
            "json": [_ENCODER.encode(row).encode() for row in rows],
            "txt": [caption_text(*caption).encode() for caption in captions],
        }
        return pa.RecordBatch.from_arrays([pa.array(columns[f.name], f.type) for f in SAMPLES], schema=SAMPLES)


def _set_later_scores(fields: dict[str, list[Any]], scores: pa.RecordBatch) -> None:
    """Score and phrase of the emotion under which each image is judged, be it one that a later round found."""
    judged = pa.array(fields["emotion"], pa.string())
    for row in pc.indices_nonzero(pc.not_equal(scores["emotion"], judged)).to_pylist():
        index = EMOTIONS.index(fields["emotion"][row])
        fields["score"][row] = scores["emotion_scores"][row][index].as_py()
        fields["score_phrase"][row] = scores["emotion_phrases"][row][index].as_py()


def _make_worker(settings: ShardSettings, store: Store | None) -> Worker:
    packer = Packer(settings)
    return PruneAwarePacker(packer, store) if store else packer


def pack_stage(settings: ShardSettings, store: Store | None = None) -> Stage:
    """The stage that fills shards/; with ``store``, also from shards alone where images/ was pruned."""
    return Stage(
        name="pack",
        reads=_READS,
        writes=SHARD_INDEX,
        make_worker=partial(_make_worker, settings, store),
        resources=Resources(cpus=settings.cpus_per_worker, min_workers=settings.workers, max_workers=settings.workers),
        settings=digest({**settings.of_kind(SettingScope.WHOLE_TABLE), "licence_rules": LICENCE_RULES}),
        finish=write_and_remove_stash,
    )


def forget(store: Store, keys: frozenset[str]) -> None:
    """Removes the logs of the keys' parts; the shards that hold the keys are out of date now, and packed anew."""
    forget_logs(store, "pack", parts_holding(store, ITEMS, keys))
