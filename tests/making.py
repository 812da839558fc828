"""Makes what tests need: pictures, small real tables, and real servers on loopback."""

import asyncio
import hashlib
import io
import json
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from aiohttp import web
from multidict import CIMultiDict
from PIL import Image

from crawl.rounds.rounds import Round, write_round
from crawl.source import Query
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.keys import image_key
from moodarchive.tables.parts import Origin, Sidecar, finished_parts, read_part, write_part
from moodarchive.tables.schemas import (
    CANDIDATES,
    CAPTIONS,
    DESCRIPTORS,
    IMAGES,
    ITEMS,
    REDISCOVERED,
    SAFETY,
    SCHEMA_VERSION,
    SCORES,
    SELECTION,
    Table,
    as_batch,
    empty_row,
)
from shards.pack import ShardSettings, pack_stage
from shards.seal import seal

Row = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ORIGIN = Origin(settings="test", inputs={}, started=0.0)
HOST = "stock.test"
PLAIN = ShardSettings()
IMAGE_TABLES = (ITEMS, IMAGES, SAFETY, CAPTIONS, SCORES, SELECTION)


def textured(width: int = 160, height: int = 120, seed: int = 0) -> Image.Image:
    """A smooth picture with much structure, different for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    held = io.BytesIO()
    image.save(held, kind, **options)
    return held.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def write_rows(store: Store, table: Table, part: int, rows: Iterable[Row], origin: Origin = ORIGIN) -> Sidecar:
    full = [empty_row(table, **row) for row in rows]
    return write_part(store, table, part, [as_batch(table, full)], origin)


def rows_of(store: Store, table: Table, part: int) -> list[Row]:
    return [row for batch in read_part(store, table, part) for row in batch.to_pylist()]


def write_earlier_rows(store: Store, table: Table, part: int) -> Sidecar:
    """Writes the part's rows anew without the columns that came later, as an earlier release did."""
    fields = [field for field in table.schema if field.name not in table.later]
    earlier = replace(table, schema=pa.schema(fields), later=())
    rows = [{field.name: row[field.name] for field in fields} for row in rows_of(store, table, part)]
    known = finished_parts(store, table)[part]
    return write_rows(store, earlier, part, rows, replace(ORIGIN, settings=known.settings, inputs=known.inputs))


def item_row(number: int, source: str = "openverse") -> Row:
    """A row of items with provenance; its key depends on the number and source alone."""
    name = f"p{number}"
    query = {"emotion": "joy", "context": "natural_scenery", "phrase": "sunlit meadow", "rank": number}
    return empty_row(
        ITEMS,
        key=image_key(source, name),
        url=f"http://{HOST}/{name}.jpg",
        source=source,
        source_id=name,
        landing_url=f"http://{HOST}/pages/{name}",
        title=f"Title {number}",
        alt_text=f"meadow {number} “in sun”",
        creator=f"Creator {number}",
        creator_url=f"http://{HOST}/people/{number}",
        licence="by 2.0",
        licence_url="https://creativecommons.org/licenses/by/2.0/",
        width=1600,
        height=1200,
        mature=False,
        queries=[query],
        retrieved_on="2026-01-01",
        round=0,
    )


def sentences(number: int) -> Row:
    return {
        "summary": f"Picture {number} shows a wide meadow.",
        "stimuli": ["The sun is warm.", "The grass is bright.", "Two children run."],
        "assessment": "It spreads plain joy.",
    }


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of one image; the default is a kept training picture."""

    number: int
    source: str = "openverse"
    downloaded: bool = True
    reason: str | None = None
    split: str = "train"
    licence: str | None = "by 2.0"

    def rows(self) -> dict[str, Row]:
        """Table name → the image's row."""
        address = f"https://creativecommons.org/licenses/{self.licence.replace(' ', '/')}/" if self.licence else None
        items = {**item_row(self.number, self.source), "licence": self.licence, "licence_url": address}
        key, query = items["key"], items["queries"][0]
        cell = {"emotion": query["emotion"], "context": query["context"]}
        kept = {"key": key, **cell, "round": 0, "kept": False}
        if not self.downloaded:
            rest = {table.name: {"key": key, "status": "skipped"} for table in (SAFETY, CAPTIONS, SCORES)}
            failed = {"key": key, "status": "failed", "error": "http_404"}
            return {"items": items, "images": failed, **rest, "selection": {**kept, "reason": "failed_download"}}
        picture = textured(96, 72, self.number)
        jpeg = encoded(picture)
        return {
            "items": items,
            "images": {
                "key": key, "bytes": jpeg, "sha256": hashlib.sha256(jpeg).hexdigest(),
                "stored_sha256": hashlib.sha256(jpeg).hexdigest(), "phash": 2**63 + self.number,
                "width": 96, "height": 72, "original_width": 96, "original_height": 72, "original_bytes": len(jpeg),
                "original_type": "JPEG", "status": "ok",
            },
            "safety": {"key": key, "nsfw": 0.01, "verdict": "safe", "status": "ok"},
            "captions": {
                "key": key, **sentences(self.number), "emotions": ["joy"], "model": "m", "prompt_hash": "0", "seed": 1,
                "attempts": 1, "prompt_tokens": 9, "completion_tokens": 9, "status": "ok",
            },
            "scores": {"key": key, "score": 0.25, "phrase": "sunlit meadow", **cell, "status": "ok"},
            "selection": {**kept, "kept": self.reason is None, "reason": self.reason, "split": self.split},
        }  # fmt: skip


def fates(first: int, count: int) -> list[Fate]:
    """Some of every kind: mostly kept for training, some set aside, cut or never downloaded."""
    splits = {2: "validation", 4: "heldout"}
    return [
        Fate(
            number=number,
            downloaded=number % 9 != 7,
            reason="low_score" if number % 9 == 5 else None,
            split=splits.get(number % 6, "train"),
        )
        for number in range(first, first + count)
    ]


def write_fates(store: Store, part: int, chosen: Iterable[Fate]) -> None:
    """Writes the part in every table from items to selection, in key order."""
    rows = sorted((fate.rows() for fate in chosen), key=lambda row: str(row["items"]["key"]))
    for table in IMAGE_TABLES:
        write_rows(store, table, part, [row[table.name] for row in rows])


def pack_parts(store: Store, parts: Iterable[int], settings: ShardSettings = PLAIN) -> None:
    stage = pack_stage(settings)
    for part in parts:
        run_part(stage, store, stage.make_worker(), part)


def sealed_archive(store: Store, settings: ShardSettings = PLAIN, licence: str | None = "by 2.0") -> None:
    """A whole small archive of two parts in every table, with settings, a round, shards and its seal."""
    told = {"schema_version": SCHEMA_VERSION, "per_row": {"download": {"longest_side": 768}}}
    store.write_bytes("settings.json", json.dumps(told).encode())
    query = Query(source="openverse", emotion="joy", context="natural_scenery", phrase="sunlit meadow", results=99)
    record = Round(number=0, growth={}, queries=(query,), first_candidates_part=0, first_part=0, parts=2, merged=True)
    write_round(store, record)
    write_rows(store, DESCRIPTORS, 0, [{"emotion": "joy", "phrase": f"phrase {i}"} for i in range(3)])
    write_rows(store, CANDIDATES, 0, [{"key": item_row(i)["key"], "rank": i} for i in range(66)])
    write_rows(store, REDISCOVERED, 0, [{"key": item_row(i)["key"], "round": 0} for i in range(3)])
    for part, chosen in enumerate((fates(0, 36), fates(36, 30))):
        write_fates(store, part, [replace(fate, licence=licence) for fate in chosen])
    pack_parts(store, (0, 1), settings)
    assert seal(store)


@dataclass
class Site:
    """A running server: where it listens, and every request it saw."""

    address: str = ""
    requests: list[web.BaseRequest] = field(default_factory=list)
    working: int = 0
    most_working: int = 0

    @property
    def hosts(self) -> dict[str, str]:
        """What lets the code under test reach it by the name HOST."""
        return {HOST: self.address}

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]


@contextmanager
def serving(handlers: Mapping[str, Handler]) -> Iterator[Site]:
    """A real HTTP server in a thread of its own; path → who answers, everything else is 404."""
    site, listening, stop = Site(), threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        site.requests.append(request)
        site.working += 1
        site.most_working = max(site.most_working, site.working)
        try:
            handler = handlers.get(request.path)
            return await handler(request) if handler else web.Response(status=404)  # type: ignore[arg-type]
        finally:
            site.working -= 1

    async def serve() -> None:
        runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        tcp = web.TCPSite(runner, "127.0.0.1", 0)
        await tcp.start()
        loops.append(asyncio.get_running_loop())
        site.address = f"127.0.0.1:{runner.addresses[0][1]}"
        listening.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert listening.wait(10)
    try:
        yield site
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(10)


def giving(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Handler:
    """A handler that always gives the same answer."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=CIMultiDict(headers or {}))

    return answer
