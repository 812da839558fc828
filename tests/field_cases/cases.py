"""Inputs as users met them, with their right values: a folder that is not part of the project.

MOODARCHIVE_FIELD_CASES names it; without it these tests are skipped. Each of its kinds also has tests of our own making
beside the code that it concerns; these hold the samples themselves.
"""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ["MOODARCHIVE_FIELD_CASES"]) if os.environ.get("MOODARCHIVE_FIELD_CASES") else None
needs_cases = pytest.mark.skipif(FOLDER is None, reason="MOODARCHIVE_FIELD_CASES names no folder of field cases")


def case(name: str) -> Path:
    """The path of a file or folder of the cases."""
    assert FOLDER is not None
    path = FOLDER / name
    assert path.exists(), f"no case {name}"
    return path


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a table of cases; none where there is no folder."""
    if FOLDER is None:
        return []
    with case(name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def entries(name: str) -> Any:
    """What a JSON file of cases holds; an empty list where there is no folder."""
    return [] if FOLDER is None else json.loads(case(name).read_bytes())


def ids(cases: list[dict[str, Any]], *names: str) -> list[str]:
    """Names for pytest's report."""
    return [" ".join(str(one.get(name)) for name in names)[:80] for one in cases]
