"""A part of merged, downloaded and judged pictures for the tests, and a server on loopback that describes them."""

import asyncio
import base64
import io
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from PIL import Image

from moodarchive.storage.store import Store
from moodarchive.tables.keys import image_key
from moodarchive.tables.parts import Origin, write_part
from moodarchive.tables.schemas import IMAGES, ITEMS, SAFETY, Table, as_batch, empty_row

GOOD: dict[str, Any] = {
    "summary": "A lone tree stands on a wide green hill under a cloudy sky.",
    "stimuli": [
        "The tree leans to one side and looks lonely.",
        "Grey clouds hang low and weigh on the scene.",
        "The bright grass below gives a little hope.",
    ],
    "assessment": "The lonely tree and the heavy clouds leave a quiet sadness.",
    "emotions": ["sadness", "optimism"],
}


@dataclass
class ReceivedRequest:
    """One request as the server saw it; ``phrase`` is the search phrase in it, ``size`` that of the picture."""

    body: dict[str, Any]
    phrase: str
    size: tuple[int, int]
    jpeg: bytes


Reply = str | tuple[str, str] | int | dict[str, Any] | tuple[int, dict[str, Any]]
"""The answer's text; with its finish reason; an HTTP status; a whole body; or a status with its body."""


@dataclass
class VisionServer:
    """A served model in a thread of its own: ``reply`` decides each answer."""

    reply: Callable[[ReceivedRequest], Reply] = lambda _: json.dumps(GOOD)
    delay_s: float = 0.0
    requests: list[ReceivedRequest] = field(default_factory=list)
    working: int = 0
    most_working: int = 0
    url: str = ""
    metrics: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    """Answers GET /metrics, for a server that publishes any."""

    async def handle(self, request: web.Request) -> web.Response:
        self.working += 1
        self.most_working = max(self.most_working, self.working)
        try:
            return await self._answer(await request.json())
        finally:
            self.working -= 1

    async def publish(self, request: web.Request) -> web.StreamResponse:
        return await self.metrics(request) if self.metrics else web.Response(status=404)

    async def _answer(self, body: dict[str, Any]) -> web.Response:
        picture, text = body["messages"][-1]["content"]
        jpeg = base64.b64decode(picture["image_url"]["url"].partition(",")[2])
        with Image.open(io.BytesIO(jpeg)) as image:
            size = image.size
        phrase = text["text"].rpartition("Search phrase: ")[2]
        self.requests.append(ReceivedRequest(body=body, phrase=phrase, size=size, jpeg=jpeg))
        reply = self.reply(self.requests[-1])
        await asyncio.sleep(self.delay_s)
        if isinstance(reply, int):
            return web.Response(status=reply, text="no")
        if isinstance(reply, dict):
            return web.json_response(reply)
        if isinstance(reply, tuple) and isinstance(reply[0], int):
            return web.json_response(reply[1], status=reply[0])
        content, reason = reply if isinstance(reply, tuple) else (reply, "stop")
        choice = {"message": {"content": content}, "finish_reason": reason}
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        return web.json_response({"model": "test-model", "choices": [choice], "usage": usage})

    def run(self, listening: threading.Event, stop: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
        async def serve() -> None:
            app = web.Application(client_max_size=1 << 26)
            app.router.add_post("/v1/chat/completions", self.handle)
            app.router.add_get("/metrics", self.publish)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            listening.set()
            await stop.wait()
            await runner.cleanup()

        loop.run_until_complete(serve())
        loop.close()


@contextmanager
def serving() -> Iterator[VisionServer]:
    """The server, listening until the block ends."""
    server, listening, stop, loop = VisionServer(), threading.Event(), asyncio.Event(), asyncio.new_event_loop()
    thread = threading.Thread(target=server.run, args=(listening, stop, loop))
    thread.start()
    assert listening.wait(10)
    yield server
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)


def jpeg(width: int = 120, height: int = 80, shade: int = 128) -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 90, 60)).save(held, "JPEG")
    return held.getvalue()


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One row of the part under test."""

    phrase: str
    bytes: bytes = field(default_factory=jpeg)
    image_status: str = "ok"
    verdict: str | None = "safe"

    @property
    def key(self) -> str:
        return image_key("test", self.phrase)


def write_inputs(root: Path, pictures: list[Picture], part: int = 0) -> tuple[Store, list[Picture]]:
    """Writes items/, images/ and safety/; returns the store and the pictures in the part's order."""
    store = Store(str(root))
    pictures = sorted(pictures, key=lambda picture: picture.key)
    other = {"emotion": "anger", "context": "urban_scenery", "phrase": "not this one", "rank": 5}
    items = [
        empty_row(
            ITEMS,
            key=picture.key,
            source="test",
            queries=[{"emotion": "joy", "context": "natural_scenery", "phrase": picture.phrase, "rank": 0}, other],
        )
        for picture in pictures
    ]
    images = [
        empty_row(
            IMAGES,
            key=picture.key,
            bytes=picture.bytes if picture.image_status == "ok" else None,
            status=picture.image_status,
            error=None if picture.image_status == "ok" else "http_404",
        )
        for picture in pictures
    ]
    safety = [
        empty_row(SAFETY, key=picture.key, verdict=picture.verdict, status="ok" if picture.verdict else "skipped")
        for picture in pictures
    ]
    tables: list[tuple[Table, list[dict[str, object]]]] = [(ITEMS, items), (IMAGES, images), (SAFETY, safety)]
    for table, rows in tables:
        batches = [as_batch(table, rows[at : at + 50]) for at in range(0, len(rows), 50)]
        write_part(store, table, part, batches, Origin(settings="test", inputs={}, started=0.0))
    return store, pictures
