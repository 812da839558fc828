"""The tables of an archive of so many images: real columns and lengths, made-up contents, equal for an equal seed."""

import hashlib
import io
import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from crawl.rounds.rounds import QUERIES_PER_PART, Round, write_round
from crawl.source import Query
from moodarchive.archive.licences import find_licence
from moodarchive.emotions.taxonomy import CONTEXTS, EMOTIONS
from moodarchive.storage.store import Store
from moodarchive.tables.parts import Origin, part_path, write_part
from moodarchive.tables.schemas import CANDIDATES, CAPTIONS, IMAGES, ITEMS, SAFETY, SCORES, Table
from synthetic.words import Columns, Words, every_emotion, hashed, hexed, uniform

FOUND_AGAIN = 0.25
"""Candidates a hundred images, beyond a hundred: an image is found under several queries."""
_SOURCES = ("openverse", "unsplash", "pexels", "pixabay", "burst", "stocksnap", "foodiesfeed", "freenaturestock")
_LICENCES = ("by 2.0", "by-sa 2.0", "cc0 1.0", "by 4.0", "unsplash", "pexels", "pixabay", "pdm 1.0")
_FATES = ("ok", "failed_download", "failed_safety", "unsafe", "failed_caption", "failed_score")
_SENTENCES = (
    "A wide scene with several people opens under a bright and cloudless sky near the old harbour",
    "Warm light falls from the left side and lets the faces in the foreground stand out clearly",
    "Two figures lean towards each other with open hands and relaxed shoulders",
    "The soft background of leaves and distant houses keeps the eye on the middle of the picture",
    "Altogether the picture spreads a calm and hopeful mood that stays with the person who looks at it",
)


def pictures(count: int, side: int = 16) -> list[bytes]:
    """Small real JPEGs that many rows share."""
    held = []
    for seed in range(count):
        buffer = io.BytesIO()
        pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, "JPEG")
        held.append(buffer.getvalue())
    return held


def write_columns(store: Store, table: Table, part: int, rows: int, columns: Columns) -> None:
    """Writes the part; columns that are not given are null."""
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(rows, field.type)
        for field in table.schema
    ]
    origin = Origin(settings="synthetic", inputs={}, started=time.time())
    write_part(store, table, part, [pa.RecordBatch.from_arrays(arrays, schema=table.schema)], origin)


@dataclass(frozen=True)
class Crawl:
    """One round's search for ``images`` different pictures; its candidates parts hold so many rows each."""

    images: int
    rows_per_part: int = 20_000

    @property
    def candidates(self) -> int:
        """Rows of candidates/ in all."""
        return int(self.images * (1 + FOUND_AGAIN))

    @property
    def candidates_parts(self) -> int:
        """Parts of candidates/."""
        return -(-self.candidates // self.rows_per_part)

    def record(self, store: Store) -> Round:
        """Opens the round under the store's root."""
        queries = tuple(
            Query(
                source=_SOURCES[0],
                emotion=EMOTIONS[number % len(EMOTIONS)],
                context=CONTEXTS[number // len(EMOTIONS) % len(CONTEXTS)],
                phrase=f"phrase {number}",
                results=self.rows_per_part // QUERIES_PER_PART,
            )
            for number in range(self.candidates_parts * QUERIES_PER_PART)
        )
        record = Round(number=0, growth={}, queries=queries, first_candidates_part=0, first_part=0)
        write_round(store, record)
        return record

    def write_candidates(self, store: Store, part: int) -> None:
        """One part: each image stands once in some part, and a quarter of them again elsewhere."""
        row = np.arange(part, self.candidates, self.candidates_parts)
        again = (hashed(row, 1) % np.uint64(self.images)).astype(np.int64)
        image = np.where(row < self.images, row, again)
        place = np.arange(len(row))
        query = part * QUERIES_PER_PART + place % QUERIES_PER_PART
        write_columns(
            store,
            CANDIDATES,
            part,
            len(row),
            {
                **provenance(image),
                "emotion": np.array(EMOTIONS)[query % len(EMOTIONS)],
                "context": np.array(CONTEXTS)[query // len(EMOTIONS) % len(CONTEXTS)],
                "phrase": _text("phrase ", query),
                "rank": place // QUERIES_PER_PART,
                "retrieved_on": ["2026-11-21"] * len(row),
                "round": np.zeros(len(row), np.int32),
            },
        )


def _text(before: str, numbers: NDArray[np.integer], after: str = "") -> pa.Array:
    return pc.binary_join_element_wise(before, pc.cast(pa.array(numbers), pa.string()), after, "")


def provenance(image: NDArray[np.int64]) -> Columns:
    """What a site says of an image; one in a hundred has the address of the image before it."""
    address = np.where(image % 100 == 1, image - 1, image)
    kind = image % len(_SOURCES)
    maker = (hashed(image, 2) % np.uint64(200_000)).astype(np.int64)
    name = pc.binary_join_element_wise(_text("img", image), hexed(hashed(image, 3)), "")
    return {
        "key": hexed(hashed(image, 4)),
        "url": _text("https://live.photos.example/65535/", address, "_b8d1c2e7f0_b.jpg?utm_source=search"),
        "source": np.array(_SOURCES)[kind],
        "source_id": name,
        "landing_url": _text("https://www.photos.example/photos/somebody/", image, "/in/album-72157"),
        "title": _text("Evening light over the old harbour, number ", image),
        "alt_text": _text("people at the water in the evening, with boats and birds, picture ", image),
        "creator": _text("Photographer ", maker),
        "creator_url": _text("https://www.photos.example/people/", maker),
        "licence": np.array(_LICENCES)[kind],
        "licence_url": np.array([find_licence(name, None).url for name in _LICENCES])[kind],
        "width": 1024 + image % 4096,
        "height": 768 + image % 3072,
        "mature": image % 500 == 0,
    }


@dataclass(frozen=True)
class Judged:
    """What the stages between merge and cut would leave of one merged part."""

    store: Store
    part: int
    images: int
    pictures: tuple[bytes, ...]

    def write(self) -> int:
        """Writes images, safety, captions and scores; returns the part's rows."""
        items = pq.read_table(self.store.path(part_path(ITEMS, self.part)), columns=["key", "queries"])
        key, rows = items["key"].combine_chunks(), items.num_rows
        word = np.array([int(one, 16) for one in key.to_pylist()], np.uint64)
        chance = uniform(hashed(word, 5))
        fate = np.searchsorted(np.cumsum([0.93, 0.03, 0.005, 0.01, 0.015]), chance, side="right")
        queries = items["queries"].combine_chunks()
        first = queries.flatten().take(queries.offsets[:-1])
        self._write(IMAGES, key, fate, 1, self._image_columns(word))
        self._write(SAFETY, key, fate, 2, {
            "nsfw": (uniform(hashed(word, 6)) / 2).astype(np.float32),
            "verdict": np.where(fate == 3, "unsafe", "safe"),
        })  # fmt: skip
        self._write(CAPTIONS, key, fate, 4, caption_columns(word))
        score = np.round(0.12 + 0.25 * uniform(hashed(word, 7)), 5).astype(np.float32)
        emotion = pc.index_in(first.field("emotion"), pa.array(EMOTIONS)).to_numpy().astype(np.int64)
        self._write(SCORES, key, fate, 5, {
            "score": score, "phrase": first.field("phrase"), "emotion": first.field("emotion"),
            "context": first.field("context"), **every_emotion(score, emotion, word),
        })  # fmt: skip
        return rows

    def _image_columns(self, word: Words) -> Columns:
        # a tenth looks like one or two others, whatever the size of the archive: a bit or two away
        motif = word % np.uint64(max(1, self.images // 10))
        copied = np.where(hashed(word, 8) % np.uint64(10) == 0, motif, word)
        flips = np.uint64(1) << (hashed(word, 9) % np.uint64(64))
        which = pa.array((word % np.uint64(len(self.pictures))).astype(np.int32))
        area = np.array([640, 1024, 1920])[(hashed(word, 10) % np.uint64(3)).astype(int)]
        served = [hexed(hashed(word, 11 + i)) for i in range(4)]
        size = np.full(len(word), 16, np.int32)
        return {
            "bytes": pa.array(self.pictures, pa.binary()).take(which),
            "stored_sha256": pa.array([hashlib.sha256(one).hexdigest() for one in self.pictures]).take(which),
            "sha256": pc.binary_join_element_wise(*served, ""),
            "phash": hashed(copied, 15) ^ np.where(copied != word, flips, 0).astype(np.uint64),
            "width": size, "height": size, "original_width": area, "original_height": area * 3 // 4,
            "original_bytes": area * 300, "original_type": ["JPEG"] * len(word),
        }  # fmt: skip

    def _write(self, table: Table, key: pa.Array, fate: NDArray[np.int64], failing: int, columns: Columns) -> None:
        """Null out what a failed row, or one that an earlier table dropped, does not have."""
        status = np.where((fate > 0) & (fate < failing), "skipped", np.where(fate == failing, "failed", "ok"))
        fine, nothing = pa.array(status == "ok"), pa.nulls(1)[0]
        held = {
            name: pc.if_else(fine, pa.array(column, table.schema.field(name).type), nothing)
            for name, column in columns.items()
        }
        error = np.where(status == "failed", _FATES[failing], None)
        write_columns(self.store, table, self.part, len(key), {"key": key, **held, "status": status, "error": error})


def caption_columns(word: Words) -> Columns:
    """Five sentences each; a number in them tells rows apart."""
    number = (word % np.uint64(1_000_000)).astype(np.int64)
    sentences = [_text(f"{sentence} ", number, ".") for sentence in _SENTENCES]
    three = pa.ListArray.from_arrays(
        np.arange(0, 3 * len(word) + 1, 3, dtype=np.int32),
        pa.chunked_array(sentences[1:4]).combine_chunks().take(
            pa.array(np.arange(3 * len(word)).reshape(3, -1).T.ravel())
        ),
    )  # fmt: skip
    seen = pa.array(np.array(EMOTIONS)[number % len(EMOTIONS)])
    return {
        "summary": sentences[0], "stimuli": three, "assessment": sentences[4],
        "emotions": pa.ListArray.from_arrays(np.arange(len(word) + 1, dtype=np.int32), seen),
        "model": ["llava-hf/llava-v1.6-mistral-7b-hf"] * len(word),
        "prompt_hash": [hashlib.sha256(b"prompt").hexdigest()[:16]] * len(word),
        "seed": np.ones(len(word), np.int64), "attempts": np.ones(len(word), np.int32),
        "prompt_tokens": np.full(len(word), 2_300), "completion_tokens": np.full(len(word), 160),
    }  # fmt: skip
