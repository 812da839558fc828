"""What becomes of marks, by an explicit step: a takedown list, or verdicts of one person in human_verdicts/."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import UnknownKeyError, UsageError
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import CAPTIONS, ITEMS, SELECTION
from moodarchive.tables.sql import PART, connect, view
from pipelines.browse.marks import GOOD, REJECT, TAKEDOWN, Mark
from validate.study.answers.table import Answer, as_table
from validate.study.design.items import Item
from validate.study.design.questions import GENERATED, NEITHER, Judgement
from validate.study.design.study import CAPTIONS as ABOUT_CAPTIONS
from validate.study.design.study import StudyDesign
from validate.study.sampling.frame import read_texts
from validate.study.statistics.study import Study
from validate.study.statistics.verdict import judge
from validate.study.verdicts.table import BROWSE, write_verdicts

_CELLS = """
SELECT d.key, d.part, d.source, c.model, k.emotion, k.context, coalesce(k.split, '') AS split
FROM items d JOIN captions c USING (key) JOIN selection k USING (key) JOIN marked USING (key)
WHERE c.status = 'ok' ORDER BY d.key
"""
_BROWSER = "browse"
"""The one annotator of the study that marks are."""
_ALL_ACCURATE = (True, True, True, True, True)


def write_takedown_list(marks: Iterable[Mark], path: str) -> int:
    """One key a line, as ``moodarchive takedown`` reads it; returns how many. UsageError where there is none."""
    keys = sorted(mark.key for mark in marks if mark.mark == TAKEDOWN)
    if not keys:
        raise UsageError("no picture is marked for a takedown; remedy: moodarchive browse, and t on a picture")
    try:
        Path(path).write_text("".join(f"{key}\n" for key in keys))
    except OSError as error:
        raise UsageError(f"the list {path} cannot be written: {error.strerror}; remedy: name another file") from None
    return len(keys)


def apply_verdicts(store: Store, marks: Iterable[Mark]) -> Iterator[str]:
    """Writes the marks good and reject as verdicts of one person, beside those of studies, which come first."""
    judged = {mark.key: mark for mark in marks if mark.mark in (GOOD, REJECT)}
    if not judged:
        raise UsageError("no picture is marked good or rejected; remedy: moodarchive browse, and g or r on a picture")
    with only_writer(store):
        study = _as_study(store, judged)
        if not study.items:
            raise UnknownKeyError(f"no marked picture of {store.root} has a caption to judge")
        count = write_verdicts(store, study, judge(study), by=BROWSE)
    without = len(judged) - len(study.items)
    yield f"verdicts from browse: {count} images in human_verdicts/" + (
        f"; {without} marked without a caption are left out" if without else ""
    )


def _as_study(store: Store, judged: dict[str, Mark]) -> Study:
    """The marks as a study with one annotator: good is the generated caption, rejected is neither text."""
    items = {item.item: item for item in _items(store, sorted(judged))}
    answers = [_as_answer(judged[key]) for key in sorted(items)]
    design = StudyDesign(
        kind=ABOUT_CAPTIONS, seed=0, n=len(items), heldout=0, workers=1, gold=0.0, strata=(), left_out={},
        batches=(len(items),),
    )  # fmt: skip
    return Study(design=design, items=items, table=as_table(answers), references=as_table([]))


def _as_answer(mark: Mark) -> Answer:
    choice, reason = (GENERATED, "") if mark.mark == GOOD else (NEITHER, mark.reason)
    judgement = Judgement(choice=choice, accurate=_ALL_ACCURATE, reason=reason, comment=mark.comment)
    return Answer(
        item=mark.key, worker=_BROWSER, channel=_BROWSER, assignment=mark.key, left=True, judgement=judgement,
        began=float(mark.at), submitted=float(mark.at),
    )  # fmt: skip


def _items(store: Store, keys: list[str]) -> Iterator[Item]:
    parts = sorted(finished_parts(store, SELECTION))
    with connect(store) as connection:
        view(connection, store, ITEMS, parts, f"*, {PART}")
        view(connection, store, CAPTIONS, parts, "key, model, status")
        view(connection, store, SELECTION, parts, "key, emotion, context, split")
        connection.register("marked", pa.table({"key": pa.array(keys, pa.string())}))
        rows = connection.sql(_CELLS).to_arrow_table().to_pylist()
    texts = read_texts(store, [row["key"] for row in rows])
    for row in rows:
        said: dict[str, Any] = texts[row["key"]]
        shown: dict[str, Any] = {name: value or "" for name, value in said.items() if name not in ("key", "stimuli")}
        stimuli = tuple(said["stimuli"])
        yield Item(
            item=row["key"], stratum="", population=len(rows), sampled=len(rows), batch=0, gold=False,
            stimuli=stimuli, **row, **shown,
        )  # fmt: skip
