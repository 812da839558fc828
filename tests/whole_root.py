"""A sealed archive without crawling: generated tables with true inputs, then the real merge, cut, pack and seal."""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crawl.rounds.merge import MergeSettings, merge_candidates
from crawl.rounds.rounds import open_round
from crawl.rounds.rounds import read_rounds as rounds_of
from crawl.source import Query
from filter.cut import CutSettings
from moodarchive.emotions.taxonomy import EMOTIONS
from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.keys import image_key
from moodarchive.tables.parts import TIMINGS, Origin, finished_parts
from moodarchive.tables.schemas import (
    CANDIDATES,
    CAPTIONS,
    DESCRIPTORS,
    IMAGES,
    ITEMS,
    SAFETY,
    SCHEMA_VERSION,
    SCORES,
    Table,
)
from pipelines.change.reseal import finish
from tests.making import Row, encoded, rows_of, sentences, textured, write_rows

CUT = CutSettings(heldout=0.1, validation=0.1, smallest_cell=5)
SOURCES = ("openverse", "closed")
CELLS = (("joy", "natural_scenery"), ("fear", "urban_scenery"))
PICTURES = 48


@dataclass(frozen=True)
class Pictured:
    """One generated picture of a round: number 7 is offered again as number 8, byte by byte, by another creator."""

    number: int

    @property
    def source(self) -> str:
        return SOURCES[self.number % 9 == 5]

    @property
    def key(self) -> str:
        return image_key(self.source, f"p{self.number}")

    @property
    def shown(self) -> int:
        """The number whose picture it shows."""
        return 7 if self.number == 8 else self.number

    @property
    def jpeg(self) -> bytes:
        return encoded(textured(80, 60, self.shown))

    @property
    def creator(self) -> str:
        return f"Ann  Müller {self.number % 6}"

    @property
    def url(self) -> str:
        return f"https://img.test/{self.number}.jpg"

    @property
    def title(self) -> str:
        return f"Secret title {self.number}"

    def candidate(self, rank: int, round_number: int) -> Row:
        emotion, context = CELLS[self.number % 2]
        return {
            "key": self.key, "url": self.url, "source": self.source, "source_id": f"p{self.number}",
            "landing_url": f"https://site.test/pages/{self.number}", "title": self.title,
            "alt_text": f"secret words {self.number}", "creator": self.creator,
            "creator_url": f"https://site.test/people/{self.number % 6}", "licence": "by 2.0",
            "licence_url": "https://creativecommons.org/licenses/by/2.0/", "width": 800, "height": 600, "mature": False,
            "emotion": emotion, "context": context, "phrase": "a phrase", "rank": rank,
            "retrieved_on": "2026-01-01", "round": round_number,
        }  # fmt: skip

    def later(self) -> dict[str, Row]:
        """Table name → row, from images/ to scores/; some failed, some unsafe."""
        skipped: Row = {"key": self.key, "status": "skipped"}
        if self.number % 11 == 3:
            failed: Row = {"key": self.key, "status": "failed", "error": "http_404"}
            return {"images": failed, "safety": skipped, "captions": skipped, "scores": skipped}
        jpeg, numbers = self.jpeg, random.Random(self.shown)
        emotion, context = CELLS[self.number % 2]
        unsafe = self.number % 13 == 6
        images: Row = {
            "key": self.key, "bytes": jpeg, "sha256": hashlib.sha256(jpeg).hexdigest(),
            "stored_sha256": hashlib.sha256(jpeg).hexdigest(),
            "phash": numbers.getrandbits(64), "width": 80, "height": 60, "original_width": 80, "original_height": 60,
            "original_bytes": len(jpeg), "original_type": "JPEG", "status": "ok",
        }  # fmt: skip
        caption: Row = {
            "key": self.key, **sentences(self.number), "emotions": ["joy"], "model": "m", "prompt_hash": "0", "seed": 1,
            "attempts": 1, "prompt_tokens": 9, "completion_tokens": 9, "status": "ok",
        }  # fmt: skip
        score: Row = {
            "key": self.key, "score": round(numbers.uniform(0.1, 0.4), 5), "phrase": "a phrase", "emotion": emotion,
            "context": context, "status": "ok",
        }  # fmt: skip
        score |= self._every_emotion(float(score["score"]), emotion)
        safety = {"key": self.key, "nsfw": 0.01, "verdict": "unsafe" if unsafe else "safe", "status": "ok"}
        return {
            "images": images,
            "safety": safety,
            "captions": skipped if unsafe else caption,
            "scores": skipped if unsafe else score,
        }

    @staticmethod
    def _every_emotion(own: float, emotion: str) -> Row:
        """Love fits every picture better than its own emotion, and grief better still; all others fit worse."""
        known = {"love": own + 0.1, "grief": own + 0.2, emotion: own}
        return {
            "emotion_scores": [known.get(name, own - 0.1) for name in EMOTIONS],
            "emotion_phrases": [f"a phrase of {name}" for name in EMOTIONS],
        }


def built_root(store: Store, pictures: int = PICTURES) -> list[Pictured]:
    """A sealed archive of one round in parts of a dozen rows."""
    settings = {
        "schema_version": SCHEMA_VERSION,
        "per_row": {},
        "whole_table": {
            "cut": CUT.of_kind(SettingScope.WHOLE_TABLE),
            "shards": {"private_sources": ["closed"]},
        },
    }
    store.write_bytes("settings.json", (json.dumps(settings, indent=1, sort_keys=True) + "\n").encode())
    made = add_round(store, range(pictures))
    assert finish(store)
    return made


def add_round(
    store: Store, numbers: Sequence[int], found_under: Mapping[int, tuple[str, str]] | None = None
) -> list[Pictured]:
    """The next round, with these pictures, up to its scores; nothing is judged yet.

    ``found_under`` names another emotion and context than the picture's own.
    """
    made = [Pictured(number) for number in numbers]
    rounds = rounds_of(store)
    queries = [Query(source="openverse", emotion="joy", context="natural_scenery", phrase=f"p {numbers}", results=99)]
    record = open_round(store, rounds, queries, {}, 9)
    assert record is not None
    write_rows(store, DESCRIPTORS, record.number, [{"emotion": "joy", "context": "natural_scenery", "phrase": "p"}])
    (part,) = record.candidates_parts
    found = [picture.candidate(rank, record.number) for rank, picture in enumerate(made)]
    for number, (emotion, context) in (found_under or {}).items():
        row = found[numbers.index(number)]
        row |= {"emotion": emotion, "context": context, "phrase": f"found by {emotion}"}
    write_rows(store, CANDIDATES, part, found)
    record = merge_candidates(store, record, MergeSettings(rows_per_part=12))
    by_key = {picture.key: picture for picture in made}
    for dealt_part in record.image_parts:
        keys = [row["key"] for row in rows_of(store, ITEMS, dealt_part)]
        for table, reads in _READS:
            rows = [by_key[key].later()[table.name] for key in keys]
            write_rows(store, table, dealt_part, rows, _origin(store, reads, dealt_part))
    return made


_READS: tuple[tuple[Table, tuple[Table, ...]], ...] = (
    (IMAGES, (ITEMS,)),
    (SAFETY, (IMAGES,)),
    (CAPTIONS, (ITEMS, IMAGES, SAFETY)),
    (SCORES, (ITEMS, IMAGES, SAFETY)),
)


def _origin(store: Store, reads: tuple[Table, ...], part: int) -> Origin:
    inputs = {f"{table.name}/{part:05d}": finished_parts(store, table)[part].sha256 for table in reads}
    return Origin(settings="test", inputs=inputs, started=0.0)


def timeless_files(store: Store) -> dict[str, bytes]:
    """Every file but logs and locks; sidecars without their timings."""
    found = {}
    for path in store.files():
        if path.startswith(("logs/", "crawl/", "report/")):
            continue
        content = store.read_bytes(path)
        if Path(path).suffix == ".json" and Path(path).stem.isdigit() and b'"started"' in content:
            timeless = {key: v for key, v in json.loads(content).items() if key not in TIMINGS}
            content = json.dumps(timeless, sort_keys=True).encode()
        found[path] = content
    return found
