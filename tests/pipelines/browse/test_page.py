"""The page of ``moodarchive browse``, in a real browser and on the wire: walls, marks, one picture's history."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from moodarchive.settings import load
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import SELECTION
from pipelines.browse.marks import marks_path, read_marks
from pipelines.settings import ArchiveSettings
from tests.axe import find_faults
from tests.making import opened, rows_of
from tests.pipelines.browse.browsing import Browsing, browsing
from tests.validate.study.archives import HOSTILE, study_archive
from tests.validate.study.browsing import chromium
from validate.verify import verify

PICTURES = 96


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("browse")
    store = Store(str(folder / "root"))
    study_archive(store, images=PICTURES, hostile=True)
    with browsing(store.root, folder / "cache") as running:
        yield store, running


def _get(page: Browsing, path: str) -> Any:
    answer = requests.get(page.url + path, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_wall_holds_every_row_once_in_pages_whatever_the_order(page: Any) -> None:
    store, running = page
    known = {row["key"]: row for part in (0, 1) for row in rows_of(store, SELECTION, part)}
    for sort in ("archive", "best", "worst", "shuffled"):
        keys, scores, after = [], [], ""
        while True:
            answer = requests.get(f"{running.url}wall", params={"sort": sort, "most": 7, "after": after}, timeout=10)
            body = answer.json()
            keys += [row["key"] for row in body["rows"]]
            scores += [row["score"] for row in body["rows"]]
            if not body["next"]:
                break
            after = body["next"]
        assert sorted(keys) == sorted(known)
        if sort in ("best", "worst"):
            present = [score for score in scores if score is not None]
            assert present == sorted(present, reverse=sort == "best") and scores[: len(present)] == present


def test_filters_narrow_and_words_are_found_in_titles_and_captions(page: Any) -> None:
    store, running = page
    known = [row for part in (0, 1) for row in rows_of(store, SELECTION, part)]
    joyful = {row["key"] for row in known if row["emotion"] == "joy"}
    body = _get(running, "wall?emotion=joy&most=240")
    assert {row["key"] for row in body["rows"]} == joyful and body["total"] == len(joyful)
    both = _get(running, "wall?emotion=joy&emotion=fear&most=240")
    assert both["total"] == len(joyful) + sum(row["emotion"] == "fear" for row in known)
    found = _get(running, "wall?words=title 17&most=240")
    assert [row["title"] for row in found["rows"]] == ["Title 17"] and found["total"] == 1
    assert _get(running, "wall?words=title 17&emotion=joy")["total"] == 0, "picture 17 is one of anger"
    assert _get(running, "wall?words=title&reason=kept&set=heldout")["total"] == sum(
        row["split"] == "heldout" and row["kept"] for row in known
    )
    for typed in ('title:"', "AND OR NOT (", "*", "text:[a TO b]", "\\", "é ü 好"):
        assert requests.get(f"{running.url}wall", params={"words": typed}, timeout=10).status_code == 200, typed


def test_thumbnails_are_small_and_pictures_are_what_the_shard_holds(page: Any) -> None:
    _, running = page
    key = _get(running, "wall?set=train&most=1")["rows"][0]["key"]
    small, whole = (requests.get(f"{running.url}{kind}/{key}", timeout=10) for kind in ("thumb", "picture"))
    assert max(opened(small.content).size) <= 256 and opened(whole.content).size == (96, 72)
    again = requests.get(f"{running.url}thumb/{key}", timeout=10)
    assert again.content == small.content


def test_nothing_but_pictures_of_the_root_by_key_is_served(page: Any) -> None:
    _, running = page
    outside = (
        "thumb/../../settings.json", "thumb/%2e%2e%2fsettings.json", "picture/settings.json", "static/app.py",
        "static/..%2fapp.py", "settings.json", "thumb/0123456789abcdef", "image/' OR 1=1", "picture/",
    )  # fmt: skip
    for path in outside:
        assert requests.get(running.url + path, timeout=10).status_code == 404, path
    assert requests.get(running.url, headers={"Host": "evil.test"}, timeout=10).status_code == 400
    headers = requests.get(running.url, timeout=10).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"] and headers["x-content-type-options"] == "nosniff"


def test_a_message_that_is_no_mark_is_refused(page: Any) -> None:
    store, running = page
    key = _get(running, "wall?most=1")["rows"][0]["key"]
    sound = {"key": key, "mark": "reject", "reason": "other"}
    changes = ({"key": "0" * 16}, {"key": 7}, {"mark": "loved"}, {"reason": ""}, {"reason": "because"}, {"comment": 7})
    for change in changes:
        answer = requests.post(f"{running.url}mark", json={**sound, **change}, timeout=10)
        assert answer.status_code in (404, 422), change
    assert requests.post(f"{running.url}mark", data=json.dumps(sound), timeout=10).status_code == 415
    assert not read_marks(marks_path(store))
    bad = ("sort=loud", "low=high", "mark=x", "after=[]", "most=-1", "after={}", "low=nan")
    for question in bad:
        assert requests.get(f"{running.url}wall?{question}", timeout=10).status_code == 400, question


def test_an_address_that_is_not_loopback_asks_for_its_token(page: Any, tmp_path: Path) -> None:
    store, _ = page
    with browsing(
        store.root, tmp_path / "cache", "--host", "0.0.0.0", "--marks", str(tmp_path / "m.jsonl")
    ) as open_page:
        address, token = open_page.url.rstrip("/").rsplit("/", 1)
        assert len(token) >= 32
        assert requests.get(f"{address}/{token}/wall", timeout=10).json()["total"] == PICTURES
        for wrong in ("", "x/", f"{token[:-1]}/", f"{token.swapcase()}/"):
            for path in ("", "wall", "static/browse.js"):
                assert requests.get(f"{address}/{wrong}{path}", timeout=10).status_code == 404


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_a_person_filters_looks_and_marks_by_keyboard_alone(page: Any, width: int) -> None:
    _, running = page
    with chromium() as browser:
        tab = browser.new_context(viewport={"width": width, "height": 800}).new_page()
        tab.set_default_timeout(10_000)
        tab.on("dialog", lambda dialog: pytest.fail(f"a hostile text ran: {dialog.message}"))
        tab.goto(running.url)
        tab.locator(".tile img").first.wait_for()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert not find_faults(tab)
        tab.keyboard.press("/")
        tab.keyboard.type("title")
        tab.keyboard.press("Enter")
        tab.wait_for_function("() => document.activeElement.dataset.index === '0'")
        for _ in range(3):
            tab.keyboard.press("ArrowRight")
        key = tab.evaluate("document.activeElement.dataset.key")
        assert tab.evaluate("document.activeElement.dataset.index") == "3"
        assert "solid" in tab.evaluate("getComputedStyle(document.activeElement).outlineStyle"), "the focus is visible"
        tab.keyboard.press("Enter")
        tab.locator("#detail[open] #history dl").first.wait_for()
        assert HOSTILE[:20] in tab.locator("#history").inner_text(), "hostile markup is shown as it was written"
        assert tab.evaluate("document.documentElement.scrollWidth") <= width and not find_faults(tab)
        tab.keyboard.press("r")
        tab.locator("#why[open]").wait_for()
        assert not find_faults(tab)
        tab.keyboard.press("2")
        tab.locator("#detail-mark", has_text="reject").wait_for()
        tab.keyboard.press("Escape")
        assert tab.evaluate("document.activeElement.dataset.key") == key, "the focus is where it was"
        tab.locator(f".tile[data-key='{key}'] .mark.reject").wait_for()
        tab.keyboard.press("u")
        tab.locator(f".tile[data-key='{key}'] .mark").wait_for(state="detached")
        tab.locator("#show-cells").click()
        tab.locator("#cell-rows tr button").first.click()
        tab.locator("#phrase-rows button").first.click()
        cell, phrase = tab.locator("#phrases-title").inner_text(), tab.locator("#phrase-rows td").first.inner_text()
        _check_lines(tab.locator("#lines").inner_text(), cell, phrase)
        tab.locator("#phrase-rows button", has_text="Drop").first.click()
        assert load(ArchiveSettings, tab.locator("#lines").inner_text(), "browse").descriptors.drop == (phrase,)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width and not find_faults(tab)
        assert tab.title() != "owned"
        tab.close()


@pytest.mark.browser
def test_a_wall_of_two_thousand_pictures_scrolls_to_its_end_with_few_tiles_in_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "benchmarks"))
    from synthetic.browsed import write_tables

    write_tables(tmp_path / "root", 2_000, vectors=False)
    with chromium() as browser, browsing(str(tmp_path / "root"), tmp_path / "cache") as running:
        tab = browser.new_page()
        tab.set_default_timeout(10_000)
        tab.goto(running.url)
        tab.locator(".tile img").first.wait_for()
        most = 0
        for _ in range(100):
            tab.evaluate("scrollTo(0, document.body.scrollHeight)")
            tab.wait_for_timeout(60)
            most = max(most, tab.locator(".tile").count())
            if tab.locator(".tile[data-index='1999']").count():
                break
        assert tab.locator(".tile[data-index='1999'] img, .tile[data-index='1999'] .none").count() == 1
        assert most < 200
        tab.evaluate("scrollTo(0, 0)")
        tab.locator(".tile[data-index='0']").wait_for()
        tab.close()


def _check_lines(lines: str, cell: str, phrase: str) -> None:
    """The lines to paste are settings that the program reads."""
    settings = load(ArchiveSettings, f'{lines}\n[descriptors.writer]\nmodel = "m"', "browse")
    emotion, context = cell.replace(" ", "_").split(",_")
    assert settings.descriptors.more_like == {f"{emotion}/{context}": (phrase,)}


@pytest.mark.browser
def test_a_killed_server_loses_no_mark_and_the_page_sends_what_was_not_saved(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "root"))
    study_archive(store, images=32)
    with chromium() as browser, browsing(store.root, tmp_path / "cache") as running:
        tab = browser.new_page()
        tab.goto(running.url)
        tab.locator(".tile img").first.wait_for()
        tab.keyboard.press("ArrowRight")
        keys = []
        for turn, letter in enumerate("gtgtgt"):
            keys.append(tab.evaluate("document.activeElement.dataset.key"))
            if turn == 3:
                running.kill()
            tab.keyboard.press(letter)
            tab.keyboard.press("ArrowRight")
        tab.locator("#trouble:not([hidden])").wait_for()
        running.start()
        tab.locator("#trouble").wait_for(state="hidden")
        tab.wait_for_function("() => localStorage.length === 0 || localStorage.getItem(localStorage.key(0)) === '[]'")
        tab.close()
        running.kill()
    standing = read_marks(marks_path(store))
    assert {key: mark.mark for key, mark in standing.items()} == dict(zip(keys, ["good", "takedown"] * 3, strict=True))
    assert not list(verify(store)), "marks may stand beside what the seal covers"
