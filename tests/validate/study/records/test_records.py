"""Studies of records: four checks of an edit with its caption, and the best of some candidates, on the page."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn

from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from pipelines.editing.sets.emopair.requests import read_instructions
from pipelines.study.record_steps import draw, import_answers, questions, write_report
from tests.axe import find_faults
from tests.making import encoded, textured
from tests.validate.study.browsing import chromium, free_port
from validate.study.design.study import CHECKS, RANKING, read_design
from validate.study.page.app import make_app
from validate.study.page.ledger import Ledger
from validate.study.page.serve import ledger_path
from validate.study.records.items import read_record_items

HOSTILE = "<img src=x onerror=alert(1)>"


def _checks(top: Path, records: int = 2, **given: Any) -> str:
    top.mkdir(exist_ok=True)
    rows = []
    for number in range(records):
        for name in ("before", "after"):
            (top / f"{number}-{name}.png").write_bytes(encoded(textured(64, 48, number), "PNG"))
        rows.append(
            {
                "key": f"record-{number}", "picture": f"{number}-before.png", "edited_picture": f"{number}-after.png",
                "caption": f"a garden {HOSTILE}", "edited_caption": "a dark garden", "emotion": "amusement",
                "target": "fear", "instruction": "Please change the emotion", "span": "garden", **given,
            }
        )  # fmt: skip
    (top / "checks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(top)


def _ranking(top: Path, records: int = 2) -> str:
    top.mkdir(exist_ok=True)
    rows = []
    for number in range(records):
        for name in ("source", "fog", "stars", "less"):
            (top / f"{number}-{name}.png").write_bytes(encoded(textured(64, 48, number), "PNG"))
        candidates = [{"file": f"{number}-{name}.png", "text": f"add {name}"} for name in ("fog", "stars", "less")]
        rows.append({"key": str(number), "source": f"{number}-source.png", "emotion": "fear", "candidates": candidates})
    (top / "ranking.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(top)


@contextmanager
def _served(store: Store, kind: str, annotators: int) -> Iterator[list[str]]:
    book = Ledger(ledger_path(store, kind))
    people = book.invite([f"annotator-{number + 1}" for number in range(annotators)])
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(make_app(questions(store, kind), book), port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield [f"http://127.0.0.1:{port}/a/{one.token}" for one in people]
    server.should_exit = True
    thread.join(10)
    book.close()


def _wait_pressed(tab: Any, selector: str, count: int) -> None:
    tab.wait_for_function(f"document.querySelectorAll({json.dumps(selector)}).length === {count}")


def _post(link: str, answer: dict[str, Any]) -> None:
    """The next item, answered as a program would."""
    requests.post(f"{link}/trained", json={}, timeout=10)
    asked = requests.get(f"{link}/next", timeout=10).json()["asked"]
    for name in answer:
        assert requests.post(f"{link}/answer", json={"item": asked["item"], name: "?"}, timeout=10).status_code == 422
    assert requests.post(f"{link}/answer", json={"item": asked["item"], **answer}, timeout=10).ok


@pytest.mark.browser
def test_records_are_checked_on_the_page_and_come_back_with_status_reason_and_who(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    assert draw(store, CHECKS, _checks(tmp_path / "in"), workers=2, seed=1) == "2 records; 2 answers each"
    yes = dict.fromkeys(("span", "emotion", "caption", "picture"), True)
    with _served(store, CHECKS, 2) as links:
        with chromium() as browser:
            tab = browser.new_page(viewport={"width": 400, "height": 800})
            alerts: list[str] = []
            tab.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
            tab.goto(links[0])
            tab.locator("#training:not([hidden])").wait_for()
            assert not find_faults(tab)
            tab.locator("#start").click()
            tab.locator("#checks:not([hidden])").wait_for()
            first = tab.locator("#checks").get_attribute("data-item")
            assert tab.evaluate("document.documentElement.scrollWidth") <= 400
            assert tab.locator("#caption").inner_text() == f"a garden {HOSTILE}"
            # by keys: the caption is wrong, the others are right; Enter without all four saves nothing
            for key in ("3", "3", "Enter"):
                tab.keyboard.press(key)
            _wait_pressed(tab, "#sentences [aria-pressed=true]", 1)
            assert tab.locator("#save").is_disabled()
            tab.keyboard.press("a")
            _wait_pressed(tab, "#sentences [data-says=yes][aria-pressed=true]", 3)
            assert not find_faults(tab)
            tab.keyboard.press("Enter")
            # by clicks, all is right
            tab.locator(f"#checks[data-item]:not([data-item='{first}'])").wait_for()
            _wait_pressed(tab, "#sentences [aria-pressed=true]", 0)
            for number in range(4):
                tab.locator("#sentences [data-says=yes]").nth(number).click()
            tab.locator("#save").click()
            tab.locator("#done:not([hidden])").wait_for()
            assert alerts == []
            tab.close()
        for _ in range(2):
            _post(links[1], yes)
    told = "accepted 4, foreign 0, malformed 0, missing 0"
    assert import_answers(store, CHECKS, "page", ledger_path(store, CHECKS)) == told
    assert next(iter(write_report(store, CHECKS))) == "accepted 1, rejected 1"
    once = store.read_bytes("study/checks/checked.jsonl")
    list(write_report(store, CHECKS))
    assert store.read_bytes("study/checks/checked.jsonl") == once and b"annotator" not in once
    rows = {row["key"]: row for row in map(json.loads, once.splitlines())}
    assert rows.keys() == {"record-0", "record-1"}
    key_of = {item.item: item.key for item in read_record_items(store, CHECKS)}
    wrong = rows.pop(key_of[str(first)])
    assert (wrong["status"], wrong["reason"]) == ("rejected", "caption")  # one of two is no majority
    (right,) = rows.values()
    assert (right["status"], right["reason"]) == ("accepted", "")
    assert len(set(right["checked_by"])) == 2 and wrong["checked_by"] == right["checked_by"]


def test_a_record_is_open_until_all_have_answered(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    draw(store, CHECKS, _checks(tmp_path / "in"), workers=2, seed=1)
    with pytest.raises(StudyError, match="no answers yet; remedy"):
        list(write_report(store, CHECKS))
    with _served(store, CHECKS, 1) as links:
        _post(links[0], dict.fromkeys(("span", "emotion", "caption", "picture"), False))
    import_answers(store, CHECKS, "page", ledger_path(store, CHECKS))
    assert next(iter(write_report(store, CHECKS))) == "open 2"


@pytest.mark.browser
def test_the_best_candidate_is_picked_and_its_instruction_gains_a_score_that_pairs_read(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    draw(store, RANKING, _ranking(tmp_path / "in"), workers=2, seed=1)
    (one, other) = read_record_items(store, RANKING)
    fog = {item.item: item.pictures["candidate 0"] for item in (one, other)}
    with _served(store, RANKING, 2) as links:
        with chromium() as browser:
            tab = browser.new_page(viewport={"width": 400, "height": 800})
            tab.goto(links[0])
            tab.locator("#start").click()
            tab.locator("#ranking:not([hidden])").wait_for()
            assert "add fog" not in tab.content()  # what made a candidate is not told
            first = str(tab.locator("#ranking").get_attribute("data-item"))
            names = tab.evaluate("[...document.querySelectorAll('#grid .edit')].map(one => one.dataset.name)")
            tab.keyboard.press(str(1 + names.index(fog[first])))
            tab.locator(f".edit[data-name='{fog[first]}'][aria-pressed=true]").wait_for()
            assert tab.evaluate("document.documentElement.scrollWidth") <= 400
            assert not find_faults(tab)
            tab.keyboard.press("Enter")
            tab.locator(f"#ranking[data-item]:not([data-item='{first}'])").wait_for()
            tab.locator("#none").click()
            tab.locator("#none[aria-pressed=true]").wait_for()
            tab.locator("#save").click()
            tab.locator("#done:not([hidden])").wait_for()
            tab.close()
        requests.post(f"{links[1]}/trained", json={}, timeout=10)
        while asked := requests.get(f"{links[1]}/next", timeout=10).json()["asked"]:
            body = {"item": asked["item"], "best": fog[asked["item"]]}
            foreign = {"item": asked["item"], "best": fog[other.item if asked["item"] == one.item else one.item]}
            assert requests.post(f"{links[1]}/answer", json=foreign, timeout=10).status_code == 422
            assert requests.post(f"{links[1]}/answer", json=body, timeout=10).ok
    import_answers(store, RANKING, "page", ledger_path(store, RANKING))
    assert next(iter(write_report(store, RANKING))) == "1 of 2 records have a best candidate"
    rows = [json.loads(line) for line in store.read_bytes("study/ranking/ranked.jsonl").splitlines()]
    item_of = {item.key: item.item for item in (one, other)}
    for row in rows:
        picked = item_of[row["key"]] == first
        expected = ([2, 0, 0], 0, 0) if picked else ([1, 0, 0], 1, None)
        assert (row["votes"], row["none"], row["best"]) == expected
    path = tmp_path / "root/study/ranking/instructions.json"
    assert json.loads(path.read_text())["fear"][0] == {"text": "add fog", "score": 0.75}
    assert read_instructions(path, 1) == {"fear": ["add fog"]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[]", "no record with a key"),
        ("{", "JSON lines"),
        ('{"key": "a", "picture": "x.png"}', "line 1: caption must be a text"),
        (None, "lies outside the folder"),
    ],
)
def test_a_file_that_holds_no_records_is_refused_by_line(tmp_path: Path, line: str | None, message: str) -> None:
    store = Store(str(tmp_path / "root"))
    top = _checks(tmp_path / "in", records=1, **({"picture": "../secret.png"} if line is None else {}))
    if line is not None:
        (Path(top) / "checks.jsonl").write_text(line + "\n")
    with pytest.raises(StudyError, match=message):
        draw(store, CHECKS, top, workers=1, seed=1)
    with pytest.raises(StudyError, match=r"--edits: a folder with checks\.jsonl"):
        draw(store, CHECKS, "", workers=1, seed=1)
    with pytest.raises(StudyError, match=r"ranking\.jsonl cannot be read"):
        draw(store, RANKING, top, workers=1, seed=1)


def test_later_records_join_and_a_key_stands_once(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    draw(store, RANKING, _ranking(tmp_path / "in", 1), workers=1, seed=1)
    before = read_record_items(store, RANKING)
    draw(store, RANKING, _ranking(tmp_path / "in", 3), workers=1, seed=1)
    assert read_record_items(store, RANKING)[:1] == before and read_design(store, RANKING).n == 3
    with pytest.raises(StudyError, match="seed 1"):
        draw(store, RANKING, _ranking(tmp_path / "in", 3), workers=1, seed=2)
    path = tmp_path / "in/ranking.jsonl"
    path.write_text(path.read_text() * 2)
    with pytest.raises(StudyError, match="stands there twice"):
        draw(store, RANKING, str(tmp_path / "in"), workers=1, seed=1)
