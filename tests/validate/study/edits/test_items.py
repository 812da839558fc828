"""The edit study: three of several edits are picked for look, emotion and overall, on a page that names no method."""

import csv
from pathlib import Path
from typing import Any

import pytest
import requests

from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from pipelines.study.edit_steps import draw, import_answers, questions, write_report
from tests.making import encoded, textured
from tests.validate.study.browsing import chromium, free_port
from validate.study.design.study import EDITS, read_design
from validate.study.edits.items import draw_edits, read_edit_items
from validate.study.edits.verdict import judge_edits
from validate.study.page.ledger import Ledger
from validate.study.page.serve import ledger_path

METHODS = ("alpha", "beta", "gamma", "delta", "epsilon")
TOLD_BY_NOTHING = "unmistakable-method"


def _folder(top: Path, methods: tuple[str, ...] = METHODS, items: int = 4) -> str:
    top.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(items):
        (top / f"{number}.jpg").write_bytes(encoded(textured(64, 48, number)))
        for column, method in enumerate(methods):
            (top / f"{number}-{method}.png").write_bytes(encoded(textured(64, 48, 100 * number + column), "PNG"))
            rows.append([f"{number}.jpg", ("joy", "fear")[number % 2], method, f"{number}-{method}.png"])
    with (top / "edits.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["picture", "emotion", "method", "file"], *rows])
    return str(top)


def _answer(store: Store, link: str, favourites: tuple[str, ...]) -> int:
    """Answers everything with the same favourites; returns how many items."""
    of_name = {edit.name: edit.method for item in read_edit_items(store) for edit in item.edits}
    requests.post(f"{link}/trained", json={}, timeout=10)
    count = 0
    while asked := requests.get(f"{link}/next", timeout=10).json()["asked"]:
        picked = [name for name in asked["edits"] if of_name[name] in favourites]
        body = {"item": asked["item"], "look": picked, "emotion": picked, "overall": picked}
        assert requests.post(f"{link}/answer", json={**body, "look": picked[:2]}, timeout=10).status_code == 422
        assert requests.post(f"{link}/answer", json={**body, "look": picked[:2] * 2}, timeout=10).status_code == 422
        assert requests.post(f"{link}/answer", json=body, timeout=10).ok
        count += 1
    return count


@pytest.mark.browser
def test_a_study_of_edits_from_the_folder_to_the_report(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    line = draw(store, _folder(tmp_path / "in", (*METHODS, TOLD_BY_NOTHING)), workers=3, seed=1)
    assert line.startswith("4 pictures and emotions")
    with _served(store, 3) as links:
        assert _answer(store, links[0], ("alpha", "beta", "gamma")) == 4
        assert _answer(store, links[1], ("alpha", "beta", "delta")) == 4
        with chromium() as browser:
            shown = _by_hand(browser.new_page(), links[2])
        assert TOLD_BY_NOTHING not in shown and "alpha" not in shown
    assert import_answers(store, "page", ledger_path(store, EDITS)) == "accepted 12, foreign 0, malformed 0, missing 0"
    once = store.sha256("study/edits/answers.parquet")
    import_answers(store, "page", ledger_path(store, EDITS))
    assert store.sha256("study/edits/answers.parquet") == once
    verdict = judge_edits(store, {item.item: item for item in read_edit_items(store)})
    share = {rate.method: rate for rate in verdict.rates if rate.question == "look"}
    assert share["alpha"].rate >= 2 / 3 and share["alpha"].low < share["alpha"].rate <= share["alpha"].high
    assert sum(rate.rate for rate in share.values()) == pytest.approx(3)
    assert (verdict.items, verdict.workers, verdict.answers) == (4, 3, 12)
    lines = list(write_report(store))
    assert len(lines) == 1 + len(METHODS) + 1
    assert "annotator-1" not in store.read_bytes("study/edits/report.html").decode()


def _by_hand(tab: Any, link: str) -> str:
    """Picks the first three of each by keys and the last three by clicks; returns all that the page held."""
    tab.goto(link)
    tab.locator("#start").click()
    held = ""
    tab.locator("#edits:not([hidden])").wait_for()
    while tab.locator("#edits").is_visible():
        held += tab.content()
        before = tab.locator("#count").inner_text()
        for step in range(3):
            for index in range(3):
                if step == 1:
                    tab.locator(".edit").nth(5 - index).click()
                else:
                    tab.keyboard.press(str(index + 1))
            tab.keyboard.press("Enter")
        tab.locator("#count", has_not_text=before).wait_for()
        tab.wait_for_timeout(50)
    tab.close()
    return held


def _served(store: Store, annotators: int) -> Any:
    import threading
    from contextlib import contextmanager

    import uvicorn

    from validate.study.page.app import make_app

    @contextmanager
    def running() -> Any:
        book = Ledger(ledger_path(store, EDITS))
        people = book.invite([f"annotator-{number + 1}" for number in range(annotators)])
        port = free_port()
        config = uvicorn.Config(make_app(questions(store), book), port=port, log_level="error")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
        yield [f"http://127.0.0.1:{port}/a/{one.token}" for one in people]
        server.should_exit = True
        thread.join(10)
        book.close()

    return running()


def test_pictures_of_other_items_and_of_the_archive_are_not_served(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    draw_edits(store, _folder(tmp_path / "in"), workers=1, seed=1)
    asked = questions(store)
    for name in ("../salt", "x", "0123456789abcdef"):
        with pytest.raises(KeyError):
            asked.read_picture(name)
    item = read_edit_items(store)[0]
    for name in (item.source, *(edit.name for edit in item.edits)):
        assert asked.read_picture(name)[:2] == b"\xff\xd8"


def test_later_items_join_and_earlier_ones_keep_their_names(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    draw_edits(store, _folder(tmp_path / "in", items=2), workers=1, seed=1)
    before = read_edit_items(store)
    draw_edits(store, _folder(tmp_path / "in", items=4), workers=1, seed=1)
    assert read_edit_items(store)[:2] == before and read_design(store, EDITS).n == 4
    with pytest.raises(StudyError, match="seed 1"):
        draw_edits(store, _folder(tmp_path / "in"), workers=1, seed=2)


def test_folders_that_cannot_be_a_study_are_refused(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    with pytest.raises(StudyError, match="--edits"):
        draw_edits(store, "", workers=1, seed=1)
    with pytest.raises(StudyError, match="cannot be read"):
        draw_edits(store, str(tmp_path / "absent"), workers=1, seed=1)
    with pytest.raises(StudyError, match="4 or more"):
        draw_edits(store, _folder(tmp_path / "few", METHODS[:3]), workers=1, seed=1)
    top = Path(_folder(tmp_path / "odd"))
    lines = (top / "edits.csv").read_text().replace("0-alpha.png", "../../etc/passwd")
    (top / "edits.csv").write_text(lines)
    with pytest.raises(StudyError, match="outside"):
        draw_edits(store, str(top), workers=1, seed=1)
    (top / "edits.csv").write_text(lines.replace("../../etc/passwd", "edits.csv"))
    with pytest.raises(StudyError, match="no picture"):
        draw_edits(store, str(top), workers=1, seed=1)
