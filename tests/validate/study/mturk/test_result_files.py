"""Batch results as they reach us: by the website, by pandas, by a spreadsheet, by the API."""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from tests.validate.study.archives import study_archive
from validate.study.answers.importing import Imported, ImportRules, RawAnswer, import_answers
from validate.study.answers.table import read_table
from validate.study.design.items import read_items
from validate.study.design.order import generated_first
from validate.study.design.study import CAPTIONS, read_design
from validate.study.mturk.results import read_api_rows, read_csv_rows
from validate.study.sampling.sample import SampleOptions, sample

ANSWERS = "{http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2005-10-01/QuestionFormAnswers.xsd}"
LINE_ENDS = {"NEL": "\x85", "LS": "\u2028", "PS": "\u2029", "FF": "\f", "VT": "\v", "FS": "\x1c", "GS": "\x1d",
             "RS": "\x1e"}  # fmt: skip
"""What str.splitlines takes for the end of a line, and CSV does not."""


@pytest.fixture
def drawn(store: Store) -> Store:
    study_archive(store, images=32)
    sample(store, SampleOptions(n=6, heldout=0, workers=2, gold=0, seed=5))
    return store


def _row(store: Store, number: int = 0, worker: str = "W1", **changes: str) -> dict[str, str]:
    item = [one.item for one in read_items(store)][number]
    first = "first" if generated_first(read_design(store, CAPTIONS).seed, item) else "second"
    return {
        "HITId": f"HIT-{number}", "Title": "Which text?", "AssignmentId": f"A-{number}-{worker}", "WorkerId": worker,
        "AssignmentStatus": "Submitted", "AcceptTime": "Sat Nov 21 09:00:00 PST 2026",
        "SubmitTime": "Sat Nov 21 09:01:10 PST 2026", "Input.item": item, "Input.first": "One, two; three.",
        **{f"Answer.c{one}": "yes" for one in range(1, 6)}, "Answer.choice": first, "Answer.comment": "fine",
        "Answer.flipped": "0", "Answer.reason": "none",
    } | {name.replace("_", "."): value for name, value in changes.items()}  # fmt: skip


def _text(rows: list[dict[str, str]], separator: str = ",", quoting: int = csv.QUOTE_ALL, end: str = "\n") -> str:
    sink = io.StringIO(newline="")
    writer = csv.DictWriter(sink, list(rows[0]), delimiter=separator, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue()


def _take(store: Store, path: Path, content: bytes, **rules: bool) -> Imported:
    path.write_bytes(content)
    return _import(store, "mturk", read_csv_rows(str(path), read_design(store, CAPTIONS)), **rules)


def _import(store: Store, channel: str, rows: Any, **rules: bool) -> Imported:
    items = [one.item for one in read_items(store)]
    return import_answers(store, read_design(store, CAPTIONS), channel, rows, items, rules=ImportRules(**rules))


def _counts(done: Imported) -> dict[str, int]:
    return {kind: count for kind, count in done.counts.items() if count and kind != "missing"}


@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
@pytest.mark.parametrize("name", LINE_ENDS)
def test_only_csv_itself_ends_a_row(drawn: Store, tmp_path: Path, name: str, quoting: int) -> None:
    comment = f"before{LINE_ENDS[name]}after"
    rows = [_row(drawn, 0, Answer_comment=comment), _row(drawn, 1)]
    done = _take(drawn, tmp_path / "batch.csv", _text(rows, quoting=quoting).encode())
    assert _counts(done) == {"accepted": 2}
    assert comment in read_table(drawn, CAPTIONS)["comment"].to_pylist()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_marks_and_line_ends_of_spreadsheets_are_read(
    drawn: Store, tmp_path: Path, separator: str, encoding: str, end: str
) -> None:
    rows = [_row(drawn, number, Answer_comment="naïve; and, so\non") for number in range(3)]
    done = _take(drawn, tmp_path / "batch.csv", _text(rows, separator, end=end).encode(encoding))
    assert _counts(done) == {"accepted": 3}
    assert set(read_table(drawn, CAPTIONS)["comment"].to_pylist()) == {"naïve; and, so\non"}


def test_a_line_that_names_the_separator_is_skipped(drawn: Store, tmp_path: Path) -> None:
    text = "sep=;\r\n" + _text([_row(drawn), {**_row(drawn, 1), "Answer.choice": "?"}], ";", end="\r\n")
    done = _take(drawn, tmp_path / "batch.csv", text.encode())
    assert _counts(done) == {"accepted": 1, "malformed": 1}
    assert done.faults[0].where == f"{tmp_path}/batch.csv line 4"


@pytest.mark.parametrize(
    "time",
    ["11/21/2026 9:01", "21.11.2026 09:01", "21.11.2026 09:01:10", "2026/11/21 9:01", "21/11/2026, 09:01",
     "11/21/2026 9:01 AM", "21-11-26 9.01", "46347.37581", "46347,37581"],
)  # fmt: skip
@pytest.mark.parametrize("column", ["AcceptTime", "SubmitTime"])
def test_times_that_a_spreadsheet_wrote_are_refused_with_cause_and_remedy_and_nothing_is_imported(
    drawn: Store, tmp_path: Path, time: str, column: str
) -> None:
    text = _text([_row(drawn, 0), {**_row(drawn, 1), column: time}])
    with pytest.raises(StudyError, match=r"line 3: a spreadsheet .*; remedy: import the file as MTurk gave it"):
        _take(drawn, tmp_path / "batch.csv", text.encode())
    assert read_table(drawn, CAPTIONS).num_rows == 0


def test_a_file_in_another_encoding_is_refused_before_it_garbles_a_comment(drawn: Store, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="not UTF-8; remedy"):
        _take(drawn, tmp_path / "batch.csv", _text([_row(drawn, Answer_comment="naïve")]).encode("latin-1"))


def test_a_row_of_another_length_is_malformed_and_the_others_come_in(drawn: Store, tmp_path: Path) -> None:
    lines = _text([_row(drawn, number) for number in range(4)]).splitlines()
    lines[2] += ',"one more"'
    lines[3] = lines[3].rsplit(",", 2)[0]
    done = _take(drawn, tmp_path / "batch.csv", "\n".join(lines).encode())
    assert _counts(done) == {"accepted": 2, "malformed": 2}
    assert all("another number than the heading has" in fault.detail for fault in done.faults[:2])


@pytest.mark.parametrize("status", ["Rejected", "rejected", " REJECTED "])
def test_a_rejected_assignment_does_not_count_unless_asked_the_same_by_file_and_by_api(
    drawn: Store, tmp_path: Path, status: str
) -> None:
    rows = [_row(drawn, 0, "W1", AssignmentStatus="Approved"), _row(drawn, 0, "W2", AssignmentStatus=status)]
    path, content = tmp_path / "batch.csv", _text(rows).encode()
    assert _counts(_take(drawn, path, content)) == {"accepted": 1, "rejected": 1}
    assert _counts(_import(drawn, "mturk-api", _by_api(drawn, rows))) == {"already imported": 1, "rejected": 1}
    assert _counts(_take(drawn, path, content, count_rejected=True)) == {"accepted": 1, "already imported": 1}
    assert _counts(_import(drawn, "mturk-api", _by_api(drawn, rows), count_rejected=True)) == {"already imported": 2}
    # rejected after it was imported
    assert _counts(_import(drawn, "mturk-api", _by_api(drawn, rows))) == {"already imported": 1, "rejected": 1}
    assert read_table(drawn, CAPTIONS).num_rows == 1


def _by_api(store: Store, rows: list[dict[str, str]]) -> list[RawAnswer]:
    class Client:
        def list_assignments_for_hit(self, **_: object) -> dict[str, Any]:
            return {"Assignments": [_assignment(row) for row in rows]}

    return list(read_api_rows(Client(), {rows[0]["Input.item"]: "HIT"}, read_design(store, CAPTIONS)))


def _assignment(row: dict[str, str]) -> dict[str, Any]:
    root = ElementTree.Element(f"{ANSWERS}QuestionFormAnswers")
    for name, value in row.items():
        if name.startswith("Answer."):
            answer = ElementTree.SubElement(root, f"{ANSWERS}Answer")
            ElementTree.SubElement(answer, f"{ANSWERS}QuestionIdentifier").text = name.removeprefix("Answer.")
            ElementTree.SubElement(answer, f"{ANSWERS}FreeText").text = value
    return {
        "AssignmentId": row["AssignmentId"], "WorkerId": row["WorkerId"], "AssignmentStatus": row["AssignmentStatus"],
        "Answer": ElementTree.tostring(root, encoding="unicode"),
        "AcceptTime": datetime(2026, 11, 21, 17, tzinfo=UTC),
        "SubmitTime": datetime(2026, 11, 21, 17, 1, 10, tzinfo=UTC),
    }  # fmt: skip
