"""Proves an L-AVC set whole: every file, count and record is what the manifest says."""

import json
from collections.abc import Iterator
from typing import Any

from moodarchive.errors import DatasetError, NotWholeError
from moodarchive.language_edit.records import Row, problem_of
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH
from moodarchive.tables.schemas import LAVC_TABLES
from pipelines.editing.sets.lavc.records import NAME, RECORDS, count_records
from pipelines.editing.sets.proof import file_problems
from validate.verify import Problem


def verify_lavc(root: str) -> Iterator[Problem]:
    """Every problem; none means that the set is whole."""
    store = Store(root)
    if not store.exists(MANIFEST_PATH):
        raise NotWholeError(f"{root} is no sealed L-AVC set; remedy: moodarchive lavc build")
    try:
        manifest: dict[str, Any] = json.loads(store.read_bytes(MANIFEST_PATH))
        if manifest.get("name") != NAME:
            raise NotWholeError(f"{root} holds another set than L-AVC; remedy: the root of moodarchive lavc build")
        files: dict[str, str] = dict(manifest["files"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        yield Problem(MANIFEST_PATH, f"cannot be read ({error!r})")
        return
    damaged = list(file_problems(store, files, LAVC_TABLES))
    yield from damaged
    if not damaged:
        yield from _records(store, manifest, files)


def _records(store: Store, manifest: dict[str, Any], files: dict[str, str]) -> Iterator[Problem]:
    rows: list[Row] = []
    if RECORDS not in files:
        yield Problem(RECORDS, "is not part of what was sealed")
        return
    seen: set[str] = set()
    for number, line in enumerate(store.read_bytes(RECORDS).decode().splitlines(), 1):
        try:
            row = json.loads(line)
            problem = problem_of(row)
        except (ValueError, DatasetError) as error:
            row, problem = {}, f"is no JSON ({error})"
        if not problem and row["id"] in seen:
            problem = f"the id {row['id']} stands twice"
        if not problem and row.get("status", "kept") == "kept":
            lost = [row[name] for name in ("image", "edited_image") if row[name] not in files]
            problem = f"{lost[0]} is not part of what was sealed" if lost else ""
        if problem:
            yield Problem(f"{RECORDS}, line {number}", problem)
            continue
        seen.add(row["id"])
        rows.append(row)
    for name, value in count_records(rows).items():
        if manifest.get(name) != value:
            yield Problem(MANIFEST_PATH, f"says {name} {manifest.get(name)!r}; there are {value!r}")
