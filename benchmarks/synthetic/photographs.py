"""Parts whose pictures weigh what photographs do: noise of that length, since packing never looks into a picture."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from moodarchive.emotions.taxonomy import EMOTIONS
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import CAPTIONS, IMAGES, ITEMS, SAFETY, SCORES, SELECTION
from synthetic.tables import caption_columns, provenance, write_columns
from synthetic.words import every_emotion, hashed, hexed, uniform

MEAN_BYTES = 120_000
"""About that of a photograph of 768 x 576 pixels at the archive's JPEG quality."""
_QUERY = {"emotion": "joy", "context": "natural_scenery", "phrase": "sunlit meadow", "rank": 0}


def _of_all(rows: int) -> dict[str, list[str]]:
    """A provenance that public shards take."""
    licence = {"licence": "by 2.0", "licence_url": "https://creativecommons.org/licenses/by/2.0/"}
    return {name: [value] * rows for name, value in ({"source": "openverse"} | licence).items()}


def write_photographs(store: Store, part: int, rows: int) -> None:
    """Writes the part in every table from items to selection; every row is kept for training, and may be published."""
    image = np.arange(part * rows, (part + 1) * rows)
    word = np.sort(hashed(image, 4))
    key, ok = hexed(word), ["ok"] * rows
    cell = {"emotion": [_QUERY["emotion"]] * rows, "context": [_QUERY["context"]] * rows}
    noise = np.random.default_rng(part).bytes(3 * MEAN_BYTES)
    length = (MEAN_BYTES * (0.5 + uniform(hashed(image, 5)))).astype(np.int64)
    start = (hashed(image, 6) % np.uint64(MEAN_BYTES)).astype(np.int64)
    pictures = [noise[first : first + count] for first, count in zip(start, length, strict=True)]
    score = np.full(rows, 0.25, np.float32)
    tables = {
        ITEMS: {**provenance(image), **_of_all(rows), "queries": [[_QUERY]] * rows,
                "retrieved_on": ["2026-11-21"] * rows},
        IMAGES: {
            "bytes": pictures, "stored_sha256": [hashlib.sha256(picture).hexdigest() for picture in pictures],
            "sha256": pc.binary_join_element_wise(*(hexed(hashed(word, 11 + i)) for i in range(4)), ""),
            "phash": word, "width": np.full(rows, 768), "height": np.full(rows, 576),
            "original_width": np.full(rows, 1024), "original_height": np.full(rows, 768), "original_bytes": 2 * length,
            "original_type": ["JPEG"] * rows,
        },
        SAFETY: {"nsfw": np.full(rows, 0.01, np.float32), "verdict": ["safe"] * rows},
        CAPTIONS: caption_columns(word),
        SCORES: {"score": score, "phrase": [_QUERY["phrase"]] * rows, **cell,
                 **every_emotion(score, np.full(rows, EMOTIONS.index(cell["emotion"][0])), word)},
        SELECTION: {"kept": pa.array([True] * rows), "split": ["train"] * rows, **cell},
    }  # fmt: skip
    for table, columns in tables.items():
        extra = {"status": ok} if "status" in table.schema.names else {"round": np.zeros(rows, np.int32)}
        write_columns(store, table, part, rows, {**columns, **extra, "key": key})
