"""Label Studio's JSON export, as rows to import."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moodarchive.errors import StudyError
from validate.study.answers.importing import RawAnswer
from validate.study.design.order import generated_first
from validate.study.design.questions import COMPONENTS, GENERATED, NEITHER, ORIGINAL
from validate.study.design.study import StudyDesign

_MINIMAL = {"annotation_id", "annotator"}
"""Names that only JSON-MIN has."""


def read_label_studio_rows(path: str, design: StudyDesign) -> Iterator[RawAnswer]:
    """The annotations of Label Studio's JSON export; StudyError when the file is none."""
    try:
        # bytes: the reader tells UTF-8, UTF-16 and their marks apart
        export = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise StudyError(f"{path} cannot be read as JSON: {error}; remedy: export the project as JSON") from None
    if isinstance(export, dict) and isinstance(export.get("tasks"), list):
        export = export["tasks"]
    if not isinstance(export, list):
        raise StudyError(f"{path} is no export; remedy: export the project as JSON (not JSON-MIN)")
    if any(isinstance(one, dict) and "data" not in one and _MINIMAL & one.keys() for one in export):
        raise StudyError(f"{path} is an export as JSON-MIN, which leaves out what is needed; remedy: export as JSON")
    if any(isinstance(one, dict) and "annotations" not in one and "completions" in one for one in export):
        raise StudyError(
            f"{path} is an export of a Label Studio before 1.0, which calls annotations completions; "
            "remedy: export from 1.0 or later"
        )
    return _rows(path, export, design)


def _rows(path: str, tasks: Sequence[Any], design: StudyDesign) -> Iterator[RawAnswer]:
    for number, task in enumerate(tasks, 1):
        where = f"{path} task {number}"
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            yield RawAnswer(where=where, problem="task without data")
            continue
        annotations = task.get("annotations") or []
        if not isinstance(annotations, list):
            yield RawAnswer(where=where, problem="annotations")
            continue
        for annotation in annotations:
            if not isinstance(annotation, dict):
                yield RawAnswer(where=where, problem="annotation")
            elif not annotation.get("was_cancelled"):
                named = f"{where} annotation {annotation.get('id')}"
                yield _parse_annotation(named, str(task["data"].get("item") or ""), annotation, design)


def _parse_annotation(where: str, item: str, annotation: Mapping[str, Any], design: StudyDesign) -> RawAnswer:
    said = _read_controls(annotation.get("result"))
    left = generated_first(design.seed, item)
    meant = {"left": GENERATED if left else ORIGINAL, "right": ORIGINAL if left else GENERATED, NEITHER: NEITHER}
    says = {"accurate": True, "not accurate": False}
    submitted = _time(annotation.get("created_at"))
    took = annotation.get("lead_time")
    if submitted is None:
        return RawAnswer(where=where, problem="time")
    choice, accurate = meant.get(said.get("choice", ""), ""), tuple(says.get(said.get(name, "")) for name in COMPONENTS)
    accepted = choice == GENERATED and all(accurate)
    return RawAnswer(
        where=where,
        item=item,
        worker=_worker(annotation.get("completed_by")),
        assignment=f"annotation-{annotation.get('id')}",
        left=left,
        choice=choice,
        accurate=accurate,
        reason="" if accepted else said.get("reason", "other"),
        comment=said.get("comment", ""),
        began=submitted - (took if isinstance(took, int | float) and 0 <= took < 1e6 else 0.0),
        submitted=submitted,
        edited=_time(annotation.get("updated_at")) or submitted,
        rejected=_is_rejected(annotation),
        reference=annotation.get("ground_truth") is True,
    )


def _is_rejected(annotation: Mapping[str, Any]) -> bool:
    """The reviewer refused it and nobody mended it since: says the last action, or else the last review."""
    last = annotation.get("last_action")
    if isinstance(last, str) and last:
        return last == "rejected"
    reviews = annotation.get("reviews")
    known = [one for one in reviews if isinstance(one, dict)] if isinstance(reviews, list) else []
    latest = max(known, key=lambda one: str(one.get("created_at") or ""), default=None)
    return latest is not None and latest.get("accepted") is False


def _read_controls(result: object) -> dict[str, str]:
    """Name of the control → what was chosen or written; damaged regions are left out."""
    values: dict[str, str] = {}
    for region in result if isinstance(result, list) else []:
        value = region.get("value") if isinstance(region, dict) else None
        chosen = (value.get("choices") or value.get("text")) if isinstance(value, dict) else None
        if isinstance(chosen, list) and chosen and isinstance(chosen[0], str):
            values[str(region.get("from_name"))] = chosen[0]
    return values


def _worker(value: object) -> str:
    """The annotator: a number, or an object with one."""
    name = value.get("id") if isinstance(value, dict) else value
    return f"label-studio-{name}" if isinstance(name, int | str) and name != "" else ""


def _time(text: object) -> float | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
