"""A proxy on loopback that stands between the caption stage and its server, injects faults, and counts what passes.

``python -m tests.annotate.fault_proxy --upstream URL --faults 0.2 --events FILE --announce FILE``. Each fault and each
answer that reached the stage is one line of the events file; ``GET /in_flight`` tells how many requests are under way.
"""

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any, TextIO

import aiohttp
from aiohttp import web

from pipelines.demo.serving import serve_until_orphaned, serving_arguments

STALL_S = 3.0
FAULTS = ("500", "429", "dropped", "stalled", "truncated", "broken_schema", "no_choices")


@dataclass
class FaultProxy:
    """Faults come from a seed, in the order of the requests."""

    upstream: str
    rate: float
    events: TextIO
    drawn: random.Random = field(default_factory=lambda: random.Random(1))
    in_flight: int = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_get("/in_flight", self.tell_in_flight)
        app.cleanup_ctx.append(self.session_kept)
        return app

    async def session_kept(self, app: web.Application) -> Any:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self.session:
            yield

    def tell(self, event: str) -> None:
        self.events.write(json.dumps({"event": event, "at": time.time()}) + "\n")
        self.events.flush()

    async def tell_in_flight(self, request: web.Request) -> web.Response:
        return web.Response(text=str(self.in_flight))

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        try:
            reply = await self._answered(request, await request.read())
            await reply.prepare(request)
            await reply.write_eof()
            return reply
        finally:
            self.in_flight -= 1

    async def _answered(self, request: web.Request, body: bytes) -> web.StreamResponse:
        fault = self.drawn.choice(FAULTS) if self.drawn.random() < self.rate else ""
        self.tell(fault or "passed")
        if fault in ("500", "429"):
            return web.Response(status=int(fault), headers={"Retry-After": "0.05"} if fault == "429" else {})
        if fault == "stalled":
            await asyncio.sleep(STALL_S)
        if fault == "dropped":
            return hung_up(request)
        try:
            url = f"{self.upstream}/v1/chat/completions"
            async with self.session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
                content, status = await answer.read(), answer.status
        except aiohttp.ClientError:
            return hung_up(request)
        if fault in ("truncated", "broken_schema", "no_choices"):
            content = spoilt(json.loads(content), fault)
        return web.Response(body=content, status=status, content_type="application/json")


def hung_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def spoilt(body: dict[str, Any], fault: str) -> bytes:
    """The answer with what the fault makes of it."""
    if fault == "no_choices":
        return json.dumps({**body, "choices": []}).encode()
    message = body["choices"][0]["message"]
    if fault == "truncated":
        message["content"] = message["content"][:60]
    else:
        message["content"] = json.dumps({**json.loads(message["content"]), "stimuli": ["Only one is told here."]})
    return json.dumps(body).encode()


def main() -> None:
    parser = serving_arguments("A proxy that injects faults")
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--faults", type=float, default=0.0, help="share of the requests that go wrong")
    parser.add_argument("--events", required=True)
    arguments = parser.parse_args()
    with open(arguments.events, "a", encoding="utf-8") as events:
        serve_until_orphaned(FaultProxy(arguments.upstream, arguments.faults, events).app(), arguments)


if __name__ == "__main__":
    main()
