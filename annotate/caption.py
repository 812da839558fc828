"""The caption stage: every safe picture of a part is described by the served model, or fails with its reason."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, cast

import pyarrow as pa
from pydantic import Field

from annotate.asking import picture_watch
from annotate.clip_tokens import token_counter
from annotate.describe import Describer, Outcome, Row
from annotate.part_facts import PartFacts
from annotate.prompt import Prompt, load_prompt
from moodarchive.chat.client import ChatClient
from moodarchive.chat.server_phases import sum_since
from moodarchive.chat.servers import LiveServers
from moodarchive.chat.settings import ChatSettings
from moodarchive.running.loop_thread import LoopThread
from moodarchive.running.metrics import note
from moodarchive.running.ordered_map import run_in_order
from moodarchive.running.part_log import forget_logs
from moodarchive.running.stage import Readers, Resources, Stage, join_rows
from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.forgetting import forget_rows, parts_holding
from moodarchive.tables.keys import digest
from moodarchive.tables.schemas import CAPTIONS, IMAGES, ITEMS, REPEATS, SAFETY, as_batch, empty_row

LOGGER = logging.getLogger("moodarchive.caption")

_BATCH_ROWS = 64
_PARTS_AT_ONCE = 2
"""While one part ends, the next takes the places that it leaves."""
_HELPERS = 2
"""Threads that read parts and shrink pictures; each further one keeps freed memory of its own."""


class CaptionSettings(ChatSettings):
    """Which model describes the pictures, how it is asked, and where it is served."""

    model: Annotated[str, SettingScope.PER_ROW] = "llava-hf/llava-v1.6-mistral-7b-hf"
    """The name under which the servers know the model."""
    prompt: Annotated[str, SettingScope.PER_ROW] = "five_sentences_2"
    """A bundled prompt's name, or the path of a TOML file."""
    max_tokens: Annotated[int, SettingScope.PER_ROW, Field(ge=64)] = 512
    """Tokens that an answer may have; one that is cut off counts as failed."""
    temperature: Annotated[float, SettingScope.PER_ROW, Field(ge=0.0, le=2.0)] = 0.2
    """Of the sampling; a retry asks with another seed."""
    seed: Annotated[int, SettingScope.PER_ROW] = 0
    """The base of each row's sampling seed."""
    max_attempts: Annotated[int, SettingScope.PER_ROW, Field(ge=1, le=10)] = 3
    """Answers asked for before a row is kept as failed."""
    image_side: Annotated[int, SettingScope.PER_ROW, Field(ge=64)] = 672
    """Longest side that is sent, in pixels; LLaVA-NeXT looks at tiles of 336 up to 672."""
    workers: Annotated[int, SettingScope.EXECUTION, Field(ge=1)] = 1
    """Worker processes of the stage, on the whole cluster."""


def caption_stage(settings: CaptionSettings, live: LiveServers | None = None, *, after_repeats: bool = False) -> Stage:
    """The stage, which asks the ``live`` servers, else those of the settings. ConfigError for a bad prompt.

    ``after_repeats``: it reads repeats/ too, and describes none of them.

    The prompt is read here and travels with the worker, so that a file that changes, or differs on another machine,
    cannot give rows of another prompt under the same digest.
    """
    prompt = load_prompt(settings.prompt)
    return Stage(
        name="caption",
        reads=(ITEMS, IMAGES, SAFETY, REPEATS) if after_repeats else (ITEMS, IMAGES, SAFETY),
        writes=CAPTIONS,
        make_worker=partial(CaptionWorker, settings, prompt, live),
        resources=Resources(
            cpus=0, min_workers=settings.workers, max_workers=settings.workers, parts_at_once=_PARTS_AT_ONCE
        ),
        settings=digest({**settings.of_kind(SettingScope.PER_ROW), "prompt": prompt.hash}),
        keeps_rows=True,
    )


def describer(settings: CaptionSettings, prompt: Prompt) -> Describer:
    """Asks as the settings say, with this prompt in place of theirs."""
    return Describer(
        model=settings.model,
        prompt=prompt,
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        seed=settings.seed,
        max_attempts=settings.max_attempts,
        image_side=settings.image_side,
        count_tokens=token_counter(),
    )


class CaptionWorker:
    """Describes the pictures of parts; holds no more pictures than requests, and one batch read, for each part in work.

    Two parts may be in work at a time (two threads call): they share one client, in which the older part goes first, so
    that the servers stay full while a part ends.
    """

    def __init__(self, settings: CaptionSettings, prompt: Prompt, live: LiveServers | None = None) -> None:
        self._settings = settings
        self._live = live
        self._loop = LoopThread(helpers=_HELPERS)
        self._client: ChatClient | None = None
        self._turn = 0
        self._watch = picture_watch()
        self._describer = describer(settings, prompt)

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        """Batches of the captions table in key order.

        ServiceError when the servers stop answering, or turn down every picture that the part asked about, and a plain
        one too: the last batch is not given then, so that nothing of the part is recorded.
        """
        facts = PartFacts()
        batches = self._batches(readers, facts)
        try:
            while (batch := self._loop.run(_next(batches))) is not None:
                yield batch
            figures = facts.figures()
            LOGGER.info("part %05d: %s", part, json.dumps(figures))
            note(figures)
        finally:
            self._loop.run(batches.aclose())

    async def _batches(self, readers: Readers, facts: PartFacts) -> AsyncGenerator[pa.RecordBatch, None]:
        client = await self._shared_client()
        self._turn += 1
        describe = partial(self._describer.describe, client, self._watch, turn=self._turn, timing=facts.timing)
        slots = self._settings.in_flight * (self._live.count if self._live else len(self._settings.servers))
        window = slots + slots // 4 + 1  # a few more than the servers take, so that the next picture is ready
        waiting: list[Row] = []
        before = await client.read_phases()
        async with aclosing(run_in_order(self._jobs(describe, readers), window)) as outcomes:
            async for outcome in outcomes:
                facts.count(outcome)
                waiting.append(outcome.row)
                if len(waiting) == _BATCH_ROWS:
                    yield as_batch(CAPTIONS, waiting)
                    waiting = []
        facts.phases = sum_since(await client.read_phases(), before)
        if facts.rejected is not None and not facts.answered:
            await self._watch.require_service(client, facts.rejected.request, facts.rejected.rejection)
        if waiting:
            yield as_batch(CAPTIONS, waiting)

    async def _shared_client(self) -> ChatClient:
        if self._client is None:
            self._client = self._settings.client(self._live)
            self._loop.at_end(self._client.__aexit__(None, None, None))
            await self._client.__aenter__()
        return self._client

    async def _jobs(
        self, describe: Callable[[dict[str, Any], bytes], Coroutine[Any, Any, Outcome]], readers: Readers
    ) -> AsyncIterator[Coroutine[Any, Any, Outcome]]:
        names = [table.name for table in (ITEMS, IMAGES, SAFETY, REPEATS, CAPTIONS) if table.name in readers]
        batches = join_rows(readers, *names)
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            for rows in zip(*batch, strict=True):
                row = dict(zip(names, rows, strict=True))
                item, image, safety = row[ITEMS.name], row[IMAGES.name], row[SAFETY.name]
                earlier = row.get(CAPTIONS.name)
                if earlier and (earlier["status"] != "failed" or image["bytes"] is None):
                    yield _keep(earlier)
                elif image["status"] == "ok" and safety["verdict"] in ("safe", "doubtful") and not _is_repeat(row):
                    yield describe(item, cast("bytes", image["bytes"]))
                else:
                    yield _skip(item["key"])


def _is_repeat(row: Mapping[str, dict[str, object]]) -> bool:
    return REPEATS.name in row and bool(row[REPEATS.name]["reason"])


async def _keep(row: Row) -> Outcome:
    return Outcome(row=row, is_kept=True)


async def _skip(key: object) -> Outcome:
    return Outcome(row=empty_row(CAPTIONS, key=key, status="skipped"))


async def _next(batches: AsyncGenerator[pa.RecordBatch, None]) -> pa.RecordBatch | None:
    return await anext(batches, None)


def forget(store: Store, keys: frozenset[str]) -> dict[str, str]:
    """Erases the captions of the keys and the logs of their parts.

    Returns the sha256 of each part written anew, by ``table/NNNNN``; repeated after a kill, it ends the same.
    """
    forget_logs(store, "caption", parts_holding(store, ITEMS, keys))
    return forget_rows(store, CAPTIONS, keys, ("summary", "stimuli", "assessment", "emotions", "nudity", "gore"))
