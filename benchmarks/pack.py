"""Packing 4 GB and verifying it, beside what copies, writes and digests the same bytes. Generation is not timed."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

HOUSE = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOUSE), str(HOUSE / "benchmarks")]

from synthetic.photographs import MEAN_BYTES, write_photographs  # noqa: E402

from moodarchive.emotions.captions import caption_text  # noqa: E402
from moodarchive.running.stage import run_part  # noqa: E402
from moodarchive.storage.store import Store  # noqa: E402
from moodarchive.tables.schemas import SELECTION, SHARD_INDEX  # noqa: E402
from pipelines.runner.settings_record import check_settings  # noqa: E402
from pipelines.settings import ArchiveSettings  # noqa: E402
from shards.pack import METADATA, ShardSettings, pack_stage  # noqa: E402
from shards.seal import seal  # noqa: E402

WORKERS, ROWS = 2, 2_000
_OF_SHARDS = ("cp", "verify", "sha256sum")
Contest = Callable[[], object]
Work = tuple[str, int]


def _generate(work: Work) -> None:
    root, part = work
    write_photographs(Store(root), part, ROWS)


def _pack(work: Work) -> None:
    root, part = work
    stage = pack_stage(ShardSettings())
    run_part(stage, Store(root), stage.make_worker(), part)


def _write_with_webdataset(work: Work) -> None:
    """The same samples, as a user of webdataset would get and write them: neither digested, indexed nor synced."""
    import webdataset

    root, part = work
    with webdataset.ShardWriter(_peer_pattern(root, part), maxcount=10**9, maxsize=10**12, verbose=0) as writer:
        for sample in _samples_of(root, part):
            writer.write(sample)


def _peer_pattern(root: str, part: int) -> str:
    return f"{root}-peer/{part:05d}-%d.tar"


def _samples_of(root: str, part: int) -> Iterator[dict[str, Any]]:
    """The rows of all tables side by side, 64 at a time; webdataset encodes what they say."""
    tables = pack_stage(ShardSettings()).reads
    readers = [pq.ParquetFile(f"{root}/{table.name}/{part:05d}.parquet").iter_batches(64) for table in tables]
    for batches in zip(*readers, strict=True):
        for rows in zip(*(batch.to_pylist() for batch in batches), strict=True):
            row = {table.name: of_table for table, of_table in zip(tables, rows, strict=True)}
            if row[SELECTION.name]["kept"]:
                told = {name: row[table.name][column] for name, (table, column) in METADATA.items()}
                told["phash"] = f"{told['phash']:016x}"
                text = caption_text(told["summary"], told["stimuli"], told["assessment"])
                yield {"__key__": told["key"], "jpg": row["images"]["bytes"], "json": told, "txt": text}


def _check_equal(root: str) -> None:
    """Both have written the same samples."""
    import webdataset

    tars = f"{root}/shards/train/00000.tar", _peer_pattern(root, 0) % 0
    for ours, theirs in zip(*(webdataset.WebDataset(tar, shardshuffle=False) for tar in tars), strict=True):
        assert all(ours[name] == theirs[name] for name in ("__key__", "jpg", "txt")), ours["__key__"]
        assert json.loads(ours["json"]) == json.loads(theirs["json"]), ours["__key__"]


def _copy(root: str, processes: int) -> None:
    """``cp`` of the tars, so many processes at once, then ``sync`` of each copy."""
    script = 'cp "$@" "$0"/ && sync "$0"/*.tar'
    tars = sorted(str(path) for path in Path(root, "shards").rglob("*.tar"))
    started = [
        subprocess.Popen(["sh", "-c", script, f"{root}-peer", *tars[first::processes]]) for first in range(processes)
    ]
    assert all(process.wait() == 0 for process in started)


def _read_all(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 24):
                    pass


def _verify(root: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(HOUSE)}
    command = [sys.executable, "-P", "-m", "moodarchive", "verify", root, "--fast"]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def _sha256sum(root: str) -> None:
    script = f'find "$0" -type f -print0 | xargs -0 -P{WORKERS} -n8 sha256sum > /dev/null'
    subprocess.run(["sh", "-c", script, root], check=True)


def measure(root: str, parts: int, rounds: int, minutes: float) -> dict[str, list[float]]:
    """Seconds of each contestant in each round, one after the other in every round.

    After so many minutes no further round begins; there are as many of packing as of verifying, at least one.
    """
    work, shards, peer = [(root, part) for part in range(parts)], Path(root, SHARD_INDEX.name), Path(f"{root}-peer")
    seconds: dict[str, list[float]] = {}

    def time_of(name: str, contest: Contest) -> None:
        shutil.rmtree(peer, ignore_errors=True)
        peer.mkdir()
        _read_all(path for path in Path(root).rglob("*") if name in _OF_SHARDS or shards not in path.parents)
        if name == "pack":
            shards.rename(peer / "old")
        os.sync()  # everybody begins with what it reads in memory, and without pages that wait for the disk
        began = time.perf_counter()
        contest()
        seconds.setdefault(name, []).append(time.perf_counter() - began)
        print(f"{name}: {seconds[name][-1]:.2f} s", file=sys.stderr, flush=True)

    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        check_settings(Store(root), ArchiveSettings())
        list(pool.map(_generate, work))
        # imports everything; makes the bytes that are copied and digested
        list(pool.map(_pack, work))
        peer.mkdir()
        list(pool.map(_write_with_webdataset, work[:WORKERS]))
        _check_equal(root)
        until = time.monotonic() + 60 * minutes
        for done in range(rounds):
            if done and time.monotonic() > until:
                break
            time_of("cp", lambda: _copy(root, 1))
            time_of("ShardWriter", lambda: list(pool.map(_write_with_webdataset, work)))
            time_of("pack", lambda: list(pool.map(_pack, work)))
    shutil.rmtree(peer)
    seal(Store(root))
    for _ in seconds["pack"]:
        time_of("verify", lambda: _verify(root))
        time_of("sha256sum", lambda: _sha256sum(root))
    return seconds


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--gb", type=float, default=4.3)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--minutes", type=float, default=8.0, help="after which no further round begins")
    asked.add_argument("--root", help="where to build; a temporary folder otherwise")
    options = asked.parse_args()
    held = tempfile.mkdtemp(dir=options.root)
    try:
        parts = max(WORKERS, -(-int(options.gb * 1e9) // (ROWS * MEAN_BYTES)))
        seconds = measure(f"{held}/archive", parts, options.rounds, options.minutes)
        whole, size = (_bytes(Path(held, "archive", folder)) for folder in ("", SHARD_INDEX.name))
    finally:
        shutil.rmtree(held)
    gb = f"{size / 1e9:.1f} GB"
    claims = [
        _claim(f"packing {gb}, {WORKERS} workers, against cp and fsync", size, seconds, ("pack", "cp", 0.8)),
        _claim(f"packing {gb}, against ShardWriter, equal workers", size, seconds, ("pack", "ShardWriter", 2.0)),
        _claim(
            f"verify --fast of {whole / 1e9:.1f} GB, against xargs -P{WORKERS} sha256sum", whole, seconds,
            ("verify", "sha256sum", 0.8),
        ),
    ]  # fmt: skip
    for claim in claims:
        print(json.dumps(claim))
    print(json.dumps(min(claims, key=lambda claim: float(str(claim["ratio"])) / float(str(claim["bar"])))))


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _claim(claim: str, size: int, seconds: dict[str, list[float]], sides: tuple[str, str, float]) -> dict[str, object]:
    ours, peer, bar = sides
    rates = [size / 1e9 / statistics.median(seconds[side]) for side in (ours, peer)]
    ratio = rates[0] / rates[1]
    return {
        "claim": claim, "ours": round(rates[0], 3), "peer": round(rates[1], 3), "unit": "GB/s",
        "ratio": round(ratio, 3), "bar": bar, "met": ratio >= bar,
    }  # fmt: skip


if __name__ == "__main__":
    main()
