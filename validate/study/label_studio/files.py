"""The files for Label Studio: a labelling configuration, tasks, pictures."""

import json
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from moodarchive.storage.store import Store
from validate.study.design.items import Item
from validate.study.design.order import generated_first
from validate.study.design.pictures import Pictures, export_pictures
from validate.study.design.questions import COMPONENTS, NEITHER, REASONS
from validate.study.design.study import CAPTIONS, StudyDesign, folder

LABEL_STUDIO_FOLDER = f"{folder(CAPTIONS)}/label-studio"
LOCAL_PICTURES = "/data/local-files/?d=pictures"
"""Where Label Studio serves a folder of its own machine from."""


def make_config() -> str:
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
    for number, name in enumerate(COMPONENTS, 1):
        lines += [
            f'  <Text name="{name}_text" value="$sentence_{number}"/>',
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


def make_task(design: StudyDesign, item: Item, pictures_url: str) -> dict[str, Any]:
    """One task; which text is left is drawn by lot for each item, since a task looks the same to all annotators."""
    both = (item.caption, item.original)
    left, right = both if generated_first(design.seed, item.item) else reversed(both)
    data = {
        "item": item.item,
        "picture": f"{pictures_url.rstrip('/')}/{item.item}.jpg",
        "credit": f"Picture: {item.creator or 'creator not named'}, {item.licence}",
        "left": left,
        "right": right,
        **{f"sentence_{number}": sentence for number, sentence in enumerate(item.sentences, 1)},
    }
    return {"data": data}


def write_label_studio(
    store: Store, design: StudyDesign, items: Sequence[Item], pictures: Pictures, pictures_url: str
) -> str:
    """Writes config.xml, tasks.json and pictures/; returns the folder."""
    tasks = [make_task(design, item, pictures_url or LOCAL_PICTURES) for item in items]
    store.write_bytes(f"{LABEL_STUDIO_FOLDER}/config.xml", make_config().encode())
    text = json.dumps(tasks, indent=1, ensure_ascii=False) + "\n"
    store.write_bytes(f"{LABEL_STUDIO_FOLDER}/tasks.json", text.encode())
    export_pictures(store, LABEL_STUDIO_FOLDER, items, pictures)
    return LABEL_STUDIO_FOLDER
