"""Run by the Python that has Label Studio's SDK: checks a folder's config and tasks, and prints an export of them.

Two annotators answer each task as the SDK's own sample does. Every check is an assertion; the SDK must also refuse a
task that lacks a text, and an answer that the configuration does not offer.
"""

import copy
import json
import sys
from pathlib import Path

from label_studio_sdk.label_interface import LabelInterface  # type: ignore[import-not-found]


def main(folder: Path) -> None:
    interface = LabelInterface((folder / "config.xml").read_text("utf-8"))
    interface.validate()
    tasks = json.loads((folder / "tasks.json").read_text("utf-8"))
    for number, task in enumerate(tasks, 1):
        assert interface.validate_task({"id": number, **task}), task
        task["id"] = number
        task["annotations"] = []
        for annotator in (1, 2):
            annotation = interface.generate_sample_annotation()
            assert interface.validate_annotation(annotation), annotation
            fields = {"id": 10 * number + annotator, "completed_by": annotator, "lead_time": 30.5}
            task["annotations"].append(annotation | fields | {"created_at": "2026-11-21T10:00:00.000000Z"})
    _must_refuse(interface, tasks[0])
    print(json.dumps(tasks))


def _must_refuse(interface: LabelInterface, task: dict[str, dict[str, object]]) -> None:
    lacking = {"id": 1, "data": {name: value for name, value in task["data"].items() if name != "left"}}
    assert not interface.validate_task(lacking)
    other = copy.deepcopy(interface.generate_sample_annotation())
    other["result"][0]["value"]["choices"] = ["no such answer"]
    assert not interface.validate_annotation(other)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
