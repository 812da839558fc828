"""Seals pictures and captions that are known beforehand: an archive to train and measure on, without a crawl."""

import hashlib
import io
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from crawl.rounds.rounds import Round, write_round
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.keys import image_key
from moodarchive.tables.parts import Origin, write_part
from moodarchive.tables.schemas import (
    CAPTIONS,
    IMAGES,
    ITEMS,
    SAFETY,
    SCHEMA_VERSION,
    SCORES,
    SELECTION,
    as_batch,
    empty_row,
)
from shards.pack import ShardSettings, pack_stage
from shards.seal import seal

SOURCE = "made"
SAMPLES_PER_PART = 500
_TABLES = (ITEMS, IMAGES, SAFETY, CAPTIONS, SCORES, SELECTION)
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Caption:
    """The sentences of one picture; stimuli may be fewer than three, the assessment may be empty."""

    summary: str
    stimuli: tuple[str, ...]
    assessment: str


@dataclass(frozen=True, kw_only=True)
class Made:
    """One picture with its caption; ``split`` is train, validation or heldout. Equal names are one picture."""

    name: str
    jpeg: bytes
    caption: Caption
    split: str
    emotion: str | None = None
    context: str | None = None


def seal_made(store: Store, pictures: Sequence[Made]) -> None:
    """Writes every table from items/ to selection/, packs the shards and seals them; everything is kept."""
    ordered = sorted(pictures, key=lambda made: image_key(SOURCE, made.name))
    parts = [ordered[at : at + SAMPLES_PER_PART] for at in range(0, len(ordered), SAMPLES_PER_PART)]
    store.write_bytes("settings.json", json.dumps({"schema_version": SCHEMA_VERSION, "per_row": {}}).encode())
    only = Round(number=0, growth={}, queries=(), first_candidates_part=0, first_part=0, parts=len(parts), merged=True)
    write_round(store, only)
    stage = pack_stage(ShardSettings(permitted_sources=(SOURCE,)))  # of whoever made them
    origin = Origin(settings="made", inputs={}, started=time.time())
    for part, made in enumerate(parts):
        rows = list(_rows(made))
        for column, table in enumerate(_TABLES):
            write_part(store, table, part, [as_batch(table, [empty_row(table, **row[column]) for row in rows])], origin)
        run_part(stage, store, stage.make_worker(), part)
    seal(store)


def _rows(pictures: Sequence[Made]) -> Iterator[tuple[Row, ...]]:
    """A picture's row in each of _TABLES; what no crawl, safety or score step has said is null."""
    for made in pictures:
        width, height = Image.open(io.BytesIO(made.jpeg)).size
        key = image_key(SOURCE, made.name)
        sha256 = hashlib.sha256(made.jpeg).hexdigest()
        size = {"width": width, "height": height, "original_width": width, "original_height": height}
        cell = {"emotion": made.emotion, "context": made.context}
        caption = made.caption
        sentences = {"summary": caption.summary, "stimuli": list(caption.stimuli), "assessment": caption.assessment}
        yield (
            {"key": key, "source": SOURCE, "source_id": made.name, "title": made.name, "queries": [], "round": 0},
            {
                **size, "key": key, "bytes": made.jpeg, "sha256": sha256, "stored_sha256": sha256,
                "phash": int(sha256[:16], 16), "original_bytes": len(made.jpeg),
                "original_type": "JPEG", "status": "ok",
            },
            {"key": key, "verdict": "safe", "status": "ok"},
            {**sentences, "key": key, "emotions": [], "model": SOURCE, "status": "ok"},
            {**cell, "key": key, "status": "ok"},
            {**cell, "key": key, "kept": True, "split": made.split, "round": 0},
        )  # fmt: skip
