"""A simulated GPU server in a process of its own: S slots and log-normal service times.

``python -m tests.annotate.simulated_gpu --slots 8 --median 0.4 --announce FILE --events FILE``. Its ceiling is known
exactly: ``slots / mean service time``. Every start and end of work is one line of the events file, so that a server
that is killed still tells what it had begun.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import math
import random
import time
from dataclasses import dataclass, field
from typing import Any, TextIO

from aiohttp import web

from pipelines.demo.serving import serve_until_orphaned, serving_arguments
from tests.annotate.described_part import GOOD

MODEL = "simulated"
SIGMA = 0.5
"""Spread of the logarithm of the service time; captions of one prompt differ about so much in length."""


@dataclass
class SimulatedGpu:
    """Serves first come, first served; service times come from a seed, in the order of the requests."""

    slots: int
    median_s: float
    events: TextIO
    drawn: random.Random = field(default_factory=lambda: random.Random(1))
    places: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.places = asyncio.Semaphore(self.slots)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/v1/chat/completions", self.chat)
        return app

    def tell(self, event: str, picture: str, service_s: float) -> None:
        line = {"event": event, "picture": picture, "at": time.time(), "service_s": service_s}
        self.events.write(json.dumps(line) + "\n")
        self.events.flush()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        url = body["messages"][-1]["content"][0]["image_url"]["url"]
        picture = hashlib.sha256(base64.b64decode(url.partition(",")[2])).hexdigest()
        service_s = self.median_s * math.exp(self.drawn.gauss(0.0, SIGMA))
        self.tell("came", picture, 0.0)
        async with self.places:
            began = time.monotonic()
            await asyncio.sleep(service_s)
            # what the work really took: the ceiling is that of the slots, not of this machine's clock
            self.tell("answered", picture, time.monotonic() - began)
        return reply(json.dumps(GOOD))


def reply(text: str) -> web.Response:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    usage: dict[str, Any] = {"prompt_tokens": 1500, "completion_tokens": 120}
    return web.json_response({"model": MODEL, "choices": [choice], "usage": usage})


def main() -> None:
    parser: argparse.ArgumentParser = serving_arguments("A simulated GPU server")
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--median", type=float, default=0.4, help="of the service time, in seconds")
    parser.add_argument("--events", required=True)
    arguments = parser.parse_args()
    with open(arguments.events, "a", encoding="utf-8") as events:
        gpu = SimulatedGpu(arguments.slots, arguments.median, events)
        serve_until_orphaned(gpu.app(), arguments)


if __name__ == "__main__":
    main()
