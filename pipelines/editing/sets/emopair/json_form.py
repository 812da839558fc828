"""EmoPair as its authors publish it: ``data_EmoPair.json``, one list."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.errors import DatasetError
from moodarchive.storage.inner_path import is_inner_path

FIELDS = ("class_source", "class_target", "prompt", "img_src_path", "img_tgt_path", "source_softmax")
MOST_BYTES = 2 << 30
SUM_TOLERANCE = 1e-3


def read_json(path: Path) -> list[dict[str, Any]]:
    """Every entry; DatasetError names the first that is none, by its number from 0."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DatasetError(f"{path} has more than {MOST_BYTES:,} bytes; remedy: several files")
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {str(error)[:200]}") from None
    if not isinstance(entries, list):
        raise DatasetError(f"{path} holds no list; needed is data_EmoPair.json, a list of pairs")
    for number, entry in enumerate(entries):
        if problem := problem_of(entry):
            raise DatasetError(f"{path}, entry {number}: {problem}")
    return entries


def problem_of(entry: Any) -> str:
    """What is wrong with an entry; empty for nothing."""
    if not isinstance(entry, dict) or set(entry) != set(FIELDS):
        return f"is no object of {', '.join(FIELDS)}"
    for name in ("class_source", "class_target"):
        if entry[name] not in MIKELS_EIGHT:
            return f"{name} = {str(entry[name])[:40]!r} is none of {', '.join(MIKELS_EIGHT)}"
    if not isinstance(entry["prompt"], str):
        return "prompt is no text"
    for name in ("img_src_path", "img_tgt_path"):
        if not is_inner_path(entry[name]):
            return f"{name} = {str(entry[name])[:120]!r} leads out of the folder"
    return problem_of_softmax(entry["source_softmax"])


def problem_of_softmax(values: Any) -> str:
    """What is wrong with a distribution; empty for nothing."""
    if not isinstance(values, list) or len(values) != len(MIKELS_EIGHT):
        return f"source_softmax holds {len(values) if isinstance(values, list) else 'no'} numbers, not 8"
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) != len(values) or not all(math.isfinite(value) and 0 <= value <= 1 for value in numbers):
        return "source_softmax must hold numbers from 0 to 1"
    if abs(sum(numbers) - 1) > SUM_TOLERANCE:
        return f"source_softmax sums to {sum(numbers):.4f}, not to 1"
    return ""


def write_json(path: Path, rows: Iterator[Mapping[str, Any]] | Sequence[Mapping[str, Any]]) -> int:
    """Writes the rows in the authors' form, one a line, in the order given; returns how many."""
    count = 0
    draft = path.with_name(f"{path.name}.draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write("[")
        for row in rows:
            entry = {name: row[name] for name in FIELDS}
            file.write(("," if count else "") + "\n" + json.dumps(entry, ensure_ascii=False))
            count += 1
        file.write("\n]\n")
    draft.replace(path)
    return count
