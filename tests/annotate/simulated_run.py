"""Runs the caption stage under Ray against simulated GPU servers, and reads what the servers saw."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotate.caption import CaptionSettings, caption_stage
from moodarchive.storage.store import Store
from moodarchive.tables.parts import read_part
from moodarchive.tables.schemas import CAPTIONS
from pipelines.runner.cluster import Cluster
from pipelines.runner.execute import run_stages
from tests.annotate.described_part import Picture, jpeg, write_inputs
from tests.annotate.simulated_gpu import MODEL

Event = dict[str, Any]


def write_parts(root: Path, parts: int, rows: int) -> Store:
    """Parts of safe pictures, each picture unlike every other."""
    for part in range(parts):
        numbers = range(part * rows, (part + 1) * rows)
        pictures = [
            Picture(phrase=f"tree {number}", bytes=jpeg(64 + number % 64, 64 + number // 64, number % 256))
            for number in numbers
        ]
        store, _ = write_inputs(root, pictures, part)
    return store


def caption_parts(store: Store, parts: int, servers: Sequence[str], **settings: Any) -> list[dict[str, Any]]:
    """Every row of the captions table after the run."""
    chosen = CaptionSettings(**{"model": MODEL, "servers": tuple(servers), **settings})
    with Cluster(cpus=2) as cluster:
        run_stages([caption_stage(chosen)], store, range(parts), cluster)
    return [row for part in range(parts) for batch in read_part(store, CAPTIONS, part) for row in batch.to_pylist()]


def events_of(file: Path) -> list[Event]:
    """What a server told, in order; a line that a kill cut in two is left out."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


@dataclass(frozen=True, kw_only=True)
class Fullness:
    """How well one simulated server was used, from its first request to its last answer."""

    ratio: float
    """Slot-seconds worked over slot-seconds there were: images a second over the ceiling."""
    longest_gap_s: float
    """The longest time in which a slot was idle before the last requests had come."""
    per_second: float


def fullness(events: Sequence[Event], slots: int) -> Fullness:
    """What the events of one server come to."""
    answered = [event for event in events if event["event"] == "answered"]
    came = [event["at"] for event in events if event["event"] == "came"]
    first, last = min(came), max(event["at"] for event in answered)
    worked = sum(event["service_s"] for event in answered)
    return Fullness(
        ratio=worked / (slots * (last - first)),
        longest_gap_s=_longest_gap(answered, slots, max(came)),
        per_second=len(answered) / (last - first),
    )


def _longest_gap(answered: Sequence[Event], slots: int, until: float) -> float:
    changes = [(event["at"] - event["service_s"], 1) for event in answered] + [(event["at"], -1) for event in answered]
    working, since, longest = 0, None, 0.0
    for moment, change in sorted(changes):
        if moment > until:
            break
        working += change
        if working >= slots:
            longest = max(longest, moment - since) if since is not None else longest
            since = None
        elif since is None and change < 0:
            since = moment
    return longest
