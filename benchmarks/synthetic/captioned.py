"""A sealed archive of pictures that can be decoded, with captions as long as a vision-language model's."""

import hashlib
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from crawl.rounds.rounds import Round, write_round
from moodarchive.emotions.taxonomy import EMOTIONS
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import (
    CANDIDATES,
    CAPTIONS,
    DESCRIPTORS,
    IMAGES,
    ITEMS,
    REDISCOVERED,
    SAFETY,
    SCHEMA_VERSION,
    SCORES,
    SELECTION,
)
from shards.pack import ShardSettings, pack_stage
from shards.seal import seal
from synthetic.tables import caption_columns, provenance, write_columns
from synthetic.words import every_emotion, hashed, hexed

_TEXT = (
    "a the of and with near under over bright soft warm quiet wide open old small two three people children hands "
    "faces light shadow water harbour meadow street window table flowers leaves clouds smiling leaning walking "
    "holding calm hopeful gentle lively lonely colours distance background foreground picture viewer mood feeling"
)
_WORDS = _TEXT.split()
_WORDS_A_SENTENCE, _SPREAD = 19.5, 4.5
"""A caption of five sentences then has about 107 CLIP tokens."""


def seal_captioned(root: str, parts: int, rows: int) -> None:
    """Writes, packs and seals so many parts; every row is kept for training."""
    store = Store(root)
    write_round(store, Round(number=0, growth={}, queries=(), first_candidates_part=0, first_part=0, parts=parts,
                             merged=True))  # fmt: skip
    store.write_bytes("settings.json", json.dumps({"schema_version": SCHEMA_VERSION, "per_row": {}}).encode())
    for table in (DESCRIPTORS, CANDIDATES, REDISCOVERED):
        write_columns(store, table, 0, 0, {})
    stage = pack_stage(ShardSettings())
    for part in range(parts):
        _write(store, part, rows)
        run_part(stage, store, stage.make_worker(), part)
    assert seal(store)


def _public_licence(rows: int) -> dict[str, list[str]]:
    """One that lets every row into the shards that are trained on."""
    return {
        "licence": ["by 2.0"] * rows,
        "licence_url": ["https://creativecommons.org/licenses/by/2.0/"] * rows,
    }


def _write(store: Store, part: int, rows: int) -> None:
    image = np.arange(part * rows, (part + 1) * rows)
    word = np.sort(hashed(image, 4))
    key, ok = hexed(word), ["ok"] * rows
    cell = {"emotion": ["joy"] * rows, "context": ["natural_scenery"] * rows}
    query = {"emotion": "joy", "context": "natural_scenery", "phrase": "sunlit meadow", "rank": 1}
    summary, first, second, third, assessment = (_sentences(rows, part * 5 + place) for place in range(5))
    written = {"summary": summary, "stimuli": list(zip(first, second, third, strict=True)), "assessment": assessment}
    pictures = [photograph(number) for number in image]
    score = np.full(rows, 0.25, np.float32)
    tables = {
        ITEMS: {
            **provenance(image), **_public_licence(rows),
            "queries": [[query]] * rows, "retrieved_on": ["2026-11-21"] * rows,
        },
        IMAGES: {
            "bytes": pictures, "stored_sha256": [hashlib.sha256(picture).hexdigest() for picture in pictures],
            "sha256": pc.binary_join_element_wise(*(hexed(hashed(word, 11 + i)) for i in range(4)), ""),
            "phash": word, "width": np.full(rows, 768), "height": np.full(rows, 576),
            "original_width": np.full(rows, 1024), "original_height": np.full(rows, 768),
            "original_bytes": np.full(rows, 240_000), "original_type": ["JPEG"] * rows,
        },
        SAFETY: {"nsfw": np.full(rows, 0.01, np.float32), "verdict": ["safe"] * rows},
        CAPTIONS: {**caption_columns(word), **written},
        SCORES: {"score": score, "phrase": ["sunlit meadow"] * rows, **cell,
                 **every_emotion(score, np.full(rows, EMOTIONS.index(cell["emotion"][0])), word)},
        SELECTION: {"kept": pa.array([True] * rows), "split": ["train"] * rows, **cell},
    }  # fmt: skip
    for table, columns in tables.items():
        extra = {"status": ok} if "status" in table.schema.names else {"round": np.zeros(rows, np.int32)}
        write_columns(store, table, part, rows, {**columns, **extra, "key": key})


def _sentences(count: int, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    lengths = np.maximum(6, random.normal(_WORDS_A_SENTENCE, _SPREAD, count)).astype(int)
    return [" ".join(random.choice(_WORDS, length)).capitalize() + "." for length in lengths]


def photograph(seed: int) -> bytes:
    """A JPEG of 768 x 576 pixels that weighs and costs what a photograph of that size does."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    grain = random.integers(-9, 10, (576, 768, 1))
    pixels = np.asarray(coarse.resize((768, 576), Image.Resampling.BICUBIC)) + grain
    held = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(held, "JPEG", quality=88)
    return held.getvalue()
