"""What MTurk gives back, as rows to import: the website's batch results (CSV) or the API's assignments."""

import csv
import io
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from moodarchive.errors import StudyError
from validate.study.answers.importing import RawAnswer
from validate.study.design.order import generated_first
from validate.study.design.questions import COMPONENTS, GENERATED, NEITHER, ORIGINAL
from validate.study.design.study import StudyDesign

_ZONES = {"PST": -8, "PDT": -7, "UTC": 0, "GMT": 0}
_STATUSES = ["Submitted", "Approved", "Rejected"]
_WANTED = {"AssignmentId", "WorkerId", "SubmitTime", "Input.item", "Answer.choice"}
_SEPARATORS = (",", ";", "\t")
_UNEVEN = ""
"""Under this heading, which no file has, stands what is wrong with a row's length."""
_SPREADSHEET_TIME = re.compile(
    r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(,? +\d{1,2}[:.]\d{2}([:.]\d{2})?( ?[AaPp]\.?[Mm]\.?)?)?|\d{5}([.,]\d+)?"
)
"""A date as people write it, or a spreadsheet's number of days; it is asked only of what is no ISO date."""
_ANSWERS = "{http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2005-10-01/QuestionFormAnswers.xsd}"


def read_csv_rows(path: str, design: StudyDesign) -> Iterator[RawAnswer]:
    """The rows of a batch results file, also one that a spreadsheet saved with semicolons or tabs.

    StudyError when it is none, is not UTF-8, or holds times that a spreadsheet has written anew: they lack the time
    zone, and what else such a program changes (long numbers, names that look like dates) cannot be seen.
    """
    text = _read_text(path)
    rows = _split(text)
    if rows is None:
        raise StudyError(
            f"{path} is no file of batch results; remedy: it must have {', '.join(sorted(_WANTED))} in its first line, "
            "separated by commas, semicolons or tabs"
        )
    for line, row in rows:
        for name in ("AcceptTime", "SubmitTime"):
            value = str(row.get(name) or "").strip()
            if _time(value) is None and _SPREADSHEET_TIME.fullmatch(value):
                raise StudyError(
                    f"{path} line {line}: a spreadsheet has written {name} anew ({value}), without its time zone; "
                    "remedy: import the file as MTurk gave it, without saving it from a spreadsheet"
                )
    return (_parse_row(row, f"{path} line {line}", design) for line, row in rows)


def _read_text(path: str) -> str:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}") from None
    # a spreadsheet's "Unicode text" is UTF-16 and says so by its first two bytes
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding).replace("\0", " ")
    except UnicodeDecodeError:
        raise StudyError(f"{path} is not UTF-8; remedy: save it as UTF-8, or import it as MTurk gave it") from None


def _split(text: str) -> list[tuple[int, dict[str, Any]]] | None:
    """(first line, row) of every record after the heading, by the rules of CSV; None without a heading of results."""
    csv.field_size_limit(min(sys.maxsize, 1 << 24))
    # a spreadsheet may begin with a line that names its separator
    start = 1 if re.match(r"\"?sep=.\"?[ \t]*\r?\n", text) else 0
    body = text.split("\n", 1)[1] if start else text
    for separator in _SEPARATORS:
        # newline="": the csv module alone says where a record ends, and no other character ends one
        reader = csv.reader(io.StringIO(body, newline=""), delimiter=separator)
        try:
            heading = [name.strip() for name in next(reader, [])]
            if set(heading) >= _WANTED:
                return list(_records(reader, heading, start))
        except csv.Error:
            continue
    return None


def _records(reader: Any, heading: list[str], start: int) -> Iterator[tuple[int, dict[str, Any]]]:
    line = start + int(reader.line_num) + 1
    for values in reader:
        if values:
            # a row of another length is cut or run together: which value is which cannot be known
            fits = len(values) == len(heading)
            yield line, dict(zip(heading, values, strict=True)) if fits else {_UNEVEN: f"{len(values)} values"}
        line = start + int(reader.line_num) + 1


def read_api_rows(client: Any, hits: Mapping[str, str], design: StudyDesign) -> Iterator[RawAnswer]:
    """Every assignment of the study's HITs (item → HIT id)."""
    for item, hit in sorted(hits.items()):
        token: dict[str, str] = {}
        while True:
            page = client.list_assignments_for_hit(HITId=hit, AssignmentStatuses=_STATUSES, MaxResults=100, **token)
            for assignment in page.get("Assignments", []):
                yield _parse_assignment(assignment, item, design)
            if not page.get("NextToken"):
                break
            token = {"NextToken": page["NextToken"]}


def _parse_assignment(assignment: Mapping[str, Any], item: str, design: StudyDesign) -> RawAnswer:
    where = f"assignment {assignment['AssignmentId']}"
    answers = {f"Answer.{name}": value for name, value in _fields(assignment["Answer"]).items()}
    if not answers:
        return RawAnswer(where=where, problem="answer is no form")
    row = {
        **answers,
        "AssignmentStatus": assignment.get("AssignmentStatus"),
        "Input.item": item,
        "WorkerId": assignment["WorkerId"],
        "AssignmentId": assignment["AssignmentId"],
    }
    return _raw(
        row, where, design, began=assignment["AcceptTime"].timestamp(), submitted=assignment["SubmitTime"].timestamp()
    )


def _fields(text: str) -> dict[str, str]:
    """The form's fields of a QuestionFormAnswers document; none when it is not one."""
    from defusedxml import DefusedXmlException, ElementTree

    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, DefusedXmlException):
        return {}
    return {
        answer.findtext(f"{_ANSWERS}QuestionIdentifier", ""): answer.findtext(f"{_ANSWERS}FreeText", "") or ""
        for answer in root.iter(f"{_ANSWERS}Answer")
    }


def _parse_row(row: Mapping[str, Any], where: str, design: StudyDesign) -> RawAnswer:
    if _UNEVEN in row:
        return RawAnswer(where=where, problem=f"{row[_UNEVEN]}, another number than the heading has")
    began, submitted = _time(row.get("AcceptTime")), _time(row.get("SubmitTime"))
    if submitted is None:
        return RawAnswer(where=where, problem="time")
    expires = _time(row.get("Expiration"))
    # an assignment that was accepted in time may be handed in until its own time is up
    seconds = str(row.get("AssignmentDurationInSeconds") or "0")
    grace = float(seconds) if seconds.isdigit() else 0.0
    return _raw(
        row,
        where,
        design,
        began=submitted if began is None else began,
        submitted=submitted,
        expires=float("inf") if expires is None else expires + grace,
    )


def _raw(
    row: Mapping[str, Any],
    where: str,
    design: StudyDesign,
    *,
    began: float,
    submitted: float,
    expires: float = float("inf"),
) -> RawAnswer:
    item = str(row.get("Input.item") or "")
    first = generated_first(design.seed, item)
    meant = {"first": GENERATED if first else ORIGINAL, "second": ORIGINAL if first else GENERATED, NEITHER: NEITHER}
    says = {"yes": True, "no": False}
    reason = str(row.get("Answer.reason") or "none")
    accurate = tuple(says.get(str(row.get(f"Answer.c{number}"))) for number in range(1, len(COMPONENTS) + 1))
    choice = meant.get(str(row.get("Answer.choice")), "")
    accepted = choice == GENERATED and all(accurate)
    return RawAnswer(
        where=where,
        item=item,
        worker=str(row.get("WorkerId") or ""),
        assignment=str(row.get("AssignmentId") or ""),
        left=first != (str(row.get("Answer.flipped")) == "1"),
        choice=choice,
        accurate=accurate,
        # the form offers "nothing is wrong" even to those who found something: that is kept as another reason
        reason="" if accepted else ("other" if reason == "none" else reason),
        comment=str(row.get("Answer.comment") or ""),
        began=began,
        submitted=submitted,
        expires=expires,
        rejected=str(row.get("AssignmentStatus") or "").strip().lower() == "rejected",
    )


def _time(text: object) -> float | None:
    """Unix seconds of ``Mon Nov 02 10:00:00 PST 2026`` or of an ISO date; None for anything else."""
    if not isinstance(text, str) or not text.strip():
        return None
    words = text.split()
    try:
        if len(words) == 6 and words[4] in _ZONES:
            plain = datetime.strptime(" ".join(words[:4] + words[5:]), "%a %b %d %H:%M:%S %Y")
            return (plain.replace(tzinfo=UTC) - timedelta(hours=_ZONES[words[4]])).timestamp()
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
