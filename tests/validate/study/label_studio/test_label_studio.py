"""Label Studio: its own SDK accepts config and tasks, and what it exports imports."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from tests.validate.study.archives import study_archive
from validate.study.answers.importing import import_answers
from validate.study.answers.table import read_table
from validate.study.design.items import read_items
from validate.study.design.order import generated_first
from validate.study.design.pictures import find_pictures
from validate.study.design.study import CAPTIONS, read_design
from validate.study.label_studio.files import LABEL_STUDIO_FOLDER, write_label_studio
from validate.study.label_studio.results import read_label_studio_rows
from validate.study.sampling.gold import select_asked
from validate.study.sampling.sample import SampleOptions, sample

PYTHON_VARIABLE = "MOODARCHIVE_LABEL_STUDIO_PYTHON"
SDK = "label_studio_sdk"


@pytest.fixture
def written(store: Store) -> Store:
    study_archive(store, images=32, hostile=True)
    sample(store, SampleOptions(n=6, heldout=0, workers=2, gold=0.1, seed=5))
    items = read_items(store)
    pictures = find_pictures(store, {one.key for one in items})
    write_label_studio(store, read_design(store, CAPTIONS), select_asked(items, pictures), pictures, "")
    return store


def _sdk_python() -> str:
    named = os.environ.get(PYTHON_VARIABLE) or (sys.executable if find_spec(SDK) else "")
    if not named:
        pytest.skip(f"no {SDK}: install it into an environment of its own and name its Python in {PYTHON_VARIABLE}")
    return named


@pytest.mark.label_studio
def test_label_studios_own_sdk_accepts_config_and_tasks_and_its_export_imports(written: Store, tmp_path: Path) -> None:
    script = Path(__file__).with_name("sdk_annotators.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [_sdk_python(), str(script), written.path(LABEL_STUDIO_FOLDER)],
        capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tasks = json.loads(done.stdout)
    (tmp_path / "export.json").write_text(done.stdout)
    design = read_design(written, CAPTIONS)
    asked = [task["data"]["item"] for task in tasks]
    result = import_answers(
        written, design, "label-studio", read_label_studio_rows(str(tmp_path / "export.json"), design), asked
    )
    assert result.counts["accepted"] == 2 * len(tasks) and not result.faults
    kept = {(row["item"], row["assignment"]): row for row in read_table(written, CAPTIONS).to_pylist()}
    for task in tasks:
        for annotation in task["annotations"]:
            row = kept[task["data"]["item"], f"annotation-{annotation['id']}"]
            said = {region["from_name"]: region["value"] for region in annotation["result"]}
            left = generated_first(design.seed, task["data"]["item"])
            expected = {"left": "generated" if left else "original", "right": "original" if left else "generated"}
            assert row["choice"] == expected.get(said["choice"]["choices"][0], "neither")
            assert row["summary"] == (said["summary"]["choices"][0] == "accurate")
            assert row["submitted"] - row["began"] == 30.5


def _annotation(**changes: object) -> dict[str, Any]:
    names = ("summary", "stimulus_1", "stimulus_2", "stimulus_3", "assessment")
    result = [{"from_name": "choice", "value": {"choices": ["neither"]}}]
    result += [{"from_name": name, "value": {"choices": ["accurate"]}} for name in names]
    return {"id": 1, "completed_by": {"id": 7}, "created_at": "2026-11-21T10:00:00Z", "result": result, **changes}


def test_damaged_cancelled_and_foreign_annotations_are_named(written: Store, tmp_path: Path) -> None:
    design = read_design(written, CAPTIONS)
    item = next(one.item for one in read_items(written) if not one.gold)
    tasks: list[Any] = [
        {"data": {"item": item}, "annotations": [_annotation(), _annotation(id=2, was_cancelled=True), "odd"]},
        {"data": {"item": item}, "annotations": [_annotation(id=3, completed_by=8, result=[{"value": 3}, None])]},
        {"data": {"item": item}, "annotations": [_annotation(id=4, completed_by=None)]},
        {"data": {"item": item}, "annotations": [_annotation(id=5, completed_by=9, created_at="soon")]},
        {"data": {"item": "elsewhere"}, "annotations": [_annotation(id=6)]},
        {"data": None},
        "text",
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    rows = read_label_studio_rows(str(tmp_path / "export.json"), design)
    done = import_answers(written, design, "label-studio", rows, [item])
    assert dict(done.counts) == {
        "accepted": 1, "already imported": 0, "malformed": 6, "foreign": 1, "late": 0, "duplicate": 0, "missing": 1,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["{", "{}", "\x00"])
def test_a_file_that_is_no_export_is_refused(written: Store, tmp_path: Path, text: str) -> None:
    (tmp_path / "export.json").write_text(text)
    with pytest.raises(StudyError, match=r"export\.json"):
        read_label_studio_rows(str(tmp_path / "export.json"), read_design(written, CAPTIONS))
