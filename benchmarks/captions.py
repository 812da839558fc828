"""How full the caption stage keeps its servers: against simulated GPU servers, and against vLLM where there is one."""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from annotate.answer import answer_schema
from annotate.caption import CaptionSettings, caption_stage
from annotate.prompt import load_prompt
from moodarchive.chat import ChatClient, ChatRequest, Message
from moodarchive.parts import read_part
from moodarchive.schemas import IMAGES
from moodarchive.stage import run_part
from moodarchive.store import Store
from pipelines.demo.serving import started
from tests.annotate.simulated_run import caption_parts, events_of, fullness, write_parts
from tests.annotate.vllm_server import MODEL, serving_tiny_llava, vllm_python

PARTS, ROWS, SLOTS = 5, 120, 8
PAIRS, PAIR_ROWS, IN_FLIGHT = 3, 64, 16
_FIXED = {"model": MODEL, "max_tokens": 1024, "temperature": 0.0, "seed": 0}


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
    with started("tests.annotate.simulated_gpu", arguments) as url:
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


def served(folder: Path) -> list[dict[str, Any]]:
    """The stage and a closed loop of equal requests, in turns, on disjoint equal sets, straight at vLLM on CPU."""
    store = write_parts(folder / "served", 2 * PAIRS + 1, PAIR_ROWS)
    stage_s = loop_s = 0.0
    with serving_tiny_llava(folder) as url:
        settings = CaptionSettings(servers=(url,), in_flight=IN_FLIGHT, max_attempts=1, **_FIXED)
        stage = caption_stage(settings)
        worker = stage.make_worker()
        run_part(stage, store, worker, 2 * PAIRS)  # warms the grammar and both programs
        for pair in range(PAIRS):
            began = time.monotonic()
            run_part(stage, store, worker, 2 * pair)
            stage_s += time.monotonic() - began
            loop_s += asyncio.run(_closed_loop(url, store, 2 * pair + 1))
    images = PAIRS * PAIR_ROWS
    ours, peer = images / stage_s, images / loop_s
    return [
        claim(
            "against a closed loop at vLLM on CPU, answers of unequal length",
            ours=ours,
            peer=peer,
            unit="images/s",
            ratio=ours / peer,
            bar=0.9,
        )
    ]


async def _closed_loop(url: str, store: Store, part: int) -> float:
    """Seconds for the part's pictures, so many requests at a time and nothing else."""
    prompt = load_prompt("five_sentences")
    asks = prompt.asks("joy", "natural_scenery", "a lone tree")
    pictures = [row["bytes"] for batch in read_part(store, IMAGES, part) for row in batch.to_pylist()]
    began = time.monotonic()
    async with ChatClient(servers=(url,), in_flight=IN_FLIGHT) as client:

        async def ask(jpeg: bytes) -> None:
            messages = (Message(role="system", text=prompt.system), Message(role="user", text=asks, jpeg=jpeg))
            await client.ask(ChatRequest(messages=messages, schema=answer_schema(), **_FIXED))

        await asyncio.gather(*(ask(jpeg) for jpeg in pictures))
    return time.monotonic() - began


def main() -> None:
    """All claims, then the tightest again."""
    with tempfile.TemporaryDirectory() as folder:
        lines = simulated(Path(folder))
        if vllm_python():
            lines += served(Path(folder))
    print(json.dumps(min(lines, key=lambda line: line["ratio"] / line["bar"])))


if __name__ == "__main__":
    main()
