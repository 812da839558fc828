"""Tables of millions of scored and judged rows, with captions of drawn words, for the page that looks at them."""

import hashlib
import json
import os
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from moodarchive.emotions.lexicon import load_lexicon
from moodarchive.emotions.taxonomy import CONTEXTS, EMOTIONS
from moodarchive.tables.keys import canonical_json
from moodarchive.tables.parts import Sidecar
from moodarchive.tables.schemas import (
    CAPTIONS,
    IMAGES,
    ITEMS,
    SAFETY,
    SCHEMA_VERSION,
    SCORES,
    SELECTION,
    VECTORS,
    Table,
)
from synthetic.listed import _all_words
from synthetic.tables import pictures, provenance
from synthetic.words import every_emotion, hashed, hexed, uniform

ROWS_PER_PART = 2_000
WIDTH, RANK = 768, 160
_SENTENCES, _WORDS = 50_000, 14
_KEPT, _LOW, _REPEAT, _UNSAFE = 0.62, 0.8, 0.86, 0.9
_REASONS = np.array([None, "low_score", "repeat", "unsafe", "failed_download", "failed_caption"])
_TABLES = (ITEMS, IMAGES, SAFETY, CAPTIONS, SCORES, SELECTION)


def write_tables(root: Path, rows: int, *, vectors: bool) -> None:
    """Parts of 2,000 rows; equal for equal numbers. ``vectors`` adds the pictures' unit vectors."""
    root.mkdir(parents=True)
    (root / "settings.json").write_text(json.dumps({"schema_version": SCHEMA_VERSION, "per_row": {}}))
    for table in (*_TABLES, *((VECTORS,) if vectors else ())):
        (root / table.name).mkdir()
    with ProcessPoolExecutor(2) as pool:
        for _ in pool.map(partial(_write_part, root, vectors), range(rows // ROWS_PER_PART), chunksize=8):
            pass


@cache
def _sentences() -> pa.Array:
    """Sentences of fourteen words each, drawn by Zipf's law."""
    words, random = np.array(_all_words(np.random.default_rng(0))), np.random.default_rng(1)
    share = np.cumsum(1 / np.arange(1, len(words) + 1))
    said = np.searchsorted(share, random.random((_SENTENCES, _WORDS)) * share[-1])
    return pa.array([" ".join(line).capitalize() + "." for line in words[said]])


@cache
def _phrases() -> NDArray[np.str_]:
    """[emotions, contexts, 14]: the lexicon's phrases."""
    lexicon = load_lexicon()
    return np.array([[lexicon[emotion, context] for context in CONTEXTS] for emotion in EMOTIONS])  # type: ignore[index]


@cache
def _mixing() -> NDArray[np.float32]:
    """[rank, width]: directions whose weights fall as those of real embeddings do, by a power of their rank."""
    random = np.random.default_rng(2)
    weights = np.arange(1, RANK + 1, dtype=np.float32) ** -0.6
    return np.asarray(random.standard_normal((RANK, WIDTH), np.float32) * weights[:, None] / WIDTH**0.5)


def draw_vectors(part: int, rows: int) -> NDArray[np.float16]:
    """[rows, width] of length 1: a common mean, a falling spectrum and a little noise, as image embeddings have."""
    random = np.random.default_rng([3, part])
    mean = np.random.default_rng(4).standard_normal(WIDTH).astype(np.float32) / WIDTH**0.5
    vectors = random.standard_normal((rows, RANK), np.float32) @ _mixing()
    vectors += 1.2 * mean + 0.2 * np.roll(_noise(), part, axis=1)[:rows]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


@cache
def _noise() -> NDArray[np.float32]:
    return np.asarray(np.random.default_rng(5).standard_normal((ROWS_PER_PART, WIDTH), np.float32) / WIDTH**0.5)


@cache
def _pictures() -> list[bytes]:
    return pictures(8, side=64)


def _write_part(root: Path, vectors: bool, part: int) -> None:
    rows = ROWS_PER_PART
    image = np.arange(part * rows, (part + 1) * rows)
    word = np.sort(hashed(image, 4))
    key, chance = hexed(word), uniform(hashed(word, 30))
    place = np.searchsorted([_KEPT, _LOW, _REPEAT, _UNSAFE, 0.97], chance, side="right")
    emotion = (hashed(word, 31) % np.uint64(27)).astype(np.int64)
    context = (hashed(word, 32) % np.uint64(4)).astype(np.int64)
    phrase = _phrases()[emotion, context, (hashed(word, 33) % np.uint64(14)).astype(np.int64)]
    names, contexts = np.array(EMOTIONS)[emotion], np.array(CONTEXTS)[context]
    text = [
        _sentences().take(pa.array((hashed(word, 40 + n) % np.uint64(_SENTENCES)).astype(np.int64))) for n in range(7)
    ]
    score = np.round(0.12 + 0.25 * uniform(hashed(word, 7)), 5).astype(np.float32)
    one = np.arange(rows + 1, dtype=np.int32)
    query = pa.StructArray.from_arrays(
        [pa.array(names), pa.array(contexts), pa.array(phrase), pa.array(np.zeros(rows, np.int32))],
        names=["emotion", "context", "phrase", "rank"],
    )
    served, described = place != 4, (place != 4) & (place != 3) & (place != 5)
    three = pa.chunked_array(text[3:6]).combine_chunks().take(pa.array(np.arange(3 * rows).reshape(3, -1).T.ravel()))
    which = pa.array((word % np.uint64(8)).astype(np.int64))
    held = _pictures()
    columns: dict[Table, dict[str, object]] = {
        ITEMS: {**provenance(image), "title": text[0], "alt_text": text[1], "round": np.zeros(rows, np.int32),
                "retrieved_on": ["2026-11-21"] * rows, "queries": pa.ListArray.from_arrays(one, query)},
        IMAGES: {"bytes": pa.array(held, pa.binary()).take(which), "phash": hashed(word, 15),
                 "stored_sha256": pa.array([hashlib.sha256(data).hexdigest() for data in held]).take(which),
                 "width": np.full(rows, 64), "height": np.full(rows, 64),
                 "status": np.where(served, "ok", "failed"), "error": np.where(served, None, "http_404")},
        SAFETY: {"nsfw": np.full(rows, 0.01), "verdict": np.where(place == 3, "unsafe", "safe"),
                 "status": np.where(served, "ok", "skipped")},
        CAPTIONS: {"summary": text[2], "stimuli": pa.ListArray.from_arrays(one * 3, three), "assessment": text[6],
                   "status": np.where(described, "ok", "skipped")},
        SCORES: {"score": score, "phrase": phrase, "emotion": names, "context": contexts,
                 **every_emotion(score, emotion, word), "status": ["ok"] * rows},
        SELECTION: {"kept": place == 0, "reason": _REASONS[place], "emotion": names, "context": contexts,
                    "split": ["train"] * rows, "round": np.zeros(rows, np.int32), "verdict": ["safe"] * rows},
    }  # fmt: skip
    if vectors:
        flat = pa.array(draw_vectors(part, rows).ravel())
        columns[VECTORS] = {"vector": pa.ListArray.from_arrays(one * WIDTH, flat)}
    for table, of_table in columns.items():
        _write(root, table, part, {**of_table, "key": key}, rows)


def _write(root: Path, table: Table, part: int, columns: dict[str, object], rows: int) -> None:
    """The part and its sidecar, without the syncs that a crawl pays for; columns that are not given are null."""
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(rows, field.type)
        for field in table.schema
    ]
    path = root / table.name / f"{part:05d}.parquet"
    whole = pa.Table.from_arrays(arrays, schema=table.schema)
    plain = table is VECTORS
    pq.write_table(
        whole, path, compression="none" if plain else "zstd", use_dictionary=not plain,
        row_group_size=table.rows_per_group,
    )  # fmt: skip
    sidecar = Sidecar(
        table=table.name, part=part, rows=rows, failures={}, files={f"{table.name}/{path.name}": "0" * 64},
        bytes=os.path.getsize(path), settings="synthetic", inputs={}, started=0.0, finished=0.0, sets={},
    )  # fmt: skip
    path.with_suffix(".json").write_text(canonical_json(sidecar.to_fields()) + "\n")
