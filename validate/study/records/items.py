"""Records of a JSON-lines file as items of a study, with their pictures taken in."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from moodarchive.tables.keyed_lines import read_keyed_lines
from moodarchive.tables.keys import digest
from validate.study.design.study import CHECKS, RANKING, StudyDesign, find_design, folder, write_design
from validate.study.edits.items import encode_picture

FILES = {CHECKS: "checks.jsonl", RANKING: "ranking.jsonl"}
CHECK_TEXTS = ("caption", "edited_caption", "emotion", "target", "instruction")
"""What a record of checks says beside its key and pictures; ``span`` may be added."""
FEWEST, MOST = 2, 9
"""Candidates of a ranking: the keys 1 to 9 pick one."""
_MOST_TEXT = 2000


@dataclass(frozen=True, kw_only=True)
class RecordItem:
    """A record: its own key, its texts, and its pictures by what they are; their names tell nothing."""

    item: str
    key: str
    texts: dict[str, str]
    pictures: dict[str, str]
    """``source`` and ``edited`` of checks; ``source`` and ``candidate 0`` … of a ranking."""
    notes: tuple[str, ...] = ()
    """Of a ranking's candidates, in their order: the instruction or what else tells them apart; never shown."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """A line of ranking.jsonl: a source, the emotion that it shall evoke, and edits with what tells them apart.

    ``group``: sources of one group belong together; empty where the line does not say.
    """

    key: str
    source: str
    group: str
    emotion: str
    files: tuple[str, ...]
    texts: tuple[str, ...]


def read_rankings(path: Path) -> Iterator[tuple[str, Ranking]]:
    """Where each record stands, and the record; StudyError names the line that is none."""
    return ((where, _ranking(row, where)) for where, row in read_keyed_lines(path, StudyError))


def draw_records(store: Store, kind: str, given: str, *, workers: int, seed: int) -> StudyDesign:
    """Takes in a folder with FILES[kind]; every record is asked. A later call may bring more of them.

    StudyError names the file and the line of what is no record.
    """
    if not given:
        raise StudyError(f"--kind {kind} needs --edits: a folder with {FILES[kind]}")
    top = Path(given)
    earlier = find_design(store, kind)
    if earlier and earlier.seed != seed:
        raise StudyError(f"--seed {seed}: it was drawn with seed {earlier.seed}; remedy: leave --seed as it was")
    read = _read_check if kind == CHECKS else _read_ranking
    items = {}
    for where, row in read_keyed_lines(top / FILES[kind], StudyError):
        item, files = read(row, where, digest([kind, seed, row.get("key")]))
        for role, file in files.items():
            store.write_bytes(picture_path(kind, item.pictures[role]), encode_picture(top, file, where))
        items[item.item] = item
    if not items:
        raise StudyError(f"{top / FILES[kind]} holds no record")
    both = {item.item: item for item in read_record_items(store, kind)} | items
    text = json.dumps([asdict(item) for item in both.values()], indent=1) + "\n"
    store.write_bytes(_items_path(kind), text.encode())
    design = StudyDesign(
        kind=kind, seed=seed, n=len(both), heldout=0, workers=workers, gold=0.0, strata=(), left_out={},
        batches=(len(both),), simulated=False,
    )  # fmt: skip
    write_design(store, design)
    return design


def read_record_items(store: Store, kind: str) -> list[RecordItem]:
    """Every item; none before the first drawing."""
    if not store.exists(_items_path(kind)):
        return []
    rows = json.loads(store.read_bytes(_items_path(kind)))
    return [RecordItem(**{**row, "notes": tuple(row["notes"])}) for row in rows]


def picture_path(kind: str, name: str) -> str:
    """Where a picture of the study lies."""
    return f"{folder(kind)}/pictures/{name}.jpg"


def _items_path(kind: str) -> str:
    return f"{folder(kind)}/items.json"


def _read_check(row: dict[str, Any], where: str, item: str) -> tuple[RecordItem, dict[str, str]]:
    texts = {name: _text(row, name, where) for name in CHECK_TEXTS}
    if "span" in row:
        texts["span"] = _text(row, "span", where)
    files = {"source": _text(row, "picture", where), "edited": _text(row, "edited_picture", where)}
    pictures = {role: digest([item, role]) for role in files}
    return RecordItem(item=item, key=row["key"], texts=texts, pictures=pictures), files


def _read_ranking(row: dict[str, Any], where: str, item: str) -> tuple[RecordItem, dict[str, str]]:
    ranking = _ranking(row, where)
    files = {"source": ranking.source}
    files |= {f"candidate {number}": file for number, file in enumerate(ranking.files)}
    pictures = {role: digest([item, role]) for role in files}
    texts = {"emotion": ranking.emotion}
    return RecordItem(item=item, key=ranking.key, texts=texts, pictures=pictures, notes=ranking.texts), files


def _ranking(row: dict[str, Any], where: str) -> Ranking:
    candidates = row.get("candidates")
    if not isinstance(candidates, list) or not FEWEST <= len(candidates) <= MOST:
        raise StudyError(f"{where}: candidates must be {FEWEST} to {MOST} of {{file, text}}")
    if not all(isinstance(one, dict) for one in candidates):
        raise StudyError(f"{where}: a candidate is no object with file and text")
    return Ranking(
        key=row["key"],
        source=_text(row, "source", where),
        group=_text(row, "group", where) if row.get("group") else "",
        emotion=_text(row, "emotion", where),
        files=tuple(_text(one, "file", where) for one in candidates),
        texts=tuple(_text(one, "text", where) for one in candidates),
    )


def _text(row: dict[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > _MOST_TEXT:
        raise StudyError(f"{where}: {name} must be a text of 1 to {_MOST_TEXT:,} characters")
    return value
