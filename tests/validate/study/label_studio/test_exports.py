"""Label Studio's exports as projects give them: who annotated, what a reviewer said, what was changed, which format."""

import json
from pathlib import Path
from typing import Any

import pytest

from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from tests.validate.study.archives import study_archive
from validate.study.answers.importing import Imported, ImportRules, import_answers
from validate.study.answers.table import read_references, read_table
from validate.study.design.items import read_items
from validate.study.design.questions import COMPONENTS
from validate.study.design.study import CAPTIONS, read_design
from validate.study.label_studio.results import read_label_studio_rows
from validate.study.sampling.sample import SampleOptions, sample


@pytest.fixture
def drawn(store: Store) -> Store:
    study_archive(store, images=32)
    sample(store, SampleOptions(n=6, heldout=0, workers=2, gold=0, seed=5))
    return store


def _annotation(number: int = 11, choice: str = "left", **changes: object) -> dict[str, Any]:
    result = [{"from_name": "choice", "type": "choices", "value": {"choices": [choice]}}]
    result += [{"from_name": name, "type": "choices", "value": {"choices": ["accurate"]}} for name in COMPONENTS]
    return {
        "id": number, "completed_by": number, "result": result, "was_cancelled": False, "ground_truth": False,
        "created_at": "2026-11-21T09:00:00.123456Z", "updated_at": "2026-11-21T09:00:05.000000Z", "lead_time": 12.5,
        "last_action": None, **changes,
    }  # fmt: skip


def _task(item: object, *annotations: dict[str, Any], **changes: object) -> dict[str, Any]:
    return {
        "id": 1,
        "annotations": list(annotations),
        "drafts": [],
        "predictions": [],
        "data": {"item": item},
        **changes,
    }


def _item(store: Store) -> str:
    return read_items(store)[0].item


def _take(store: Store, path: Path, export: object, encoding: str = "utf-8") -> Imported:
    path.write_bytes(json.dumps(export).encode(encoding))
    design = read_design(store, CAPTIONS)
    items = [one.item for one in read_items(store)]
    rows = read_label_studio_rows(str(path), design)
    return import_answers(store, design, "label-studio", rows, items, rules=ImportRules(edits=True))


def _counts(done: Imported) -> dict[str, int]:
    return {kind: count for kind, count in done.counts.items() if count and kind != "missing"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_an_export_is_read_with_or_without_a_byte_order_mark(drawn: Store, tmp_path: Path, encoding: str) -> None:
    export = [_task(_item(drawn), _annotation(11), _annotation(12))]
    assert _counts(_take(drawn, tmp_path / "export.json", export, encoding)) == {"accepted": 2}


@pytest.mark.parametrize(
    "annotator",
    [7, "someone@example.org", {"id": 7, "email": "someone@example.org", "first_name": "Someone"}],
)
def test_an_annotator_is_a_number_a_name_or_an_object_and_no_address_reaches_the_archive(
    drawn: Store, tmp_path: Path, annotator: object
) -> None:
    export = [_task(_item(drawn), _annotation(11, completed_by=annotator))]
    assert _counts(_take(drawn, tmp_path / "export.json", export)) == {"accepted": 1}
    for path in drawn.files():
        assert b"example.org" not in drawn.read_bytes(path) and b"Someone" not in drawn.read_bytes(path), path


def test_only_submitted_annotations_are_answers(drawn: Store, tmp_path: Path) -> None:
    item, full = _item(drawn), _annotation(1)["result"]
    exports: list[tuple[dict[str, Any], dict[str, int]]] = [
        (_task(item, _annotation(11, was_cancelled=True, result=[]), _annotation(12)), {"accepted": 1}),
        (_task(item, drafts=[{"id": 1, "result": full}]), {}),
        (_task(item, predictions=[{"id": 1, "result": full}]), {}),
        (_task(item, _annotation(13, result=[])), {"malformed": 1}),
        (_task(10_000, _annotation(14)), {"foreign": 1}),
        (_task(item, annotations={}), {}),
        (_task(item, annotations="none"), {"malformed": 1}),
    ]
    for export, expected in exports:
        assert _counts(_take(drawn, tmp_path / "export.json", [export])) == expected


@pytest.mark.parametrize(
    ("said", "rejected"),
    [
        ({"last_action": "rejected"}, True),
        ({"last_action": None, "reviews": [{"accepted": False}]}, True),
        ({"reviews": [{"accepted": True, "created_at": "2026-11-21T10:00:00Z"},
                      {"accepted": False, "created_at": "2026-11-21T11:00:00Z"}]}, True),
        ({"reviews": [{"accepted": False, "created_at": "2026-11-21T10:00:00Z"},
                      {"accepted": True, "created_at": "2026-11-21T11:00:00Z"}]}, False),
        ({"last_action": "fixed_and_accepted", "reviews": [{"accepted": False}]}, False),
        ({"last_action": "updated", "reviews": [{"accepted": False}]}, False),
        ({"last_action": "submitted", "reviews": []}, False),
        ({"reviews": ["odd", None]}, False),
        ({"reviews": "odd"}, False),
    ],
)  # fmt: skip
def test_what_a_reviewer_rejected_does_not_count_unless_it_was_mended_since(
    drawn: Store, tmp_path: Path, said: dict[str, Any], rejected: bool
) -> None:
    done = _take(drawn, tmp_path / "export.json", [_task(_item(drawn), _annotation(11, **said))])
    assert _counts(done) == ({"rejected": 1} if rejected else {"accepted": 1})


def test_ground_truth_is_a_reference_and_no_answer(drawn: Store, tmp_path: Path) -> None:
    export = [_task(_item(drawn), _annotation(11, ground_truth=True), _annotation(12))]
    done = _take(drawn, tmp_path / "export.json", export)
    assert _counts(done) == {"accepted": 1, "ground truth": 1}
    assert read_table(drawn, CAPTIONS).num_rows == read_references(drawn, CAPTIONS).num_rows == 1
    assert _counts(_take(drawn, tmp_path / "export.json", export)) == {"already imported": 2}


def test_a_changed_annotation_takes_the_older_ones_place(drawn: Store, tmp_path: Path) -> None:
    old = [_task(_item(drawn), _annotation(11, "left"))]
    new = [_task(_item(drawn), _annotation(11, "neither", updated_at="2026-11-22T09:00:00Z"))]
    assert _counts(_take(drawn, tmp_path / "export.json", old)) == {"accepted": 1}
    assert _counts(_take(drawn, tmp_path / "export.json", new)) == {"replaced": 1}
    assert _counts(_take(drawn, tmp_path / "export.json", old)) == {"already imported": 1}
    assert read_table(drawn, CAPTIONS)["choice"].to_pylist() == ["neither"]


def test_a_list_of_tasks_inside_an_object_is_read(drawn: Store, tmp_path: Path) -> None:
    export = {"tasks": [_task(_item(drawn), _annotation())], "total": 1}
    assert _counts(_take(drawn, tmp_path / "export.json", export)) == {"accepted": 1}


def test_an_export_of_before_1_0_is_refused_and_not_taken_for_one_without_answers(drawn: Store, tmp_path: Path) -> None:
    old = {"id": 1, "completions": [_annotation()], "predictions": [], "data": {"item": _item(drawn)}}
    with pytest.raises(StudyError, match=r"before 1.0, which calls annotations completions; remedy: export from 1.0"):
        _take(drawn, tmp_path / "export.json", [old])


@pytest.mark.parametrize("shape", ["alone", "beside"])
def test_json_min_is_named_and_refused_as_a_whole(drawn: Store, tmp_path: Path, shape: str) -> None:
    item = _item(drawn)
    minimal = {"id": 1, "item": item, "choice": "left", **dict.fromkeys(COMPONENTS, "accurate"), "annotator": 1,
               "annotation_id": 11, "created_at": "2026-11-21T09:00:00Z"}  # fmt: skip
    export = [minimal] if shape == "alone" else [_task(item, _annotation()), minimal]
    with pytest.raises(StudyError, match=r"JSON-MIN.*remedy: export as JSON"):
        _take(drawn, tmp_path / "export.json", export)
    assert read_table(drawn, CAPTIONS).num_rows == 0


@pytest.mark.parametrize("content", [b"", b"item,choice\n1,left\n", b'{"a": 1}\n{"a": 2}\n', b"[" * 100_000, b"\xff"])
def test_other_formats_are_refused_with_the_remedy(drawn: Store, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "export.json").write_bytes(content)
    with pytest.raises(StudyError, match=r"export\.json .*remedy: export the project as JSON"):
        read_label_studio_rows(str(tmp_path / "export.json"), read_design(drawn, CAPTIONS))
