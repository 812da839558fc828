"""MTurk: requests that botocore itself accepts, a layout within MTurk's rules, a cost that is what was estimated."""

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import boto3
import pytest
from botocore.exceptions import ParamValidationError
from botocore.stub import ANY, Stubber
from selectolax.lexbor import LexborHTMLParser

from moodarchive.errors import ServiceError, StudyError
from moodarchive.storage.store import Store
from tests.validate.study.archives import HOSTILE, study_archive
from tests.validate.study.browsing import chromium
from validate.study.answers.importing import import_answers
from validate.study.answers.table import read_table
from validate.study.design.items import Item, read_items
from validate.study.design.order import generated_first
from validate.study.design.pictures import find_pictures
from validate.study.design.questions import GENERATED
from validate.study.design.study import CAPTIONS, StudyDesign, read_design
from validate.study.mturk.files import (
    COLUMNS,
    MOST_BYTES,
    MTURK_FOLDER,
    make_input_row,
    render_layout,
    render_question,
    write_mturk,
)
from validate.study.mturk.payments import write_payments
from validate.study.mturk.publish import Publisher, require_confirmation
from validate.study.mturk.results import read_api_rows, read_csv_rows
from validate.study.mturk.terms import Terms, compute_cost
from validate.study.sampling.gold import select_asked
from validate.study.sampling.sample import SampleOptions, sample
from validate.study.statistics.study import load_study
from validate.study.statistics.verdict import judge

TERMS = Terms(reward="0.10")
URL = "https://pictures.example.org/study"
NAMESPACE = "{http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2011-11-11/HTMLQuestion.xsd}"
HEADER = ("HITId", "AssignmentId", "WorkerId", "AssignmentStatus", "AcceptTime", "SubmitTime", "Expiration",
          "AssignmentDurationInSeconds", "Input.item", "Answer.choice", "Answer.flipped", "Answer.c1", "Answer.c2",
          "Answer.c3", "Answer.c4", "Answer.c5", "Answer.reason", "Answer.comment")  # fmt: skip


@pytest.fixture
def study(store: Store) -> tuple[Store, StudyDesign, list[Item]]:
    study_archive(store, images=32, hostile=True)
    sample(store, SampleOptions(n=6, heldout=0, workers=3, gold=0.1, seed=5))
    items = read_items(store)
    return store, read_design(store, CAPTIONS), select_asked(items, find_pictures(store, {one.key for one in items}))


def _client() -> Any:
    return boto3.client("mturk", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106


def test_a_question_is_an_html_question_within_mturks_rules(study: tuple[Store, StudyDesign, list[Item]]) -> None:
    _, design, items = study
    for item in items:
        text = render_question(make_input_row(design, item, URL))
        assert len(text.encode()) <= MOST_BYTES
        root = ElementTree.fromstring(text)  # noqa: S314 - made here
        assert root.tag == f"{NAMESPACE}HTMLQuestion"
        assert [child.tag for child in root] == [f"{NAMESPACE}HTMLContent", f"{NAMESPACE}FrameHeight"]
        page = LexborHTMLParser(root[0].text or "")
        form = page.css_first("form#mturk_form")
        assert form is not None
        assert form.attributes["action"] == "https://www.mturk.com/mturk/externalSubmit"
        assert form.attributes["method"] == "post"
        assert form.css_first("input#assignmentId[name=assignmentId]") is not None
        names = {one.attributes.get("name") for one in form.css("input, textarea")} - {"assignmentId"}
        assert names == {"flipped", "choice", "c1", "c2", "c3", "c4", "c5", "reason", "comment"}
        assert form.css_first("button[type=submit]") is not None
        assert "externalHIT_v1.js" in (page.css_first("script").attributes["src"] or "")
        assert page.css_first("img").attributes["src"] == f"{URL}/{item.item}.jpg"
        # two scripts of ours, and none that a hostile text brought along
        assert len(page.css("script")) == 2 and len(page.css("img")) == 1
        assert item.original in page.text() and item.summary in page.text()


def test_the_website_gets_the_same_layout_without_a_form_and_a_csv_that_fills_it(
    study: tuple[Store, StudyDesign, list[Item]],
) -> None:
    store, design, items = study
    pictures = find_pictures(store, {one.key for one in items})
    write_mturk(store, design, items, pictures, terms=TERMS, pictures_url=URL)
    page = store.read_bytes(f"{MTURK_FOLDER}/layout.html").decode()
    assert "<form" not in page and page == render_layout(form=False)
    rows = list(csv.DictReader(io.StringIO(store.read_bytes(f"{MTURK_FOLDER}/input.csv").decode())))
    assert [row["item"] for row in rows] == [item.item for item in items]
    for name in COLUMNS[1:]:
        assert f"${{{name}}}" in page
        assert all("<" not in row[name] for row in rows)
    for item in items:
        assert store.read_bytes(f"{MTURK_FOLDER}/pictures/{item.item}.jpg") == pictures.read(item.key)


def test_pictures_without_https_and_questions_that_are_too_long_are_refused(
    study: tuple[Store, StudyDesign, list[Item]],
) -> None:
    _, design, items = study
    with pytest.raises(StudyError, match="https"):
        make_input_row(design, items[0], "http://pictures.example.org")
    with pytest.raises(StudyError, match="65535"):
        render_question({**make_input_row(design, items[0], URL), "first": "x" * MOST_BYTES})


def test_publishing_passes_botocores_validation_costs_what_was_estimated_and_never_creates_a_hit_twice(
    study: tuple[Store, StudyDesign, list[Item]],
) -> None:
    store, design, items = study
    client = _client()
    publisher = Publisher(store, design, TERMS, client, live=True)
    spent: list[Decimal] = []
    # killed after three HITs, the third of them not recorded
    with Stubber(client) as stub:
        stub.add_response("list_hits", {"HITs": []}, {"MaxResults": 100})
        stub.add_response("create_hit_type", {"HITTypeId": "TYPE"}, TERMS.hit_type(live=True))
        for number in range(2):
            _expect_hit(stub, design, number, spent)
        stub.add_client_error("create_hit_with_hit_type", "ServiceFault")
        first = publisher.open_items(items)
        assert first == items
        estimate = publisher.estimate(first)
        with pytest.raises(ServiceError, match="nothing is created twice"):
            publisher.publish(first, URL)
        stub.assert_no_pending_responses()
    assert set(publisher.published()) == {item.item for item in items[:2]}
    with Stubber(client) as stub:
        mark = publisher._mark
        stub.add_response(
            "list_hits", {"HITs": [_hit("OTHER", "somebody else's")], "NextToken": "more"}, {"MaxResults": 100}
        )
        stub.add_response(
            "list_hits", {"HITs": [_hit("HIT2", f"{mark}:{items[2].item}")]}, {"MaxResults": 100, "NextToken": "more"}
        )
        spent.append(_price())
        stub.add_response("create_hit_type", {"HITTypeId": "TYPE"}, ANY_TYPE)
        for number in range(3, len(items)):
            _expect_hit(stub, design, number, spent)
        rest = publisher.open_items(items)
        assert rest == items[3:]
        assert publisher.publish(rest, URL) == len(items) - 3
        stub.assert_no_pending_responses()
    with Stubber(client) as stub:
        stub.add_response("list_hits", {"HITs": []})
        assert publisher.open_items(items) == []
        assert publisher.publish([], URL) == 0
    assert len(set(publisher.published().values())) == len(items)
    assert sum(spent) * design.workers == estimate == compute_cost(TERMS, len(items), design.workers)


ANY_TYPE = {name: ANY for name in TERMS.hit_type(live=True)}


def _price() -> Decimal:
    return Decimal("0.10") * Decimal("1.2")


def _hit(name: str, annotation: str) -> dict[str, Any]:
    return {"HITId": name, "RequesterAnnotation": annotation}


def _expect_hit(stub: Stubber, design: StudyDesign, number: int, spent: list[Decimal]) -> None:
    spent.append(_price())
    stub.add_response(
        "create_hit_with_hit_type",
        {"HIT": {"HITId": f"HIT{number}"}},
        {"HITTypeId": "TYPE", "MaxAssignments": design.workers, "LifetimeInSeconds": TERMS.lifetime_s, "Question": ANY,
         "RequesterAnnotation": ANY, "UniqueRequestToken": ANY},
    )  # fmt: skip


def test_the_stub_would_have_refused_wrong_parameters() -> None:
    client = _client()
    with Stubber(client) as stub:
        stub.add_response("create_hit_type", {"HITTypeId": "TYPE"})
        with pytest.raises(ParamValidationError):
            client.create_hit_type(**{**TERMS.hit_type(live=True), "Reward": 0.1})


def test_tokens_and_marks_are_within_mturks_lengths(study: tuple[Store, StudyDesign, list[Item]]) -> None:
    store, design, items = study
    publisher = Publisher(store, design, TERMS, _client(), live=False)
    assert len(f"{publisher._mark[-16:]}-{items[0].item}") <= 64
    assert len(f"{publisher._mark}:{items[0].item}") <= 255


def test_nothing_is_published_before_the_cost_was_typed_out() -> None:
    with pytest.raises(StudyError, match=r"--confirm-cost 12\.00"):
        require_confirmation(Decimal("12.00"), "")
    with pytest.raises(StudyError):
        require_confirmation(Decimal("12.00"), "12.01")
    require_confirmation(Decimal("12.00"), "12.00")


@pytest.mark.parametrize(
    ("terms", "hits", "assignments", "dollars"),
    [
        (Terms(reward="0.10"), 10_000, 5, "6000.00"),
        (Terms(reward="0.01"), 100, 1, "2.00"),  # at least a cent of fees
        (Terms(reward="1.00", masters=True), 10, 9, "112.50"),
        (Terms(reward="1.00"), 10, 10, "140.00"),  # ten assignments and more cost another fifth
    ],
)
def test_the_estimate_knows_mturks_fees(terms: Terms, hits: int, assignments: int, dollars: str) -> None:
    assert compute_cost(terms, hits, assignments) == Decimal(dollars)


def _row(item: Item, worker: str, design: StudyDesign, **changes: str) -> dict[str, str]:
    """A line of batch results in which the caption is preferred and all is accurate."""
    first = "first" if generated_first(design.seed, item.item) else "second"
    plain = dict.fromkeys(HEADER, "") | {
        "AssignmentId": f"3{worker}{item.item}", "WorkerId": worker, "AcceptTime": "Mon Nov 02 10:00:00 PST 2026",
        "SubmitTime": "Mon Nov 02 10:01:30 PST 2026", "Expiration": "Mon Nov 16 10:00:00 PST 2026",
        "AssignmentDurationInSeconds": "900", "Input.item": item.item, "Answer.choice": first, "Answer.flipped": "1",
        "Answer.reason": "none", **{f"Answer.c{number}": "yes" for number in range(1, 6)},
    }  # fmt: skip
    return plain | changes


def _results(path: Path, rows: list[dict[str, str]]) -> str:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, HEADER)
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def test_batch_results_import_and_every_faulty_row_is_named(
    study: tuple[Store, StudyDesign, list[Item]], tmp_path: Path
) -> None:
    store, design, items = study
    rows = [_row(item, worker, design) for item in items for worker in ("A1", "A2", "A3")]
    rows[0]["Answer.c2"] = ""
    rows[1]["Input.item"] = "no-such-item"
    rows[2]["SubmitTime"] = "Mon Nov 16 10:16:00 PST 2026"
    rows[3]["SubmitTime"] = "yesterday"
    rows[4] |= {"Answer.c1": "no", "Answer.reason": "over_dramatic", "Answer.comment": f"too much\n{HOSTILE}\0"}
    rows[5]["SubmitTime"] = "Mon Nov 16 10:14:00 PST 2026"  # accepted before the end, within its own time
    rows.append({**rows[7], "AssignmentId": "another"})
    path = _results(tmp_path / "batch.csv", rows)
    asked = [item.item for item in items]
    done = import_answers(store, design, "mturk", read_csv_rows(path, design), asked)
    assert {kind: count for kind, count in done.counts.items() if count} == {
        "accepted": len(rows) - 5, "malformed": 2, "foreign": 1, "late": 1, "duplicate": 1, "missing": 4,
    }  # fmt: skip
    assert {fault.where for fault in done.faults if fault.kind == "foreign"} == {f"{path} line 3"}
    kept = read_table(store, CAPTIONS)
    assert set(kept["choice"].to_pylist()) == {GENERATED}
    # flipped pages show the second text first
    left = dict(zip(kept["item"].to_pylist(), kept["left"].to_pylist(), strict=True))
    assert all(left[name] == (not generated_first(design.seed, name)) for name in left)
    assert "over_dramatic" in kept["reason"].to_pylist()
    again = import_answers(store, design, "mturk", read_csv_rows(path, design), asked)
    assert again.counts["accepted"] == 0 and again.counts["already imported"] == len(rows) - 5


def test_a_file_of_something_else_is_refused(study: tuple[Store, StudyDesign, list[Item]], tmp_path: Path) -> None:
    _, design, _ = study
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(StudyError, match="no file of batch results"):
        read_csv_rows(str(tmp_path / "other.csv"), design)
    with pytest.raises(StudyError, match="cannot be read"):
        read_csv_rows(str(tmp_path / "absent.csv"), design)


def test_results_come_by_api_too_and_an_answer_that_is_no_form_is_malformed(
    study: tuple[Store, StudyDesign, list[Item]],
) -> None:
    store, design, items = study
    client = _client()
    first = "first" if generated_first(design.seed, items[0].item) else "second"
    fields = {
        "choice": first,
        "flipped": "0",
        "reason": "none",
        "comment": "a < b",
        **{f"c{n}": "yes" for n in range(1, 6)},
    }
    bomb = '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    with Stubber(client) as stub:
        page = {"Assignments": [_assignment("1", "A1", _form(fields)), _assignment("2", "A2", bomb)], "NextToken": "t"}
        stub.add_response("list_assignments_for_hit", page)
        stub.add_response("list_assignments_for_hit", {"Assignments": [_assignment("3", "A3", _form(fields))]})
        rows = list(read_api_rows(client, {items[0].item: "HIT"}, design))
        stub.assert_no_pending_responses()
    done = import_answers(store, design, "mturk-api", rows, [items[0].item])
    assert (done.counts["accepted"], done.counts["malformed"], done.counts["missing"]) == (2, 1, 1)
    assert set(read_table(store, CAPTIONS)["comment"].to_pylist()) == {"a < b"}


def _form(fields: dict[str, str]) -> str:
    space = "http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2005-10-01/QuestionFormAnswers.xsd"
    root = ElementTree.Element("QuestionFormAnswers", xmlns=space)
    for name, value in fields.items():
        answer = ElementTree.SubElement(root, "Answer")
        ElementTree.SubElement(answer, "QuestionIdentifier").text = name
        ElementTree.SubElement(answer, "FreeText").text = value
    return ElementTree.tostring(root, encoding="unicode")


def _assignment(name: str, worker: str, answer: str) -> dict[str, Any]:
    times = {
        "AcceptTime": datetime(2026, 11, 2, 18, tzinfo=UTC),
        "SubmitTime": datetime(2026, 11, 2, 18, 2, tzinfo=UTC),
    }
    return {"AssignmentId": name, "WorkerId": worker, "Answer": answer, **times}


def test_workers_who_fail_gold_questions_are_listed_for_rejection_and_good_ones_for_a_bonus(
    study: tuple[Store, StudyDesign, list[Item]], tmp_path: Path
) -> None:
    store, design, items = study
    rows = []
    for item in items:
        for worker in ("A1", "A2", "BLIND"):
            refuse = {"Answer.choice": "neither", "Answer.reason": "other", "Answer.c1": "no"}
            rows.append(_row(item, worker, design, **(refuse if item.gold and worker != "BLIND" else {})))
    path = _results(tmp_path / "batch.csv", rows)
    import_answers(store, design, "mturk", read_csv_rows(path, design), [item.item for item in items])
    loaded = load_study(store)
    counts = write_payments(store, loaded, judge(loaded))
    assert counts == (2 * len(items), len(items), 2 * len(items))
    refused = list(csv.DictReader(io.StringIO(store.read_bytes(f"{MTURK_FOLDER}/reject.csv").decode())))
    assert {row["AssignmentId"] for row in refused} == {
        row["AssignmentId"] for row in rows if row["WorkerId"] == "BLIND"
    }
    assert "known answer" in refused[0]["feedback"]


@pytest.mark.browser
def test_in_a_browser_the_layout_swaps_the_texts_by_assignment_and_fixes_the_first_choice(
    study: tuple[Store, StudyDesign, list[Item]], tmp_path: Path
) -> None:
    _, design, items = study
    content = ElementTree.fromstring(render_question(make_input_row(design, items[0], URL)))[0].text  # noqa: S314 - made here
    (tmp_path / "hit.html").write_text(content or "")
    orders = set()
    with chromium() as browser:
        tab = browser.new_page()
        tab.route("https://**", lambda route: route.abort())  # neither MTurk's script nor pictures: there is no network
        for assignment in ("3ABC", "3ABD", "3XYZ1", "3XYZ2"):
            tab.goto(f"{(tmp_path / 'hit.html').as_uri()}?assignmentId={assignment}", wait_until="domcontentloaded")
            shown = tuple(one.get_attribute("value") for one in tab.locator("#pair input").all())
            orders.add((tab.locator("#flipped").input_value(), shown))
            assert not tab.locator("#parts").is_visible()
            tab.locator("input[value=second]").check()
            assert tab.locator("#parts").is_visible() and tab.locator("input[value=first]").is_disabled()
            assert tab.locator("input[value=second]").is_enabled(), "a disabled choice would not be sent"
    assert orders == {("0", ("first", "second")), ("1", ("second", "first"))}
