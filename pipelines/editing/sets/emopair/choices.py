"""What people chose among candidates: the folder of a ranking study, joined to the study's ranked.jsonl."""

from dataclasses import dataclass
from pathlib import Path

from moodarchive.emotions.taxonomy import MIKELS, MIKELS_EIGHT
from moodarchive.errors import DatasetError
from moodarchive.storage.inner_path import is_inner_path
from moodarchive.tables.keyed_lines import read_keyed_lines
from validate.study.design.study import RANKING
from validate.study.records.items import FILES, Ranking, read_rankings

RECORDS = FILES[RANKING]


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
    """The records that people have judged, in the folder's order; DatasetError or StudyError names a bad line."""
    chosen = {}
    for where, row in read_keyed_lines(ranked):
        best = row.get("best")
        if best is not None and (not isinstance(best, int) or isinstance(best, bool)):
            raise DatasetError(f"{where}: best = {str(best)[:40]!r} is neither a candidate's number nor null")
        chosen[row["key"]] = best
    choices = [
        _choice(where, ranking, chosen[ranking.key])
        for where, ranking in read_rankings(folder / RECORDS)
        if ranking.key in chosen
    ]
    if not choices:
        raise DatasetError(
            f"{ranked} judges no record of {folder / RECORDS}; remedy: the report of that folder's study"
        )
    return choices


def _choice(where: str, ranking: Ranking, chosen: int | None) -> Choice:
    target = MIKELS.get(ranking.emotion, ranking.emotion)
    if target not in MIKELS_EIGHT:
        raise DatasetError(f"{where}: emotion = {ranking.emotion[:40]!r} is none of {', '.join(MIKELS_EIGHT)}")
    for name in (ranking.source, *ranking.files):
        if not is_inner_path(name):
            raise DatasetError(f"{where}: {name[:120]!r} leads out of the folder")
    count = len(ranking.files)
    if chosen is not None and not 0 <= chosen < count:
        raise DatasetError(f"{where}: candidate {chosen} was chosen of {count}; remedy: the study of this folder")
    return Choice(
        key=ranking.key, source=ranking.source, group=ranking.group or ranking.source, emotion=target,
        files=ranking.files, texts=ranking.texts, chosen=chosen,
    )  # fmt: skip
