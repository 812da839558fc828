"""How full the caption stage keeps its servers: against simulated GPU servers, and against vLLM where there is one.

Without arguments vLLM serves a tiny model on CPU (MOODARCHIVE_VLLM_PYTHON). On a machine with a GPU, start a server and
name it: ``python benchmarks/captions.py --server http://127.0.0.1:8000 --model llava-hf/llava-v1.6-mistral-7b-hf``.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from annotate.answer import answer_schema
from annotate.caption import CaptionSettings, caption_stage
from annotate.prompt import load_prompt
from moodarchive.chat.client import ChatClient, ChatRequest, Message
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.parts import read_part
from moodarchive.tables.schemas import CAPTIONS, IMAGES, ITEMS
from pipelines.demo.serving import run_server
from tests.annotate.simulated_run import caption_parts, events_of, fullness, write_parts
from tests.annotate.vllm_server import IN_FLIGHT, MODEL, serving_tiny_llava, vllm_python

PARTS, ROWS, SLOTS = 5, 120, 8
PAIRS, PAIR_ROWS = 5, 192
BAR_SHARED, BAR_GPU = 0.9, 0.95
"""Beside vLLM on CPU the stage takes from the server's own two cores; a GPU server has its own."""
OUTPUT_TOKENS = 96
"""Fewer than any answer needs, so that each is cut there and all are equally long; the stage counts them as cut off."""


def claim(says: str, *, ours: float, peer: float, unit: str, ratio: float, bar: float) -> dict[str, Any]:
    """One JSON line of the house's convention."""
    rounded = {"ours": round(ours, 3), "peer": round(peer, 3), "unit": unit, "ratio": round(ratio, 3), "bar": bar}
    line = {"claim": says, **rounded, "met": ratio >= bar}
    print(json.dumps(line), flush=True)
    return line


def simulated(folder: Path) -> list[dict[str, Any]]:
    """Images a second against the exact ceiling, and the longest time a slot stood idle between parts."""
    store, events = write_parts(folder / "simulated", PARTS, ROWS), folder / "events"
    arguments = ["--slots", str(SLOTS), "--median", "0.4", "--events", str(events)]
    with run_server("tests.annotate.simulated_gpu", arguments) as url:
        caption_parts(store, PARTS, [url], in_flight=SLOTS + 2)
    found = fullness(events_of(events), SLOTS)
    rate, ceiling = found.per_second, found.per_second / found.ratio
    gap, limit = found.longest_gap_s, 0.25
    return [
        claim(
            "simulated GPU, 5 parts",
            ours=rate,
            peer=ceiling,
            unit="images/s",
            ratio=found.ratio,
            bar=0.95,
        ),
        claim("no gap between parts", ours=gap, peer=limit, unit="s idle", ratio=limit / max(gap, 1e-3), bar=1.0),
    ]


def served(folder: Path, url: str, model: str, in_flight: int, bar: float) -> list[dict[str, Any]]:
    """The stage and a closed loop in turns, on disjoint equal sets, with equal questions and answers equally long."""
    store = write_parts(folder / "served", 2 * PAIRS + 2, PAIR_ROWS)
    settings = CaptionSettings(
        servers=(url,), model=model, in_flight=in_flight, max_attempts=1, max_tokens=OUTPUT_TOKENS, temperature=0.0
    )
    stage = caption_stage(settings)
    worker = stage.make_worker()

    def staged(part: int) -> float:
        began = time.monotonic()
        run_part(stage, store, worker, part)
        spent = time.monotonic() - began
        rows = [row for batch in read_part(store, CAPTIONS, part) for row in batch.to_pylist()]
        assert {row["completion_tokens"] for row in rows} == {OUTPUT_TOKENS}, "the answers differ in length"
        return spent

    def looped(part: int) -> float:
        return asyncio.run(_closed_loop(settings, store, part))

    staged(2 * PAIRS)  # both warm the grammar, the prefix cache and their own program
    looped(2 * PAIRS + 1)
    ours, peer = [], []
    for pair in range(PAIRS):
        first, second = ((staged, ours), (looped, peer)) if pair % 2 else ((looped, peer), (staged, ours))
        for at, (measured, seconds) in enumerate((first, second)):
            seconds.append(measured(2 * pair + at))
    rates = [PAIR_ROWS / statistics.median(seconds) for seconds in (ours, peer)]
    says = f"{PAIRS} x {PAIR_ROWS} images each of {OUTPUT_TOKENS} tokens, against a closed loop at {model}"
    return [claim(says, ours=rates[0], peer=rates[1], unit="images/s", ratio=rates[0] / rates[1], bar=bar)]


async def _closed_loop(settings: CaptionSettings, store: Store, part: int) -> float:
    """Seconds for the part's pictures, so many requests at a time and nothing else."""
    prompt = load_prompt(settings.prompt)
    phrases = [row["queries"][0]["phrase"] for batch in read_part(store, ITEMS, part) for row in batch.to_pylist()]
    pictures = [row["bytes"] for batch in read_part(store, IMAGES, part) for row in batch.to_pylist()]
    fixed = {"model": settings.model, "max_tokens": OUTPUT_TOKENS, "temperature": 0.0, "seed": 0}
    began = time.monotonic()
    async with ChatClient(servers=settings.servers, in_flight=settings.in_flight) as client:

        async def ask(phrase: str, jpeg: bytes) -> None:
            asked = prompt.fill("joy", "natural_scenery", phrase)
            messages = (Message(role="system", text=asked.system), Message(role="user", text=asked.user, jpeg=jpeg))
            answer = await client.ask(ChatRequest(messages=messages, schema=answer_schema(), **fixed))
            assert answer.completion_tokens == OUTPUT_TOKENS

        await asyncio.gather(*map(ask, phrases, pictures))
    return time.monotonic() - began


def main() -> None:
    """All claims, then the tightest again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="", help="a server that runs, on a GPU for example")
    parser.add_argument("--model", default="llava-hf/llava-v1.6-mistral-7b-hf", help="its model")
    parser.add_argument("--in-flight", type=int, default=48)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = simulated(Path(folder))
        if options.server:
            lines += served(Path(folder), options.server, options.model, options.in_flight, BAR_GPU)
        elif vllm_python():
            with serving_tiny_llava(Path(folder)) as url:
                lines += served(Path(folder), url, MODEL, IN_FLIGHT, BAR_SHARED)
    if not options.server:
        print("no --server: the rate on a GPU is missing here, and no figure above is one", file=sys.stderr)
    print(json.dumps(min(lines, key=lambda line: line["ratio"] / line["bar"])))


if __name__ == "__main__":
    main()
