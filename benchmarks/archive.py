"""A simulated archive from its candidates to its seal: time and memory of each whole-table step as it grows.

The metadata is made up, but real in shape; the pictures are a few small ones that many rows share. Generation is not
timed. Each step runs in a process of its own, so that its peak of memory is its own.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

HOUSE = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOUSE), str(HOUSE / "benchmarks")]

from synthetic.memory import peak_gib  # noqa: E402
from synthetic.shards import write_index_alone  # noqa: E402
from synthetic.tables import Crawl, Judged, pictures  # noqa: E402

from crawl.rounds.merge import MergeSettings, merge_candidates  # noqa: E402
from crawl.rounds.rounds import read_rounds  # noqa: E402
from filter.cut import CutSettings, cut, is_cut_current  # noqa: E402
from moodarchive.running.stage import run_part  # noqa: E402
from moodarchive.storage.store import Store  # noqa: E402
from moodarchive.tables.layout import MANIFEST_PATH  # noqa: E402
from pipelines.runner.execute import pending_parts  # noqa: E402
from pipelines.runner.progress import count_stages  # noqa: E402
from pipelines.runner.settings_record import check_settings  # noqa: E402
from pipelines.settings import ArchiveSettings  # noqa: E402
from shards.pack import ShardSettings, pack_stage  # noqa: E402
from shards.seal import seal  # noqa: E402

Steps = dict[str, dict[str, float]]
"""Step → its seconds and GiB."""
LIMIT_GIB = 4.0
CUT, PACK = CutSettings(), pack_stage(ShardSettings())
PACKED_PARTS, PACKING = 20, "pack 20 parts"
"""Parts that are really packed; of the others only the indexes are written, for want of disk."""


def _merge(store: Store) -> None:
    merge_candidates(store, read_rounds(store)[0], MergeSettings())


def _cut(store: Store) -> None:
    cut(store, CUT, _parts(store))


def _pack(store: Store) -> None:
    worker = PACK.make_worker()
    for part in _parts(store)[:PACKED_PARTS]:
        run_part(PACK, store, worker, part)


def _seal(store: Store) -> None:
    assert seal(store)


def _seal_again(store: Store) -> None:
    assert not seal(store)


def _find_nothing_to_do(store: Store) -> None:
    """What a run that has nothing left to do asks of the store."""
    parts = _parts(store)
    assert is_cut_current(store, CUT, parts)
    pending_parts([PACK], store, parts)


def _count(store: Store) -> None:
    """What status and the progress of a run read."""
    count_stages(store, [(PACK.name, table) for table in (*PACK.reads, PACK.writes)], _parts(store))


STEPS: dict[str, Callable[[Store], None]] = {
    "merge": _merge, "cut": _cut, PACKING: _pack, "seal": _seal, "seal again": _seal_again,
    "find nothing to do": _find_nothing_to_do, "count all parts": _count,
}  # fmt: skip


def _parts(store: Store) -> list[int]:
    return [part for record in read_rounds(store) for part in record.image_parts]


def _write_candidates(work: tuple[str, int, int]) -> None:
    root, images, part = work
    Crawl(images).write_candidates(Store(root), part)


def _write_judged(work: tuple[str, int, int]) -> int:
    root, images, part = work
    return Judged(Store(root), part, images, tuple(pictures(8))).write()


def _write_index(work: tuple[str, int]) -> None:
    root, part = work
    write_index_alone(Store(root), PACK, part)


def _measured(root: str, step: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--step", step, "--root", root]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    measured: dict[str, float] = json.loads(out.splitlines()[-1])
    return measured


def _run_step(root: str, step: str) -> None:
    began = time.perf_counter()
    STEPS[step](Store(root))
    seconds = time.perf_counter() - began
    print(json.dumps({"s": seconds, "gib": peak_gib()}))


def measure(root: str, images: int, log: Callable[[str], None]) -> Steps:
    """Builds the archive and seals it; returns seconds and GiB of each step."""
    store, crawl = Store(root), Crawl(images)
    check_settings(store, ArchiveSettings())
    crawl.record(store)
    found: Steps = {}

    def step(name: str) -> None:
        found[name] = _measured(root, name)
        log(f"{images:,} images, {name}: {found[name]['s']:.1f} s, {found[name]['gib']:.2f} GiB")

    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_write_candidates, [(root, images, part) for part in range(crawl.candidates_parts)]))
        step("merge")
        parts = _parts(store)
        list(pool.map(_write_judged, [(root, images, part) for part in parts], chunksize=4))
        step("cut")
        step(PACKING)
        list(pool.map(_write_index, [(root, part) for part in parts[PACKED_PARTS:]], chunksize=4))
    for name in list(STEPS)[3:]:
        step(name)
    manifest = json.loads(store.read_bytes(MANIFEST_PATH))
    assert manifest["counts"]["selection"]["rows"] == manifest["counts"]["items"]["rows"] > 0.98 * images
    assert sum(manifest["sources"].values()) == manifest["counts"]["shards"]["rows"]
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument(
        "--images", type=int, nargs="+", default=[100_000, 1_000_000], help="archives, the smallest first"
    )
    asked.add_argument("--root", help="where to build; a temporary folder otherwise")
    asked.add_argument("--step", help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.step:
        return _run_step(options.root, options.step)
    found = {}
    for images in options.images:
        root = tempfile.mkdtemp(dir=options.root)
        try:
            found[images] = measure(root, images, lambda line: print(line, file=sys.stderr, flush=True))
        finally:
            shutil.rmtree(root)
    claims = [*_memory_claims(found), *_growth_claims(found)]
    for claim in claims:
        print(json.dumps(claim))
    print(json.dumps(min(claims, key=lambda claim: float(str(claim["ratio"])) / float(str(claim["bar"])))))
    return None


def _memory_claims(found: dict[int, Steps]) -> list[dict[str, object]]:
    images = max(found)
    return [
        _claim(f"peak memory of {name}, {images:,} images, against a limit", of["gib"], LIMIT_GIB, "GiB", 1.0)
        for name, of in found[images].items()
    ]


def _growth_claims(found: dict[int, Steps]) -> list[dict[str, object]]:
    """Time of the largest archive against that of the smallest, if it grew in proportion."""
    images, fewer = max(found), min(found)
    times = images / fewer
    return [
        _claim(
            f"{name}: seconds for {images:,} images, against {times:g} times those for {fewer:,}",
            of["s"], times * found[fewer][name]["s"], "s", 0.8,
        )
        for name, of in found[images].items()
        if name != PACKING and images > fewer
    ]  # fmt: skip


def _claim(claim: str, ours: float, peer: float, unit: str, bar: float) -> dict[str, object]:
    ratio = peer / ours
    return {
        "claim": claim, "ours": round(ours, 2), "peer": round(peer, 2), "unit": unit, "ratio": round(ratio, 3),
        "bar": bar, "met": ratio >= bar,
    }  # fmt: skip


if __name__ == "__main__":
    main()
