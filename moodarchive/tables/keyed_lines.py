"""JSON lines whose objects have a key of their own: what studies and sets hand to each other."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moodarchive.errors import DatasetError, UsageError


def read_keyed_lines(
    path: Path, error: type[UsageError] = DatasetError, remedy: str = "a file of JSON lines"
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each line stands, and its object; ``error`` names the line without a key, or with one that was there.

    ``remedy`` is what to give where the file cannot be read.
    """
    keys = set()
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                where = f"{path}, line {number}"
                row = json.loads(line)
                if not isinstance(row, dict) or not isinstance(row.get("key"), str) or not row["key"]:
                    raise error(f"{where}: no record with a key")
                if row["key"] in keys:
                    raise error(f"{where}: the key {row['key'][:80]!r} stands there twice")
                keys.add(row["key"])
                yield where, row
    except (OSError, ValueError, RecursionError) as problem:
        raise error(f"{path} cannot be read as JSON lines: {problem}; remedy: {remedy}") from None
