"""`moodarchive browse` over eight million generated rows: the first wall, filters, searches, the server's memory."""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOUSE), str(HOUSE / "benchmarks")]

from synthetic.browsed import write_tables  # noqa: E402

WALL_S, FILTER_S, WORDS_S, PICTURE_S, MEMORY_GIB = 3.0, 1.0, 1.0, 3.0, 2.0
FILTERS = (
    "emotion=joy", "emotion=fear&context=urban_scenery", "reason=low_score&source=openverse", "sort=best",
    "sort=worst&emotion=grief&reason=kept", "sort=shuffled", "low=0.3&high=0.31", "licence=cc0 1.0&sort=best&low=0.2",
    "mark=none&human=none&emotion=love&sort=shuffled",
)  # fmt: skip
WORDS = ("the of", "children water", "sunlit meadow", "street", "old window light", "a")
"""Of two of the most frequent words, of rarer ones, and of one that nearly every row has."""


class Page:
    """The server in a process of its own."""

    def __init__(self, root: str, cache: str, marks: str) -> None:
        command = [sys.executable, "-P", "-m", "moodarchive", "browse", root, "--cache", cache, "--marks", marks]
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(HOUSE), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = next(line.strip() for line in self.process.stdout if line.startswith("http://"))

    def get(self, path: str) -> Any:
        """The answer, as JSON where it is."""
        address = self.url + urllib.parse.quote(path, safe="/?&=")
        with urllib.request.urlopen(address, timeout=600) as answer:  # noqa: S310  our own server
            body = answer.read()
            return json.loads(body) if answer.headers["content-type"] == "application/json" else body

    def seconds(self, path: str) -> float:
        """How long the answer takes."""
        began = time.perf_counter()
        self.get(path)
        return time.perf_counter() - began

    def memory_gib(self) -> tuple[float, float]:
        """The peak of all that is resident, files in the page cache among it, and what the process alone holds now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        peak, own = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 2**20 for name in ("VmHWM", "RssAnon"))  # type: ignore[index]
        return peak, own

    def stop(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait()


def _claim(claim: str, ours: float, limit: float, unit: str) -> dict[str, object]:
    ratio = limit / ours
    return {"claim": claim, "ours": round(ours, 3), "peer": limit, "unit": unit, "ratio": round(ratio, 3), "bar": 1.0,
            "met": ratio >= 1.0}  # fmt: skip


def measure(root: str, cache: str, rows: int) -> list[dict[str, object]]:
    """The claims, worst of several each; the first start, which reads the tables, is told on stderr."""
    marks = f"{cache}/marks.jsonl"
    Path(cache).mkdir(exist_ok=True)
    page = Page(root, cache, marks)
    print(f"first start, index made: {time.perf_counter() - page.began:.0f} s", file=sys.stderr, flush=True)
    page.stop()
    firsts = []
    for _ in range(3):
        page = Page(root, cache, marks)
        page.get("")
        wall = page.get("wall?most=120")
        for row in wall["rows"][:24]:
            if row["stored"]:
                page.get(f"thumb/{row['key']}")
        firsts.append(time.perf_counter() - page.began)
        if len(firsts) < 3:
            page.stop()
    assert wall["total"] == rows, wall["total"]
    filters = {path: page.seconds(f"wall?most=120&{path}") for path in FILTERS}
    words = {text: page.seconds(f"wall?most=120&words={text}") for text in WORDS}
    scroll = _scroll(page)
    keys = [row["key"] for row in page.get("wall?most=240&reason=kept&sort=shuffled")["rows"]]
    similar = [page.seconds(f"similar/{key}") for key in random.Random(0).sample(keys, 7)]
    filtered = page.seconds(f"similar/{keys[0]}?emotion=joy")
    near = page.seconds(f"near/{keys[0]}")
    peak, own = page.memory_gib()
    page.stop()
    for name, seconds in (*filters.items(), *words.items()):
        print(f"{seconds:.3f} s  {name}", file=sys.stderr)
    print(f"{statistics.median(similar):.3f} s  by picture, median of {len(similar)}", file=sys.stderr)
    print(f"{own:.2f} GiB of the process's own, {peak:.2f} GiB with mapped files", file=sys.stderr)
    of = f"{rows:,} rows"
    return [
        _claim(f"{of}: start to first wall with 24 thumbnails, worst of 3", max(firsts), WALL_S, "s"),
        _claim(f"{of}: a filter or order, worst of {len(filters)}", max(filters.values()), FILTER_S, "s"),
        _claim(f"{of}: by words, worst of {len(words)}", max(words.values()), WORDS_S, "s"),
        _claim(f"{of}: by picture, worst of {len(similar)}", max(similar), PICTURE_S, "s"),
        _claim(f"{of}: by picture within an emotion", filtered, PICTURE_S, "s"),
        _claim(f"{of}: near repeats of a picture", near, FILTER_S, "s"),
        _claim(f"{of}: the next 120 rows, worst of 2,000 pictures' scroll", scroll, FILTER_S, "s"),
        _claim(f"{of}: the server's memory, mapped files among it", peak, MEMORY_GIB, "GiB"),
    ]


def _scroll(page: Page) -> float:
    """The slowest of the pages of a wall by score, until 2,000 rows have come."""
    slowest, after, come = 0.0, "", 0
    while come < 2_000:
        began = time.perf_counter()
        body = page.get(f"wall?most=120&sort=best&after={after}")
        slowest = max(slowest, time.perf_counter() - began)
        come, after = come + len(body["rows"]), body["next"]
        if not after:
            break
    return slowest


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, default=8_000_000, help="a multiple of 2,000")
    asked.add_argument("--root", help="tables that an earlier run has left; they are generated where they are not")
    asked.add_argument("--cache", help="an index that an earlier run has left")
    options = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(options.root or f"{folder}/root")
        if not root.exists():
            write_tables(root, options.rows, vectors=True)
        claims = measure(str(root), options.cache or f"{folder}/cache", options.rows)
    for claim in claims:
        print(json.dumps(claim), flush=True)
    print(json.dumps(min(claims, key=lambda claim: float(str(claim["ratio"])) / float(str(claim["bar"])))))


if __name__ == "__main__":
    main()
