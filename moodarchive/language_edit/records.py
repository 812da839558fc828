"""L-AVC's records as JSON lines: a picture, its caption and emotion, and what an instruction makes of all three."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.errors import DatasetError
from moodarchive.language_edit.prompts import CaptionRequest
from moodarchive.storage.inner_path import is_inner_path

ELEMENTS = ("facial", "action", "object", "scene", "color&brightness")
"""What of a picture carries its emotion."""
SPLITS = ("train", "test")
STATUSES = ("kept", "rejected")
PUBLISHED = (
    "id", "element", "image", "caption", "emotion", "instruction", "edited_caption", "edited_emotion", "edited_image",
    "split",
)  # fmt: skip
"""The fields that every record has."""
OWN = (
    "edited_span", "status", "reason", "checked_by", "source", "title", "creator", "creator_url", "licence",
    "licence_url", "landing_url",
)  # fmt: skip
"""Fields that a record may have: what was checked, and whose the picture is."""
FIELDS = (*PUBLISHED, *OWN)
_MOST_BYTES = 1 << 30
_MOST_TEXT = 4000
Row = dict[str, Any]


def read_records(path: Path) -> list[Row]:
    """Every record; DatasetError names the first line, from 1, that is none."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DatasetError(f"{path} has more than {_MOST_BYTES:,} bytes; remedy: several files")
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read: {str(error)[:200]}; remedy: the records.jsonl that moodarchive lavc build writes"
        ) from None
    return read_record_lines(content, str(path))


def read_record_lines(content: bytes, path: str) -> list[Row]:
    """As ``read_records``, of a file's bytes; ``path`` names it in errors."""
    try:
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} cannot be read: {str(error)[:200]}") from None
    records: list[Row] = []
    for number, line in enumerate(lines, 1):
        if not line and number == len(lines):
            break
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DatasetError(f"{path}, line {number}: is no JSON ({error})") from None
        if problem := problem_of(record):
            raise DatasetError(f"{path}, line {number}: {problem}")
        records.append(record)
    if not records:
        raise DatasetError(f"{path} holds no record; remedy: one JSON object a line, of {', '.join(PUBLISHED)}")
    return records


def write_records(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """One a line, fields in the published order, in the order given; returns how many."""
    count, draft = 0, path.with_name(f"{path.name}.draft")
    with draft.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            ordered = {name: record[name] for name in FIELDS if name in record}
            file.write(json.dumps(ordered, ensure_ascii=False) + "\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return count


def problem_of(record: Any) -> str:
    """What is wrong with a record; empty for nothing."""
    if not isinstance(record, dict):
        return "is no object"
    if missing := [name for name in PUBLISHED if name not in record]:
        return f"lacks {', '.join(missing)}"
    if unknown := [name for name in record if name not in FIELDS]:
        return f"has the unknown field {str(unknown[0])[:40]!r}"
    is_rejected = record.get("status") == "rejected"
    return _word_problem(record, is_rejected=is_rejected) or _text_problem(record, is_rejected=is_rejected)


def _word_problem(record: Row, *, is_rejected: bool) -> str:
    """Of the fields that hold one word of a list; what was rejected may lack the edit's."""
    words = {name: record[name] for name in ("element", "split", "emotion", "edited_emotion")}
    words["status"] = record.get("status", "kept")
    if is_rejected:
        words = {name: word for name, word in words.items() if word is not None or name in ("element", "split")}
    legal = {"element": ELEMENTS, "split": SPLITS, "status": STATUSES}
    for name, word in words.items():
        if word not in legal.get(name, MIKELS_EIGHT):
            return f"{name} = {str(word)[:40]!r} is none of {', '.join(legal.get(name, MIKELS_EIGHT))}"
    return ""


def _text_problem(record: Row, *, is_rejected: bool) -> str:
    for name, value in record.items():
        needed = name in PUBLISHED and not (is_rejected and name not in ("id", "image"))
        if not isinstance(value, str) if needed else not isinstance(value, str | None):
            return f"{name} is no text"
        if value is not None and (len(value) > _MOST_TEXT or (needed and not value)):
            return f"{name} has {len(value)} characters, legal are 1 to {_MOST_TEXT}"
    for name in ("image", "edited_image"):
        if record[name] is not None and not is_inner_path(record[name]):
            return f"{name} = {record[name][:120]!r} leads out of the folder"
    return ""


def request_of(record: Mapping[str, Any]) -> CaptionRequest:
    """What a language model is asked of a record."""
    return CaptionRequest(
        caption=record["caption"],
        emotion=record["emotion"],
        instruction=record["instruction"],
        target_emotion=record["edited_emotion"],
    )


def kept_records(records: Iterable[Row], split: str) -> Iterator[Row]:
    """Those of a split that nobody has rejected."""
    return (one for one in records if one["split"] == split and one.get("status", "kept") == "kept")
