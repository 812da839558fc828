"""The study for Label Studio: a labelling configuration, tasks, and its export as rows to import."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from validate.study.design import CAPTIONS, StudyDesign, folder
from validate.study.importing import RawAnswer
from validate.study.items import Item
from validate.study.mturk.files import write_pictures
from validate.study.order import generated_first
from validate.study.pictures import Pictures
from validate.study.questions import COMPONENTS, GENERATED, NEITHER, ORIGINAL, REASONS

LABEL_STUDIO_FOLDER = f"{folder(CAPTIONS)}/label-studio"
LOCAL_PICTURES = "/data/local-files/?d=pictures"
"""Where Label Studio serves a folder of its own machine from."""


def config() -> str:
    """The labelling configuration (XML)."""
    lines = [
        "<View>",
        '  <Image name="picture" value="$picture" zoom="true"/>',
        '  <Text name="credit" value="$credit"/>',
        '  <Header value="Which text describes the picture better?"/>',
        '  <Text name="left" value="$left"/>',
        '  <Text name="right" value="$right"/>',
        '  <Choices name="choice" toName="picture" choice="single-radio" required="true">',
        *(f'    <Choice value="{name}" hotkey="{key}"/>' for key, name in enumerate(("left", "right", NEITHER), 1)),
        "  </Choices>",
        '  <View visibleWhen="choice-selected" whenTagName="choice">',
        '  <Header value="Is each sentence accurate?"/>',
    ]
    for place, name in enumerate(COMPONENTS):
        lines += [
            f'  <Text name="{name}_text" value="$sentence_{place + 1}"/>',
            f'  <Choices name="{name}" toName="{name}_text" choice="single-radio" required="true">',
            '    <Choice value="accurate"/>',
            '    <Choice value="not accurate"/>',
            "  </Choices>",
        ]
    lines += ['  <Header value="If something is wrong: what?"/>']
    lines += ['  <Choices name="reason" toName="picture" choice="single-radio">']
    lines += [f"    <Choice value={quoteattr(name)} alias={quoteattr(name)}/>" for name in REASONS]
    lines += ["  </Choices>", '  <TextArea name="comment" toName="picture" rows="2" maxSubmissions="1"/>']
    return "\n".join([*lines, "  </View>", "</View>", ""])


def task(design: StudyDesign, item: Item, pictures_url: str) -> dict[str, Any]:
    """One task; which text is left is drawn by lot for each item, since a task looks the same to all annotators."""
    both = (item.caption, item.original)
    left, right = both if generated_first(design.seed, item.item) else reversed(both)
    data = {
        "item": item.item,
        "picture": f"{pictures_url.rstrip('/')}/{item.item}.jpg",
        "credit": f"Picture: {item.creator or 'creator not named'}, {item.licence}",
        "left": left,
        "right": right,
        **{f"sentence_{place + 1}": sentence for place, sentence in enumerate(item.sentences)},
    }
    return {"data": data}


def write_label_studio(
    store: Store, design: StudyDesign, items: Sequence[Item], pictures: Pictures, pictures_url: str
) -> str:
    """Writes config.xml, tasks.json and pictures/; returns the folder."""
    tasks = [task(design, item, pictures_url or LOCAL_PICTURES) for item in items]
    store.write_bytes(f"{LABEL_STUDIO_FOLDER}/config.xml", config().encode())
    text = json.dumps(tasks, indent=1, ensure_ascii=False) + "\n"
    store.write_bytes(f"{LABEL_STUDIO_FOLDER}/tasks.json", text.encode())
    write_pictures(store, LABEL_STUDIO_FOLDER, items, pictures)
    return LABEL_STUDIO_FOLDER


def label_studio_rows(path: str, design: StudyDesign) -> Iterator[RawAnswer]:
    """The annotations of Label Studio's JSON export; StudyError when the file is none."""
    try:
        tasks = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(tasks, list):
        raise StudyError(f"{path} is no export; remedy: export the project as JSON (not JSON-MIN)")
    return _rows(path, tasks, design)


def _rows(path: str, tasks: Sequence[Any], design: StudyDesign) -> Iterator[RawAnswer]:
    for number, one in enumerate(tasks, 1):
        where = f"{path} task {number}"
        if not isinstance(one, dict) or not isinstance(one.get("data"), dict):
            yield RawAnswer(where=where, problem="task without data")
            continue
        for annotation in one.get("annotations") or []:
            if not isinstance(annotation, dict):
                yield RawAnswer(where=where, problem="annotation")
            elif not annotation.get("was_cancelled"):
                named = f"{where} annotation {annotation.get('id')}"
                yield _of_annotation(named, str(one["data"].get("item") or ""), annotation, design)


def _of_annotation(where: str, item: str, annotation: Mapping[str, Any], design: StudyDesign) -> RawAnswer:
    said = _said(annotation.get("result"))
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
    )


def _said(result: object) -> dict[str, str]:
    """Name of the control → what was chosen or written; damaged regions are left out."""
    found: dict[str, str] = {}
    for region in result if isinstance(result, list) else []:
        value = region.get("value") if isinstance(region, dict) else None
        chosen = (value.get("choices") or value.get("text")) if isinstance(value, dict) else None
        if isinstance(chosen, list) and chosen and isinstance(chosen[0], str):
            found[str(region.get("from_name"))] = chosen[0]
    return found


def _worker(value: object) -> str:
    """The annotator: a number, or an object with one."""
    told = value.get("id") if isinstance(value, dict) else value
    return f"label-studio-{told}" if isinstance(told, int | str) and told != "" else ""


def _time(text: object) -> float | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
