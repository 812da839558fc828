"""What MTurk gives back, as rows to import: the website's batch results (CSV) or the API's assignments."""

import csv
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
_ANSWERS = "{http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2005-10-01/QuestionFormAnswers.xsd}"


def read_csv_rows(path: str, design: StudyDesign) -> Iterator[RawAnswer]:
    """The rows of a batch results file; StudyError when it is none."""
    try:
        text = Path(path).read_text("utf-8-sig", errors="replace")
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}") from None
    csv.field_size_limit(min(sys.maxsize, 1 << 24))
    reader = csv.DictReader(text.replace("\0", " ").splitlines(keepends=True))
    wanted = {"AssignmentId", "WorkerId", "SubmitTime", "Input.item", "Answer.choice"}
    if not reader.fieldnames or not wanted <= set(reader.fieldnames):
        raise StudyError(f"{path} is no file of batch results; remedy: it must have {', '.join(sorted(wanted))}")
    return (_parse_row(row, f"{path} line {number}", design) for number, row in enumerate(reader, 2))


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
