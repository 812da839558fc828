"""People's checks of L-AVC's records: what a study is given of a set, and what it said, joined to the records."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moodarchive.errors import ConfigError, DatasetError, NotWholeError
from moodarchive.language_edit.records import Row, read_record_lines
from moodarchive.storage.store import Store
from moodarchive.tables.keyed_lines import read_keyed_lines
from pipelines.editing.sets.lavc.records import RECORDS
from pipelines.editing.sets.lavc.verify import verify_lavc
from validate.study.records.verdict import ACCEPTED, OPEN, REJECTED

_MOST_BYTES = 1 << 30
_QUESTIONS = "checks.jsonl"
_CHECKED = "study/checks/checked.jsonl, which moodarchive study report --kind checks writes"


def write_checks(root: str, folder: str) -> int:
    """Writes what `study sample --kind checks --edits FOLDER` reads: kept records that nobody has checked; how many.

    NotWholeError where the set is not what was sealed.
    """
    for problem in verify_lavc(root):
        raise NotWholeError(f"{root} is not whole: {problem}; remedy: moodarchive lavc build")
    source, target = Store(root), Store(folder)
    if target.files():
        raise ConfigError(f"{folder} holds something already; remedy: a new folder")
    rows = [row for row in read_record_lines(source.read_bytes(RECORDS), RECORDS) if row.get("status") == "kept"]
    lines = []
    for row in rows:
        for name in ("image", "edited_image"):
            target.write_bytes(row[name], source.read_bytes(row[name]))
        lines.append(
            {
                "key": row["id"],
                "picture": row["image"],
                "edited_picture": row["edited_image"],
                "caption": row["caption"],
                "edited_caption": row["edited_caption"],
                "emotion": row["emotion"],
                "target": row["edited_emotion"],
                "instruction": row["instruction"],
                **({"span": row["edited_span"]} if row.get("edited_span") else {}),
            }
        )
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    target.write_bytes(_QUESTIONS, text.encode())
    return len(rows)


def join_checks(rows: list[Row], path: str) -> list[Row]:
    """The records after a study's checked.jsonl; with an empty path as they are.

    A kept record stays kept only where people accepted it; ``checked_by`` then says how many looked. Who they were
    stays with the study. DatasetError names the line of what is no such file, or that speaks of another set.
    """
    if not path:
        return rows
    checked = read_checked(Path(path).expanduser())
    if strangers := checked.keys() - {row["id"] for row in rows}:
        raise DatasetError(f"{path} speaks of {min(strangers)!r}, which is no record here; remedy: this set's study")
    return [_join(row, checked.get(row["id"])) for row in rows]


def _join(row: Row, verdict: Mapping[str, Any] | None) -> Row:
    if row.get("status", "kept") != "kept":
        return row
    people = len(verdict["checked_by"]) if verdict else 0
    checked_by = f"{people} {'person' if people == 1 else 'people'}" if people else None
    if verdict is None or verdict["status"] == OPEN:
        return row | {"status": "rejected", "reason": "unchecked", "checked_by": checked_by}
    if verdict["status"] == REJECTED:
        return row | {"status": "rejected", "reason": f"people: {verdict['reason']}", "checked_by": checked_by}
    return row | {"checked_by": checked_by}


def read_checked(path: Path) -> dict[str, dict[str, Any]]:
    """Record's id → what `study report --kind checks` wrote of it; DatasetError names the line that is none."""
    if path.is_file() and path.stat().st_size > _MOST_BYTES:
        raise DatasetError(f"{path} has more than {_MOST_BYTES:,} bytes; remedy: {_CHECKED}")
    verdicts: dict[str, dict[str, Any]] = {}
    for where, row in read_keyed_lines(path, remedy=_CHECKED):
        sound = (
            row.get("status") in (ACCEPTED, REJECTED, OPEN)
            and isinstance(row.get("reason"), str)
            and isinstance(row.get("checked_by"), list)
        )
        if not sound:
            raise DatasetError(
                f"{where}: is no verdict on a record; needed are key, status (accepted, rejected, open), reason and "
                "checked_by"
            )
        verdicts[row["key"]] = row
    return verdicts


def count_verdicts(verdicts: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Records by what people said."""
    return dict(sorted(Counter(str(one["status"]) for one in verdicts.values()).items()))
