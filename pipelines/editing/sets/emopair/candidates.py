"""Several edits of each source for people to choose from: the folder that a study of kind ``ranking`` takes in."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from moodarchive.errors import DatasetError, RowError
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from pipelines.editing.sets.edits import PictureEditor, encode_png, read_below
from pipelines.editing.sets.emopair.choices import RECORDS
from pipelines.editing.sets.emopair.requests import list_pictures, read_instructions
from pipelines.editing.sets.emopair.settings import CandidateSettings
from pipelines.editing.sets.parts import record_settings
from pipelines.editing.sets.settings import MakerSettings


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One of a record's edits: its file below the folder, its instruction, and what makes it."""

    file: str
    text: str
    maker: int
    """Of the settings' makers, by its place there"""
    seed: int


@dataclass(frozen=True, kw_only=True)
class Record:
    """A source picture, the class it shall evoke, and the edits that people choose from."""

    key: str
    source: str
    """Its copy below the folder"""
    group: str
    """The source's path below its own folder: records of one group fall into one split"""
    emotion: str
    candidates: tuple[Candidate, ...]


def write_candidates(settings: CandidateSettings, folder: Path, tell: Callable[[str], None]) -> int:
    """Makes the pictures and, last, ranking.jsonl; returns how many records.

    Pictures that are there stay, so that a killed call goes on. A source that cannot be read is named and left out.
    """
    records = plan_records(settings)
    store = Store(str(folder))
    record_settings(store, settings.recorded())
    unread = _copy_sources(settings, store, records, tell)
    usable = [record for record in records if record.group not in unread]
    if not usable:
        raise DatasetError(f"none of the pictures in {settings.folder} can be read")
    for number, maker in enumerate(settings.makers):
        lacking = [
            (record, candidate)
            for record in usable
            for candidate in record.candidates
            if candidate.maker == number and not store.exists(candidate.file)
        ]
        if lacking:
            tell(f"{maker.method}: {len(lacking)} edits")
            _make_edits(maker, store, lacking)
    lines = [json.dumps(_as_row(record, settings), ensure_ascii=False) + "\n" for record in usable]
    store.write_bytes(RECORDS, "".join(lines).encode())
    return len(usable)


def _copy_sources(
    settings: CandidateSettings, store: Store, records: Sequence[Record], tell: Callable[[str], None]
) -> set[str]:
    """Encodes each source anew, without its metadata; returns those that cannot be read."""
    unread = set()
    for group, source in {record.group: record.source for record in records}.items():
        if not store.exists(source):
            try:
                image = read_below(settings.folder, group)
            except RowError as error:
                unread.add(group)
                tell(f"left out: {error}")
            else:
                store.write_bytes(source, encode_png(image))
    return unread


def _make_edits(maker: MakerSettings, store: Store, lacking: Sequence[tuple[Record, Candidate]]) -> None:
    editor = PictureEditor(maker=maker)
    for record, candidate in lacking:
        image = read_below(store.root, record.source)
        edited = editor.edit(image, prompt=candidate.text, emotion=record.emotion, seed=candidate.seed)
        store.write_bytes(candidate.file, encode_png(edited))


def plan_records(settings: CandidateSettings) -> list[Record]:
    """Which records there are to be; equal settings and pictures give equal ones.

    A record's candidates have instructions of their own while the class has enough, and take the makers in turn.
    """
    names = list_pictures(settings.folder)
    instructions = read_instructions(Path(settings.instructions), settings.kept_instructions)
    records = []
    for number in range(settings.count):
        draw = random.Random(f"candidates/{settings.seed}/{number}")
        group, target = names[number % len(names)], draw.choice(sorted(instructions))
        texts = draw.sample(instructions[target], len(instructions[target]))
        seeds = [draw.randrange(1 << 31) for _ in range(settings.candidates)]
        # whatever makes another edit makes another name: a file that is there is the right one
        key = digest(["candidates", number, group, target, texts, seeds])[:16]
        candidates = tuple(
            Candidate(
                file=f"candidates/{key}-{at}.png",
                text=texts[at % len(texts)],
                maker=at % len(settings.makers),
                seed=seeds[at],
            )
            for at in range(settings.candidates)
        )
        source = f"sources/{digest(group)[:16]}.png"
        records.append(Record(key=key, source=source, group=group, emotion=target, candidates=candidates))
    return records


def _as_row(record: Record, settings: CandidateSettings) -> dict[str, Any]:
    row = asdict(record)
    for candidate in row["candidates"]:
        candidate["method"] = settings.makers[candidate.pop("maker")].method
    return row
