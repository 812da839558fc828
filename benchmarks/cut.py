"""The cut of ten million images: time, memory, and the verdicts against plain NumPy. Generation is not timed."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HOUSE = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOUSE), str(HOUSE / "benchmarks")]

from synthetic.memory import peak_gib  # noqa: E402
from synthetic.tables import write_columns  # noqa: E402
from synthetic.words import every_emotion  # noqa: E402

from filter.cut import CutSettings, cut  # noqa: E402
from moodarchive.emotions.taxonomy import CONTEXTS, EMOTIONS  # noqa: E402
from moodarchive.storage.store import Store  # noqa: E402
from moodarchive.tables.parts import finished_parts  # noqa: E402
from moodarchive.tables.schemas import CAPTIONS, IMAGES, ITEMS, REDISCOVERED, SAFETY, SCORES, SELECTION, Table  # noqa: E402

LIMIT_S, LIMIT_GIB = 120.0, 4.0
ROUNDS = range(2)
SETTINGS = CutSettings(heldout=0.01, validation=0.01)
FATES = ("ok", "failed_download", "failed_safety", "unsafe", "failed_caption", "failed_score")


class Images:
    """Columns of generated images; each is drawn from the seed alone."""

    def __init__(self, count: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.key = np.unique(random.integers(0, 2**64, count + 1_000, dtype=np.uint64))
        self.key = np.sort(random.permutation(self.key)[:count])
        self.sha = random.integers(0, 2**64, count, dtype=np.uint64)
        self.phash = random.integers(0, 2**64, count, dtype=np.uint64)
        # a tenth looks like another picture, up to four bits away: three are near, four are not
        copies = random.choice(count, count // 10, replace=False)
        flips = np.zeros(len(copies), np.uint64)
        for _ in range(4):
            flips ^= np.where(random.random(len(copies)) < 0.6, 1 << random.integers(0, 63, len(copies)), 0).astype(
                "u8"
            )
        self.phash[copies] = self.phash[random.integers(0, count, len(copies))] ^ flips
        self.area = random.choice([480_000, 786_432, 2_073_600], count)
        self.score = np.round(random.normal(0.24, 0.03, count), 4).astype(np.float32)
        self.emotion = random.integers(0, len(EMOTIONS), count)
        self.context = random.integers(0, len(CONTEXTS), count)
        self.fate = random.choice(len(FATES), count, p=[0.93, 0.03, 0.005, 0.01, 0.015, 0.01])
        # a quarter of the first round's images are found again by the second, under any emotion
        self.again = random.random(count) < 0.25
        self.emotion_again = random.integers(0, len(EMOTIONS), count)
        self.context_again = random.integers(0, len(CONTEXTS), count)


def _hex(values: np.ndarray) -> np.ndarray:
    return np.frombuffer(values.astype(">u8").tobytes().hex().encode(), "S16").astype(str)


def _write(root: str, images: Images, rows: np.ndarray, part: int, round_number: int) -> None:
    """The part's five tables, as the stages before the cut would leave them."""
    key, sha, fate = _hex(images.key[rows]), _hex(images.sha[rows]), images.fate[rows]
    emotion, context = np.array(EMOTIONS)[images.emotion[rows]], np.array(CONTEXTS)[images.context[rows]]
    queries = [
        [{"emotion": e, "context": c, "phrase": "phrase", "rank": 0}] for e, c in zip(emotion, context, strict=True)
    ]

    def status(failing: int) -> list[str]:
        return np.where(fate == failing, "failed", "ok").tolist()

    tables: dict[Table, dict[str, object]] = {
        ITEMS: {"key": key, "round": np.full(len(rows), round_number), "queries": queries},
        IMAGES: {
            "key": key, "status": status(1), "sha256": np.where(fate == 1, None, np.char.add(sha, "0" * 48)),
            "phash": images.phash[rows], "original_width": images.area[rows] // 16,
            "original_height": np.full(len(rows), 16),
        },
        SAFETY: {"key": key, "status": status(2), "verdict": np.where(fate == 3, "unsafe", "safe")},
        CAPTIONS: {"key": key, "status": status(4)},
        SCORES: {
            "key": key, "status": status(5), "score": images.score[rows], "emotion": emotion, "context": context,
            **every_emotion(images.score[rows], images.emotion[rows], images.key[rows]),
        },
    }  # fmt: skip
    for table, columns in tables.items():
        write_columns(Store(root), table, part, len(rows), columns)


def _write_requeried(work: tuple[str, int, int]) -> None:
    """The last round's queries that found images of the first again."""
    root, parts, rounds = work
    images = _images[0]
    rows = np.flatnonzero(images.again & (_round_of(len(images.key), parts, rounds) == 0))
    emotion = pa.array(EMOTIONS).take(pa.array(images.emotion_again[rows]))
    context = pa.array(CONTEXTS).take(pa.array(images.context_again[rows]))
    asked = pa.StructArray.from_arrays(
        [emotion, context, pa.array(["phrase"] * len(rows)), pa.array(np.zeros(len(rows), "i4"))],
        fields=list(REDISCOVERED.schema.field("queries").type.value_type),
    )
    columns = {
        "key": _hex(images.key[rows]).tolist(), "round": np.full(len(rows), rounds - 1),
        "queries": pa.ListArray.from_arrays(np.arange(len(rows) + 1, dtype=np.int32), asked),
    }  # fmt: skip
    write_columns(Store(root), REDISCOVERED, rounds - 1, len(rows), columns)


def _round_of(count: int, parts: int, rounds: int) -> np.ndarray:
    return (np.arange(count) % parts) * rounds // parts


_images: list[Images] = []


def _begin(count: int) -> None:
    _images.append(Images(count))


def _write_part(work: tuple[str, int, int, int]) -> None:
    root, part, parts, rounds = work
    count = len(_images[0].key)
    rows = np.arange(part, count, parts)
    _write(root, _images[0], rows, part, part * rounds // parts)


def generate(root: str, count: int, rows_per_part: int, rounds: int = 2) -> int:
    """Writes the tables of so many images; returns the number of parts."""
    parts = max(rounds, count // rows_per_part)
    with ProcessPoolExecutor(2, initializer=_begin, initargs=(count,)) as pool:
        list(pool.map(_write_part, [(root, part, parts, rounds) for part in range(parts)], chunksize=4))
        pool.submit(_write_requeried, (root, parts, rounds)).result()
    return parts


def reference(images: Images, parts: int, rounds: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reason (``kept`` for none), split and emotion of each image, by comparing all with all."""
    count = len(images.key)
    round_of = _round_of(count, parts, rounds)
    share = (images.sha >> np.uint64(16)).astype(np.float64) / 2**48
    edges = SETTINGS.heldout, SETTINGS.heldout + SETTINGS.validation
    split = np.select(
        [images.fate == 1, share < edges[0], share < edges[1]], ["none", "heldout", "validation"], "train"
    )
    reason = np.array(["kept", *FATES[1:]], "U16")[images.fate]
    ranked = np.lexsort((images.key, -images.area, split != "heldout", round_of))
    ranked = ranked[reason[ranked] == "kept"]
    hashes, survives = images.phash[ranked], np.ones(len(ranked), bool)
    for place in range(len(ranked)):
        near = np.flatnonzero(np.bitwise_count(hashes[:place] ^ hashes[place]) <= 3)
        near = near[survives[near]]
        if len(near):
            survives[place] = False
            from_heldout = split[ranked[near[0]]] == "heldout" != split[ranked[place]]
            reason[ranked[place]] = "near_heldout" if from_heldout else "repeat"
    sound = np.flatnonzero(reason == "kept")
    fits = every_emotion(images.score, images.emotion, images.key)["emotion_scores"].flatten().to_numpy()
    score_again = fits.reshape(count, -1)[np.arange(count), images.emotion_again]
    moved = images.again & (round_of == 0) & (score_again > images.score) & (reason == "kept")
    # who moves is judged in the last round's cell, and is counted in the first's
    image = np.concatenate([sound, np.flatnonzero(moved)])
    decides = np.concatenate([~moved[sound], np.ones(moved.sum(), bool)])
    cell = (round_of * len(EMOTIONS) + images.emotion) * len(CONTEXTS) + images.context
    again = ((rounds - 1) * len(EMOTIONS) + images.emotion_again) * len(CONTEXTS) + images.context_again
    cell, score = np.concatenate([cell[sound], again[moved]]), np.concatenate([images.score[sound], score_again[moved]])
    for one in np.unique(cell):
        members = np.flatnonzero(cell == one)
        assert len(members) >= SETTINGS.smallest_cell
        lowest = members[np.lexsort((images.key[image[members]], score[members]))][: len(members) * 20 // 100]
        reason[image[lowest[decides[lowest]]]] = "low_score"
    emotion = np.where(moved, images.emotion_again, images.emotion)
    return reason, split, np.array(EMOTIONS)[emotion]


def differences(count: int, rows_per_part: int) -> int:
    """Images of a smaller archive on which the cut and the reference do not agree."""
    with tempfile.TemporaryDirectory() as root:
        parts = generate(root, count, rows_per_part)
        cut(Store(root), SETTINGS, list(range(parts)), ROUNDS)
        found = pa.concat_tables(pq.read_table(f"{root}/selection/{part:05d}.parquet") for part in range(parts))
    images = Images(count)
    reason, split, emotion = (verdict.tolist() for verdict in reference(images, parts))
    expected = dict(zip(_hex(images.key).tolist(), zip(reason, split, emotion, strict=True), strict=True))
    rows = zip(*(found[name].to_pylist() for name in ("key", "reason", "split", "emotion")), strict=True)
    return sum(expected.pop(key) != (why or "kept", of or "none", e) for key, why, of, e in rows) + len(expected)


def _timed(root: str, parts: int) -> None:
    """Runs in a process of its own, so that the peak of memory is the cut's."""
    began = time.perf_counter()
    cut(Store(root), SETTINGS, list(range(parts)), ROUNDS)
    seconds = time.perf_counter() - began
    kept = finished_parts(Store(root), SELECTION)
    print(json.dumps({"seconds": seconds, "gib": peak_gib(), "rows": sum(part.rows for part in kept.values())}))


def _claim(claim: str, ours: float, limit: float, unit: str) -> dict[str, object]:
    ratio = limit / ours if ours else (1.0 if limit == 0 else float("inf"))
    return {
        "claim": claim, "ours": round(ours, 2), "peer": limit, "unit": unit, "ratio": round(ratio, 3), "bar": 1.0,
        "met": ours <= limit,
    }  # fmt: skip


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--images", type=int, default=10_000_000)
    asked.add_argument("--rows-per-part", type=int, default=2_000)
    asked.add_argument("--sample", type=int, default=100_000)
    asked.add_argument("--timed", nargs=2, help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.timed:
        return _timed(options.timed[0], int(options.timed[1]))
    wrong = differences(options.sample, 2_000)
    claims = [_claim(f"verdicts, splits and emotions of {options.sample:,} images unlike NumPy's", wrong, 0, "images")]
    print(json.dumps(claims[0]), flush=True)
    with tempfile.TemporaryDirectory() as root:
        parts = generate(root, options.images, options.rows_per_part)
        command = [sys.executable, __file__, "--timed", root, str(parts)]
        out = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout
    measured = json.loads(out.splitlines()[-1])
    assert measured["rows"] == options.images
    claims.append(_claim(f"cut and splits of {options.images:,} images", measured["seconds"], LIMIT_S, "s"))
    claims.append(_claim(f"peak memory of the cut of {options.images:,}", measured["gib"], LIMIT_GIB, "GiB"))
    for claim in claims[1:]:
        print(json.dumps(claim))
    print(json.dumps(min(claims, key=lambda claim: float(str(claim["ratio"])))))
    return None


if __name__ == "__main__":
    main()
