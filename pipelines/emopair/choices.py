"""What people chose among candidates: the folder of a ranking study, joined to the study's ranked.jsonl."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moodarchive.emotions.taxonomy import MIKELS, MIKELS_EIGHT
from moodarchive.errors import DatasetError
from moodarchive.storage.inner_path import is_inner_path

RECORDS = "ranking.jsonl"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What people made of a record; ``chosen`` is the candidate's index, None where none stands alone."""

    key: str
    source: str
    group: str
    emotion: str
    files: tuple[str, ...]
    texts: tuple[str, ...]
    chosen: int | None


def read_choices(folder: Path, ranked: Path) -> list[Choice]:
    """The records that people have judged, in the folder's order; DatasetError names the line that is none."""
    chosen = {}
    for where, row in _rows(ranked):
        best = row.get("best")
        if best is not None and (not isinstance(best, int) or isinstance(best, bool)):
            raise DatasetError(f"{where}: best = {str(best)[:40]!r} is neither a candidate's number nor null")
        chosen[row["key"]] = best
    choices = [
        _choice(where, row, chosen[row["key"]]) for where, row in _rows(folder / RECORDS) if row["key"] in chosen
    ]
    if not choices:
        raise DatasetError(
            f"{ranked} judges no record of {folder / RECORDS}; remedy: the report of that folder's study"
        )
    return choices


def _choice(where: str, row: dict[str, Any], chosen: int | None) -> Choice:
    emotion, source = row.get("emotion"), row.get("source")
    target = MIKELS.get(emotion, emotion) if isinstance(emotion, str) else None
    if target not in MIKELS_EIGHT:
        raise DatasetError(f"{where}: emotion = {str(emotion)[:40]!r} is none of {', '.join(MIKELS_EIGHT)}")
    candidates = row.get("candidates")
    if not isinstance(candidates, list) or not all(isinstance(one, dict) for one in candidates):
        raise DatasetError(f"{where}: candidates is no list of file and text")
    files, texts = ([one.get(name) for one in candidates] for name in ("file", "text"))
    for name in (source, *files):
        if not isinstance(name, str) or not is_inner_path(name):
            raise DatasetError(f"{where}: {str(name)[:120]!r} leads out of the folder")
    if not all(isinstance(text, str) for text in texts):
        raise DatasetError(f"{where}: a candidate's text is no text")
    if chosen is not None and not 0 <= chosen < len(files):
        raise DatasetError(f"{where}: candidate {chosen} was chosen of {len(files)}; remedy: the study of this folder")
    return Choice(
        key=row["key"], source=str(source), group=str(row.get("group") or source), emotion=str(target),
        files=tuple(files), texts=tuple(texts), chosen=chosen,
    )  # fmt: skip


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each line stands, and what it holds."""
    try:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            row = json.loads(line)
            if not isinstance(row, dict) or not isinstance(row.get("key"), str):
                raise DatasetError(f"{path}, line {number}: no record with a key")
            yield f"{path}, line {number}", row
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as JSON lines: {error}") from None
