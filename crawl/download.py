"""Dealt rows become pictures: many fetched at once, decoded aside, written in key order."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field, ValidationInfo, field_validator
from yarl import URL

from crawl.catalogues.catalogue import Catalogue
from crawl.catalogues.stored_pictures import StoredPictures, read_stored_pictures
from crawl.http.addresses import explain_unused_proxy
from crawl.http.bulk import Bulk, fetch_in_bulk
from crawl.http.images import Fetcher, FetchLimits
from crawl.images.decode import PictureLimits, to_picture
from crawl.images.local_folder import read_from_folder
from crawl.images.malloc import keep_freed_memory
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import parse_limit
from crawl.politeness.robots import RobotsMemory
from moodarchive.archive.pruned import keep_pruned
from moodarchive.archive.takedown import bound_by
from moodarchive.errors import RowError, ServiceError
from moodarchive.running.loop_thread import LoopThread
from moodarchive.running.ordered_map import run_in_order
from moodarchive.running.part_log import LOGGER, forget_logs
from moodarchive.running.stage import Readers, Resources, Stage
from moodarchive.settings import Settings, SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.forgetting import forget_rows, parts_holding
from moodarchive.tables.layout import TAKEN_DOWN
from moodarchive.tables.parts import finished_parts, part_path
from moodarchive.tables.schemas import IMAGES, ITEMS, as_batch, empty_row

BATCH_ROWS = 50
Address = tuple[str, str, str | None]
"""(key, source, address) of a row; no address when the row was taken down."""
UNREACHABLE = ("unreachable", "unknown_host", "robots_unreachable")
FEWEST_TO_JUDGE, OUTAGE_SHARE = 10, 0.9
"""A part mixes many hosts: when more than this share of at least so many rows fails so, it is not the hosts."""


class DownloadSettings(Settings):
    """What is accepted and kept of a picture, and how hard the sites are asked."""

    longest_side: Annotated[int, Field(ge=64, le=4096), SettingScope.PER_ROW] = 768
    """Pixels; a larger picture is shrunk to it."""
    shortest_side: Annotated[int, Field(ge=1, le=4096, validate_default=True), SettingScope.PER_ROW] = 96
    """Pixels; a picture with a shorter side is refused, as it came or as it would be kept."""
    jpeg_quality: Annotated[int, Field(ge=50, le=95), SettingScope.PER_ROW] = 92
    """Of pictures that have to be encoded anew, 50 to 95."""
    max_bytes: Annotated[int, Field(ge=1_000), SettingScope.PER_ROW] = 50_000_000
    """A longer body is refused while it arrives."""
    max_pixels: Annotated[int, Field(ge=10_000), SettingScope.PER_ROW] = 120_000_000
    """A picture that says it has more is refused before it is decoded."""
    deadline_s: Annotated[float, Field(gt=0), SettingScope.EXECUTION] = 60.0
    """Seconds that one picture may take on the wire, all attempts together."""
    in_flight: Annotated[int, Field(ge=1, le=1000), SettingScope.EXECUTION] = 32
    """Requests of each worker at a time."""
    decoders: Annotated[int, Field(ge=1, le=256), SettingScope.EXECUTION] = 2
    """Threads of each worker that decode and encode, beside the one that fetches."""
    engine: Annotated[Literal["aiohttp", "img2dataset"], SettingScope.EXECUTION] = "aiohttp"
    """What fetches: our own client, or img2dataset for hosts that accept it (docs/crawling.md)."""
    img2dataset_hosts: Annotated[tuple[str, ...], Field(validate_default=True), SettingScope.EXECUTION] = ()
    """Hosts whose operators accept img2dataset's manners; all others are fetched by aiohttp."""
    workers: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 1
    """Worker processes of the stage, on the whole cluster."""
    cpus_per_worker: Annotated[float, Field(gt=0), SettingScope.EXECUTION] = 0.5
    """Share of a CPU that Ray sets aside for each worker."""
    host_limit: Annotated[str, SettingScope.EXECUTION] = "20/s"
    """How often one host is asked by all workers together."""
    host_limits: Annotated[dict[str, str], SettingScope.EXECUTION] = Field(default_factory=dict)
    """Host → how often it is asked, where its operator consents to another pace; beside what presets say."""

    @field_validator("shortest_side")
    @classmethod
    def _fits(cls, side: int, info: ValidationInfo) -> int:
        if side > info.data.get("longest_side", side):
            raise ValueError(
                f"no picture has a shortest side of {side} when its longest is {info.data['longest_side']}"
            )
        return side

    @field_validator("img2dataset_hosts")
    @classmethod
    def _accepted(cls, hosts: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("engine") == "img2dataset" and not hosts:
            raise ValueError(
                "engine = 'img2dataset' keeps no pace, follows redirects to anywhere and reads bodies of any length: "
                "name the hosts whose operators accept that, or set engine = 'aiohttp'"
            )
        return hosts

    @field_validator("host_limits")
    @classmethod
    def _legal_limits(cls, limits: dict[str, str]) -> dict[str, str]:
        for text in limits.values():
            parse_limit(text)
        return {host.lower().rstrip("."): text for host, text in limits.items()}

    @field_validator("host_limit")
    @classmethod
    def _legal_limit(cls, text: str) -> str:
        parse_limit(text)
        return text


@dataclass
class Downloader:
    """Fetches a part's pictures; at most ``in_flight`` at a time, and twice as many finished ones held in memory."""

    settings: DownloadSettings
    user_agent: str
    loopback_hosts: Mapping[str, str]
    rate_limits: RateLimitClient | None = None
    folder: str = ""
    store: Store | None = None
    catalogues: Mapping[str, Catalogue] = field(default_factory=dict)
    _robots: RobotsMemory = field(default_factory=RobotsMemory, repr=False)
    _decoders: ThreadPoolExecutor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        keep_freed_memory()
        self._decoders = ThreadPoolExecutor(self.settings.decoders)

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        """Batches in key order. ServiceError when nearly no host could be reached: then our own network is down."""
        rows = unreachable = 0
        addresses = list(_addresses(readers))
        with (
            LoopThread() as loop,
            read_stored_pictures(self.catalogues, addresses, self.settings.max_bytes) as stored,
        ):
            pictures = self._pictures(addresses, stored)
            try:
                while batch := loop.run(_take(pictures, BATCH_ROWS)):
                    rows += len(batch)
                    unreachable += sum(row["error"] in UNREACHABLE for row in batch)
                    yield as_batch(IMAGES, batch)
            finally:
                loop.run(pictures.aclose())
        if rows >= FEWEST_TO_JUDGE and unreachable > OUTAGE_SHARE * rows:
            raise ServiceError(
                f"{unreachable} of {rows} hosts could not be reached: this machine seems cut off; nothing is recorded; "
                f"remedy: mend the network and run again{explain_unused_proxy()}"
            )

    async def _pictures(
        self, addresses: Sequence[Address], stored: StoredPictures
    ) -> AsyncGenerator[dict[str, object], None]:
        settings = self.settings
        limits = FetchLimits(max_bytes=settings.max_bytes, deadline_s=settings.deadline_s)
        async with Fetcher(
            limits,
            self.user_agent,
            self.loopback_hosts,
            settings.in_flight,
            self.rate_limits,
            self._robots,
        ) as fetcher:
            accepted = {key: url for key, _, url in addresses if url and self._is_accepted(url)}
            async with fetch_in_bulk(accepted, fetcher, settings.in_flight) as bulk:
                jobs = self._jobs(fetcher, bulk, stored, addresses)
                async with aclosing(run_in_order(jobs, settings.in_flight, finished_ahead=2)) as rows:
                    async for row in rows:
                        yield row

    def _is_accepted(self, url: str) -> bool:
        """True for an address that img2dataset may fetch."""
        if self.settings.engine != "img2dataset":
            return False
        try:
            return URL(url).host in self.settings.img2dataset_hosts
        except ValueError:
            return False

    async def _jobs(
        self, fetcher: Fetcher, bulk: Bulk, stored: StoredPictures, addresses: Sequence[Address]
    ) -> AsyncIterator[Coroutine[Any, Any, dict[str, object]]]:
        for key, _, url in addresses:
            yield self._row(fetcher, bulk, stored, key, url)

    @cached_property
    def _taken_down(self) -> frozenset[str]:
        """Content hashes that may not come back; read here and not carried, since every restart would carry them."""
        return bound_by(self.store).hashes if self.store else frozenset()

    async def _row(
        self, fetcher: Fetcher, bulk: Bulk, stored: StoredPictures, key: str, url: str | None
    ) -> dict[str, object]:
        if url is None:
            return empty_row(IMAGES, key=key, status=TAKEN_DOWN)
        try:
            most = self.settings.max_bytes
            served = read_from_folder(self.folder, url, most) or stored.read(key) or bulk.read(key, most)
            if served is None:
                served = await fetcher.fetch(url)
            picture = await asyncio.get_running_loop().run_in_executor(
                self._decoders, to_picture, served, self._picture_limits
            )
        except RowError as error:
            LOGGER.getChild("download").info("%s failed: %s: %s", key, error.kind, error)
            return empty_row(IMAGES, key=key, status="failed", error=error.kind)
        if picture.sha256 in self._taken_down:
            return empty_row(IMAGES, key=key, status=TAKEN_DOWN)
        return {"key": key, **vars(picture), "status": "ok", "error": None}

    @cached_property
    def _picture_limits(self) -> PictureLimits:
        return PictureLimits(
            max_pixels=self.settings.max_pixels,
            shortest_side=self.settings.shortest_side,
            longest_side=self.settings.longest_side,
            jpeg_quality=self.settings.jpeg_quality,
        )


def _addresses(readers: Readers) -> Iterator[Address]:
    for batch in readers[ITEMS.name]():
        for row in batch.select(["key", "source", "url"]).to_pylist():
            yield row["key"], row["source"], row["url"]


async def _take(rows: AsyncIterator[dict[str, object]], most: int) -> list[dict[str, object]]:
    taken = []
    async for row in rows:
        taken.append(row)
        if len(taken) == most:
            break
    return taken


def download_stage(
    settings: DownloadSettings,
    user_agent: str,
    loopback_hosts: Mapping[str, str],
    rate_limits: RateLimitClient | None = None,
    folder: str = "",
    *,
    store: Store | None = None,
    catalogues: Mapping[str, Catalogue] | None = None,
) -> Stage:
    """The stage that fills images/.

    ``folder`` holds the pictures whose address is ``folder:…``, ``catalogues`` by their names those whose address is a
    row's; ``store`` the takedowns that bind what is downloaded.
    """
    return Stage(
        name="download",
        reads=(ITEMS,),
        writes=IMAGES,
        make_worker=partial(
            Downloader, settings, user_agent, dict(loopback_hosts), rate_limits, folder, store, catalogues or {}
        ),
        resources=Resources(cpus=settings.cpus_per_worker, min_workers=settings.workers, max_workers=settings.workers),
        settings=settings.digest(),
    )


def forget(store: Store, keys: frozenset[str]) -> dict[str, str]:
    """Erases the pictures of the keys and the logs of their parts. Returns as ``crawl.rounds.search``'s.

    Content hash and perceptual hash stay: by them the cut keeps copies and look-alikes out. A part that was pruned
    stays so.
    """
    forget_logs(store, "download", parts_holding(store, ITEMS, keys))
    digests = forget_rows(store, IMAGES, keys, ("bytes", "stored_sha256"), failed_too=True)
    for part, sidecar in finished_parts(store, IMAGES).items():
        if f"{IMAGES.name}/{part:05d}" in digests:
            keep_pruned(store, part_path(IMAGES, part), sidecar)
    return digests
