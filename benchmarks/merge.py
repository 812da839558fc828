"""Ten million candidates merged: time and memory beside the same merge in Polars. Generation is not timed."""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HOUSE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOUSE))

from crawl.rounds.merge import MergeSettings, merge_candidates  # noqa: E402
from crawl.rounds.rounds import Round, read_round, write_round  # noqa: E402
from crawl.source import Query  # noqa: E402
from moodarchive.emotions.taxonomy import CONTEXTS, EMOTIONS  # noqa: E402
from moodarchive.storage.store import Store  # noqa: E402
from moodarchive.tables.keys import normalise_url  # noqa: E402
from moodarchive.tables.parts import Origin, finished_parts, write_part  # noqa: E402
from moodarchive.tables.schemas import CANDIDATES, ITEMS  # noqa: E402

LIMIT_S, LIMIT_GIB = 600.0, 4.0
ROWS_PER_PART = 10_000
IMAGES_SHARE, SAME_FILE_SHARE = 0.6, 0.01
"""Images among the candidates; images whose file lies under a second identifier too."""
ORIGIN = Origin(settings="benchmark", inputs={}, started=0.0)


def _texts(form: str, numbers: np.ndarray) -> pa.Array:
    return pa.array([form.format(number) for number in numbers.tolist()])


def candidates(part: int, total: int) -> pa.RecordBatch:
    """A part of what sites answer: images are met by one query or several, addresses are plain or carry a query."""
    random = np.random.default_rng(part)
    count = min(ROWS_PER_PART, total - part * ROWS_PER_PART)
    image = random.integers(0, int(total * IMAGES_SHARE), count).astype(np.uint64)
    # the key must follow from the image alone; an odd factor permutes the 64-bit numbers
    key = image * np.uint64(0x9E3779B97F4A7C15) + np.uint64(part % 2) * (image % np.uint64(100) < 100 * SAME_FILE_SHARE)
    asked = random.integers(0, total // 100, count)
    emotion, context = asked % len(EMOTIONS), asked // len(EMOTIONS) % len(CONTEXTS)
    plain, with_query = (
        "https://images.site.example/{0:012d}.jpg",
        "https://CDN.site.example/photo-{0:x}?w=1080&ixid=M3w&fm=jpg",
    )
    columns = {
        "key": _texts("{0:016x}", key),
        "url": pa.array([(plain if n % 2 else with_query).format(n) for n in image.tolist()]),
        "source": pa.array(["openverse"] * count),
        "source_id": _texts("{0:032x}", image),
        "landing_url": _texts("https://www.site.example/photos/a-picture-of-something-{0}", image),
        "title": _texts("Something that somebody saw in the {0}th place", image % np.uint64(99_991)),
        "alt_text": _texts("a word, another word, many more words that describe picture {0}", image),
        "creator": _texts("Creator Number {0}", image % np.uint64(50_021)),
        "creator_url": _texts("https://www.site.example/@creator{0}", image % np.uint64(50_021)),
        "licence": pa.array(["by 4.0"] * count),
        "licence_url": pa.array(["https://creativecommons.org/licenses/by/4.0/"] * count),
        "width": pa.array((1000 + image % np.uint64(4000)).astype(np.int32)),
        "height": pa.array((800 + image % np.uint64(3000)).astype(np.int32)),
        "mature": pa.array([False] * count),
        "emotion": pa.array(np.array(EMOTIONS)[emotion]),
        "context": pa.array(np.array(CONTEXTS)[context]),
        "phrase": _texts("a search phrase of number {0}", asked),
        "rank": pa.array(np.arange(count, dtype=np.int32) % 100),
        "retrieved_on": pa.array(["2026-11-21"] * count),
        "round": pa.array(np.zeros(count, np.int32)),
    }
    return pa.RecordBatch.from_pydict(columns, schema=CANDIDATES.schema)


def _write(work: tuple[str, int, int]) -> None:
    root, part, total = work
    write_part(Store(root), CANDIDATES, part, [candidates(part, total)], ORIGIN)


def generate(root: str, total: int) -> None:
    """An open round with so many candidates."""
    parts = -(-total // ROWS_PER_PART)
    queries = [
        Query(source="openverse", emotion="joy", context=CONTEXTS[0], phrase=str(n), results=100)
        for n in range(100 * parts)
    ]
    record = Round(number=0, growth={}, queries=tuple(queries), first_candidates_part=0, first_part=0)
    assert len(record.candidates_parts) == parts
    write_round(Store(root), record)
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_write, [(root, part, total) for part in range(parts)], chunksize=4))


def deal_ours(root: str) -> int:
    """The whole step, part by part, each synced to disk."""
    merge_candidates(Store(root), read_round(Store(root), 0), MergeSettings())
    return sum(part.rows for part in finished_parts(Store(root), ITEMS).values())


def deal_by_polars(root: str) -> int:
    """The same rows in one file: merged by key and address, queries listed, sorted by key. Not split into parts."""
    import polars as pl

    query = pl.struct("emotion", "context", "phrase", "rank")
    order = ["rank", "emotion", "context", "phrase"]
    found = pl.scan_parquet(f"{root}/candidates/*.parquet").with_columns(
        address=pl.col("url").map_elements(normalise_url, return_dtype=pl.String)
    )
    smallest = found.group_by("address").agg(image=pl.col("key").min())
    of_key = (
        found.select("key", "address").unique().join(smallest, on="address").group_by("key").agg(pl.col("image").min())
    )
    joined = found.drop("address").join(of_key, on="key").sort(["image", *order])
    rest = [name for name in CANDIDATES.schema.names if name not in ("key", *order)]
    own = pl.col("key") == pl.col("image")
    items = joined.group_by("image").agg(
        *(pl.col(name).filter(own).first() for name in rest), queries=query.unique(maintain_order=True)
    )
    items.sort("image").sink_parquet(f"{root}/polars.parquet")
    return int(pq.read_metadata(f"{root}/polars.parquet").num_rows)


def differences(total: int) -> int:
    """Images of a smaller round that the two merge differently."""
    with tempfile.TemporaryDirectory() as root:
        generate(root, total)
        deal_ours(root)
        deal_by_polars(root)
        ours = pa.concat_tables(
            pq.read_table(f"{root}/items/{part:05d}.parquet") for part in finished_parts(Store(root), ITEMS)
        )
        theirs = pq.read_table(f"{root}/polars.parquet").rename_columns({"image": "key"})
    names = ours.schema.names
    rows = [
        {row["key"]: json.dumps(row, sort_keys=True) for row in table.select(names).to_pylist()}
        for table in (ours, theirs)
    ]
    return sum(rows[0].get(key) != rows[1].get(key) for key in rows[0].keys() | rows[1].keys())


def _measured(how: str, root: str) -> dict[str, float]:
    """Run in a process of its own, whose peak memory is its own; it may be killed for too much of it."""
    command = [sys.executable, __file__, "--timed", how, root]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        return {"seconds": float("inf"), "gib": float("inf"), "rows": -1}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _timed(how: str, root: str) -> None:
    began = time.perf_counter()
    rows = (deal_ours if how == "ours" else deal_by_polars)(root)
    seconds = time.perf_counter() - began
    print(
        json.dumps(
            {"seconds": seconds, "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "rows": rows}
        )
    )


def _claim(claim: str, ours: float, peer: float, unit: str, bar: float = 1.0) -> dict[str, object]:
    ratio = peer / ours if ours else (1.0 if peer == 0 else float("inf"))
    return {
        "claim": claim, "ours": round(ours, 2), "peer": round(peer, 2), "unit": unit, "ratio": round(ratio, 3),
        "bar": bar, "met": ratio >= bar,
    }  # fmt: skip


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--candidates", type=int, default=10_000_000)
    asked.add_argument("--beside", type=int, default=2_000_000, help="candidates that both merge, interleaved")
    asked.add_argument("--sample", type=int, default=100_000)
    asked.add_argument("--timed", nargs=2, help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.timed:
        return _timed(*options.timed)
    claims = [
        _claim(
            f"images of {options.sample:,} candidates merged unlike Polars'", differences(options.sample), 0, "images"
        )
    ]
    print(json.dumps(claims[0]), flush=True)
    with tempfile.TemporaryDirectory() as root:
        generate(root, options.beside)
        ours, theirs = [], []
        opened = read_round(Store(root), 0)
        for _ in range(3):
            write_round(Store(root), replace(opened, parts=0, merged=False))
            ours.append(_measured("ours", root))
            theirs.append(_measured("polars", root))
        mine, peer = (sorted(runs, key=lambda run: run["seconds"])[1] for runs in (ours, theirs))
        assert mine["rows"] == peer["rows"]
        name = f"{options.beside:,} candidates beside Polars"
        claims += [
            # ours syncs hundreds of parts, with their sidecars; the peer's one file is not synced
            _claim(f"merge of {name}", mine["seconds"], peer["seconds"], "s", bar=0.8),
        ]
    for claim in claims[1:]:
        print(json.dumps(claim), flush=True)
    with tempfile.TemporaryDirectory() as root:
        generate(root, options.candidates)
        whole = _measured("ours", root)
    print(f"peak memory beside Polars: {mine['gib']:.2f} GiB, Polars {peer['gib']:.2f} GiB", file=sys.stderr)
    claims.append(_claim(f"deal of {options.candidates:,} candidates", whole["seconds"], LIMIT_S, "s"))
    claims.append(_claim(f"peak memory of the merge of {options.candidates:,}", whole["gib"], LIMIT_GIB, "GiB"))
    for claim in claims[2:]:
        print(json.dumps(claim), flush=True)
    print(json.dumps(min(claims, key=lambda claim: float(str(claim["ratio"])) / float(str(claim["bar"])))))
    return None


if __name__ == "__main__":
    main()
