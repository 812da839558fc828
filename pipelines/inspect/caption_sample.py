"""Asks the model about a sample of an archive's pictures with several prompts, and shows the answers side by side."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from annotate.caption import CaptionSettings, describer
from annotate.describe import Row
from annotate.prompt import Prompt, load_prompt
from moodarchive.emotions.captions import caption_text
from moodarchive.errors import ConfigError
from moodarchive.storage.store import Store
from pipelines.inspect.report.facts import archive_name, manifest_digest
from pipelines.inspect.report.flow import trace
from pipelines.inspect.report.gallery import SHOWABLE, withhold_private
from pipelines.inspect.report.recorded_settings import recorded_settings
from pipelines.inspect.report.rendering import render_page
from pipelines.inspect.report.tables import open_tables
from pipelines.inspect.report.thumbnails import Thumbnail, pictures, small
from pipelines.runner.settings_record import require_recorded_settings

PAGE_PATH = "report/caption-sample/index.html"
MOST_PROMPTS = 4
_STYLES = ("style.css", "gallery.css", "caption_sample.css")
# A seed is a fixed order of all keys; the first of them are the sample, whatever the root has gained since.
_PICK = f"""{SHOWABLE}
taken AS (SELECT key FROM showable ORDER BY md5(? || key), key LIMIT ?)
SELECT key, true AS kept, row_number() OVER (ORDER BY key) AS place FROM taken
"""
_ITEMS = "SELECT d.key, d.title, d.queries FROM items d JOIN picked USING (key) ORDER BY d.key"


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """What a person chooses; empty ``model`` means the archive's own."""

    prompts: tuple[str, ...]
    servers: tuple[str, ...]
    model: str = ""
    images: int = 20
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture of the sample, and what it was searched for."""

    key: str
    title: str
    emotion: str
    context: str
    phrase: str
    thumbnail: Thumbnail | None
    captions: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What one prompt's answers come to."""

    prompt: Prompt
    asked: int
    accepted: int
    failures: tuple[tuple[str, int], ...]
    answers: int
    tokens_in: int
    tokens_out: int
    words: tuple[int, float, int] | None
    """Fewest, median and most words of a caption."""
    agreeing: int


def write_caption_sample(store: Store, options: SampleOptions) -> str:
    """Writes the page, and nothing else; returns its path under the root. ServiceError when no server answers."""
    settings = _settings(store, options)
    prompts = tuple(load_prompt(name) for name in options.prompts)
    with open_tables(store) as tables:
        trace(tables, sealed=manifest_digest(store) is not None)
        withhold_private(tables, recorded_settings(store).shards)
        tables.sql.execute(_PICK, [str(options.seed), options.images])
        items = tables.sql.sql(_ITEMS).to_arrow_table().to_pylist()
        jpegs = {key: data for key, data in pictures(tables) if data}
    sample = [row for row in items if row["key"] in jpegs]
    if not sample:
        raise ConfigError(
            f"{store.root} has no safe picture to show whose source and licence allow it; "
            "remedy: run it until safety first"
        )
    captions = asyncio.run(_describe_sample(settings, prompts, sample, jpegs))
    shown = [_picture(row, jpegs[row["key"]], captions[row["key"]]) for row in sample]
    page = {
        "name": archive_name(store),
        "model": settings.model,
        "seed": options.seed,
        "totals": [_totals(prompt, at, shown) for at, prompt in enumerate(prompts)],
        "pictures": shown,
        "alike": _count_agreeing(shown),
        "word_count": word_count,
    }
    store.write_bytes(PAGE_PATH, render_page("caption_sample.html.jinja", _STYLES, **page).encode())
    return PAGE_PATH


def _settings(store: Store, options: SampleOptions) -> CaptionSettings:
    """The archive's own, but for what is chosen here."""
    if not 1 <= len(options.prompts) <= MOST_PROMPTS:
        raise ConfigError(f"{len(options.prompts)} prompts are named; one to {MOST_PROMPTS} stand side by side")
    own = dict(require_recorded_settings(store)["per_row"].get("caption", {}))
    chosen = {"servers": options.servers, "prompt": options.prompts[0], "patience_s": 0.0, "retries": 3}
    return CaptionSettings(**{**own, **chosen, **({"model": options.model} if options.model else {})})


async def _describe_sample(
    settings: CaptionSettings, prompts: Sequence[Prompt], sample: Sequence[dict[str, Any]], jpegs: dict[str, bytes]
) -> dict[str, tuple[Row, ...]]:
    describers = [describer(settings, prompt) for prompt in prompts]
    async with settings.client() as client:
        shown = [(row, jpegs[row["key"]]) for row in sample]
        by_prompt = await asyncio.gather(*(each.rows(client, shown) for each in describers))
    return {row["key"]: captions for row, captions in zip(sample, zip(*by_prompt, strict=True), strict=True)}


def _picture(item: dict[str, Any], jpeg: bytes, captions: tuple[Row, ...]) -> Picture:
    best = item["queries"][0]
    return Picture(
        key=item["key"],
        title=(item["title"] or "").strip() or "Untitled",
        emotion=best["emotion"],
        context=best["context"],
        phrase=best["phrase"],
        thumbnail=small(jpeg),
        captions=captions,
    )


def word_count(row: Row) -> int:
    """Words of an accepted caption."""
    stimuli = row["stimuli"]
    assert isinstance(stimuli, list)
    return len(caption_text(str(row["summary"]), stimuli, str(row["assessment"])).split())


def _totals(prompt: Prompt, at: int, shown: Sequence[Picture]) -> Totals:
    rows: list[dict[str, Any]] = [dict(picture.captions[at]) for picture in shown]
    accepted = [row for row in rows if row["status"] == "ok"]
    counts = [word_count(row) for row in accepted]
    return Totals(
        prompt=prompt,
        asked=len(rows),
        accepted=len(accepted),
        failures=tuple(Counter(row["error"] for row in rows if row["error"]).most_common()),
        answers=sum(row["attempts"] for row in rows),
        tokens_in=sum(row["prompt_tokens"] for row in rows),
        tokens_out=sum(row["completion_tokens"] for row in rows),
        words=(min(counts), median(counts), max(counts)) if counts else None,
        agreeing=sum(picture.emotion in (_emotions(picture.captions[at])) for picture in shown),
    )


def _emotions(row: Row) -> list[str]:
    emotions = row["emotions"]
    return emotions if isinstance(emotions, list) else []


def _count_agreeing(shown: Sequence[Picture]) -> tuple[int, int]:
    """Pictures with an accepted caption from every prompt, and those of them for which all name a common emotion."""
    sets = [[set(_emotions(row)) for row in picture.captions] for picture in shown]
    whole = [each for each in sets if all(each)]
    return len(whole), sum(bool(set.intersection(*each)) for each in whole)
