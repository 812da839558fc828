"""Asks the captioner once more about pictures whose captions people refused; new captions go into the shards."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any

from annotate.caption import CaptionSettings, describer
from annotate.prompt import load_prompt
from moodarchive.archive.writer_lock import only_writer
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from moodarchive.tables.parts import Origin, Sidecar, finished_parts, read_part, write_part
from moodarchive.tables.schemas import CAPTIONS, ITEMS, as_batch
from pipelines.change.reseal import finish
from pipelines.runner.settings_record import check_settings
from pipelines.settings import ArchiveSettings
from shards.seal import unseal
from validate.study.design.items import caption_hash
from validate.study.design.pictures import Pictures, find_pictures
from validate.study.verdicts.table import read_verdicts

Row = dict[str, Any]


def reask(store: Store, settings: ArchiveSettings) -> Iterator[str]:
    """Replaces rejected captions, cuts, packs and seals anew. A caption that cannot be bettered stays.

    A verdict holds for the caption that people saw: the new one is neither accepted nor rejected. ConfigError when the
    settings are not those of the archive; ServiceError when the servers do not answer. A killed call goes on.
    """
    with only_writer(store):
        check_settings(store, settings)
        rejected = {
            str(row["key"]): str(row["caption_hash"])
            for row in read_verdicts(store)
            if row["accepted"] is False and not row["simulated"]
        }
        asked = replaced = 0
        for part, sidecar in sorted(finished_parts(store, CAPTIONS).items()):
            rows = [row for batch in read_part(store, CAPTIONS, part) for row in batch.to_pylist()]
            refused = {row["key"] for row in rows if rejected.get(row["key"], "") == _hash(row)}
            if refused:
                fresh = asyncio.run(_answers(store, settings.caption, part, refused, sidecar))
                asked, replaced = asked + len(refused), replaced + len(fresh)
                _replace(store, part, rows, fresh, sidecar)
        finish(store)
    yield f"{asked} rejected captions were asked for again, {replaced} were replaced"


def _hash(row: Mapping[str, Any]) -> str | None:
    return caption_hash((row["summary"], *row["stimuli"], row["assessment"])) if row["status"] == "ok" else None


async def _answers(
    store: Store, settings: CaptionSettings, part: int, keys: set[str], sidecar: Sidecar
) -> dict[str, Row]:
    """Key → the new row, for those that the model describes otherwise than before."""
    # the seed follows from the captions as they are, so that a second call asks something new
    seed = int(digest(["reask", settings.seed, sidecar.sha256])[:7], 16)
    describing = describer(settings.model_copy(update={"seed": seed}), load_prompt(settings.prompt))
    pictures = find_pictures(store, keys)
    wanted = [row for batch in read_part(store, ITEMS, part) for row in batch.to_pylist() if row["key"] in keys]
    async with settings.client() as client:
        rows = await describing.rows(
            client, [(row, jpeg) for row in wanted if (jpeg := _picture(pictures, row["key"]))]
        )
    return {str(row["key"]): row for row in rows if row["status"] == "ok"}


def _picture(pictures: Pictures, key: str) -> bytes | None:
    """The shards hold it, whether or not images/ was pruned; None for one that is not kept."""
    return pictures.read(key) if key in pictures else None


def _replace(store: Store, part: int, rows: list[Row], fresh: Mapping[str, Row], sidecar: Sidecar) -> None:
    """Writes the part with the new rows in the old ones' places; it was made from the same inputs."""
    if not fresh:
        return
    unseal(store)
    origin = Origin(settings=sidecar.settings, inputs=sidecar.inputs, started=time.time())
    write_part(store, CAPTIONS, part, [as_batch(CAPTIONS, [fresh.get(row["key"], row) for row in rows])], origin)
