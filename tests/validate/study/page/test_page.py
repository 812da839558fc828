"""The served page, in a real browser and on the wire: no answer is lost or doubled, and nothing else is served."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests

from moodarchive.storage.store import Store
from moodarchive.tables.schemas import SELECTION
from tests.axe import find_faults
from tests.making import rows_of
from tests.validate.study.archives import HOSTILE, study_archive
from tests.validate.study.browsing import Served, chromium, served
from validate.study.answers.importing import import_answers
from validate.study.design.items import read_items
from validate.study.design.study import CAPTIONS, read_design
from validate.study.page.ledger import Ledger
from validate.study.page.results import read_page_rows
from validate.study.page.serve import ledger_path
from validate.study.sampling.gold import select_examples
from validate.study.sampling.sample import SampleOptions, sample

ITEMS = 5
OPTIONS = SampleOptions(n=ITEMS, heldout=0, workers=2, gold=0.1, seed=3)


def _study(root: Path, hostile: bool = False) -> Store:
    store = Store(str(root))
    study_archive(store, images=32, hostile=hostile)
    sample(store, OPTIONS)
    return store


def _asked(store: Store) -> set[str]:
    items = read_items(store)
    return {item.item for item in items} - set(select_examples(items))


@pytest.mark.browser
def test_two_annotators_answer_at_once_while_the_server_is_killed_and_nothing_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    store = _study(tmp_path / "root", hostile=True)
    with chromium() as browser, served(tmp_path / "root") as page:
        tabs = {name: browser.new_context().new_page() for name in page.links}
        answers: dict[str, list[dict[str, Any]]] = {name: [] for name in tabs}
        for name, tab in tabs.items():
            _open(tab, page.links[name])
        _answer_all(page, tabs, answers)
        for tab in tabs.values():
            assert tab.title() == "Which text fits the picture?", "a hostile caption ran"
            tab.close()
    kept = Ledger(ledger_path(store, CAPTIONS)).answers()
    asked = _asked(store)
    assert Counter(one.annotator for one in kept) == dict.fromkeys(tabs, len(asked))
    # the page sent what was clicked, and the ledger holds it once
    sent = {(name, one["item"]): one for name, of_name in answers.items() for one in of_name}
    assert {(one.annotator, one.item) for one in kept} == sent.keys()
    for one in kept:
        assert one.answer["accurate"] == sent[one.annotator, one.item]["accurate"]
        assert 0 < one.submitted - one.began < 600
    done = import_answers(
        store, read_design(store, CAPTIONS), "page", read_page_rows(ledger_path(store, CAPTIONS)), asked
    )
    assert done.counts["accepted"] == 2 * len(asked) and not done.faults


def _open(tab: Any, link: str) -> None:
    tab.on("dialog", lambda dialog: pytest.fail(f"a hostile text ran: {dialog.message}"))
    tab.goto(link)
    tab.locator("#start").click()
    tab.locator("#task:not([hidden])").wait_for()


def _answer_all(page: Served, tabs: dict[str, Any], answers: dict[str, list[dict[str, Any]]]) -> None:
    """Both answer in turn; the server dies before the second answer, and between the third's sending and its reply."""
    turn = 0
    while any(tab.locator("#task").is_visible() for tab in tabs.values()):
        for name, tab in tabs.items():
            if not tab.locator("#task").is_visible():
                continue
            answers[name].append(_fill(tab, turn))
            before = tab.locator("#count").inner_text()
            if turn in (1, 4):
                page.kill()
            tab.keyboard.press("Enter")
            if turn in (1, 4):
                tab.locator("#trouble:not([hidden])").wait_for()
                page.again()
            tab.locator("#count", has_not_text=before).wait_for()
            tab.wait_for_timeout(50)
            turn += 1


def _fill(tab: Any, turn: int) -> dict[str, Any]:
    """Answers what is shown, by keyboard and by mouse."""
    tab.locator("#task[data-seen=yes]").wait_for()
    shown = tab.locator("#left").inner_text() + tab.locator("#right").inner_text()
    assert "<script>" in shown, "hostile markup is shown as it was written"
    tab.keyboard.press("123"[turn % 3])
    accurate = [True, True, turn % 2 == 0, True, True]
    if not accurate[2]:
        tab.locator("#sentences li").nth(2).locator("[data-says=no]").click()
    tab.keyboard.press("a")
    if tab.locator("#why").is_visible():
        tab.locator(".reason").nth(turn % 5).click()
        tab.locator("#comment").fill(HOSTILE)
    return {"item": tab.locator("#task").get_attribute("data-item"), "accurate": accurate}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("page") / "root"
    store = _study(root, hostile=True)
    with served(root) as running:
        yield store, running


def _next(link: str) -> dict[str, Any]:
    requests.post(f"{link}/trained", json={}, timeout=10)
    return dict(requests.get(f"{link}/next", timeout=10).json())


def test_a_link_that_was_not_given_out_is_refused_everywhere(page: Any) -> None:
    _, running = page
    link = running.links["annotator-1"]
    address, token = link.rsplit("/", 1)
    for wrong in (token[:-1], token + "A", token.swapcase(), "x", "%2e%2e", "' OR 1=1 --"):
        for path in ("", "/next", "/picture/0123456789abcdef"):
            assert requests.get(f"{address}/{wrong}{path}", timeout=10).status_code == 404
        for path in ("/answer", "/trained"):
            assert requests.post(f"{address}/{wrong}{path}", json={}, timeout=10).status_code == 404
    assert token not in requests.get(f"{address}/{token[:-1]}", timeout=10).text


def test_nothing_outside_the_sample_is_served(page: Any) -> None:
    store, running = page
    link = running.links["annotator-1"]
    shown = {item.item for item in read_items(store)}
    outside = [row["key"] for part in (0, 1) for row in rows_of(store, SELECTION, part) if row["key"] not in shown]
    assert outside
    for key in outside:
        assert requests.get(f"{link}/picture/{key}", timeout=10).status_code == 404
    for name in shown:
        answer = requests.get(f"{link}/picture/{name}", timeout=10)
        assert answer.status_code == 200 and answer.content[:2] == b"\xff\xd8"
    base = link.rsplit("/a/", 1)[0]
    for path in ("/", "/static/../ledger.py", "/static/%2e%2e/ledger.py", "/static/app.py", "/study/captions/salt",
                 "/manifest.json", f"/a/{link.rsplit('/', 1)[1]}/picture/..%2f..%2fmanifest.json"):  # fmt: skip
        assert requests.get(base + path, timeout=10).status_code in (404, 405), path


def test_every_answer_carries_headers_that_bind_the_browser(page: Any) -> None:
    _, running = page
    link = running.links["annotator-1"]
    for address in (link, f"{link}/next", f"{link}x", link.rsplit("/a/", 1)[0] + "/static/captions.js"):
        headers = requests.get(address, timeout=10).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


def test_hostile_texts_are_escaped_on_the_training_page(page: Any) -> None:
    _, running = page
    text = requests.get(running.links["annotator-1"], timeout=10).text
    assert HOSTILE not in text and "<script>document" not in text and "&lt;script&gt;" in text


@pytest.mark.parametrize(
    "change",
    [
        {"choice": "generated"}, {"choice": ["left"]}, {"accurate": [True] * 4}, {"accurate": "yes"},
        {"accurate": [True, None, True, True, True]}, {"choice": "neither", "reason": ""}, {"reason": "because"},
        {"comment": 7},
    ],
)  # fmt: skip
def test_an_answer_that_is_not_sound_is_refused(page: Any, change: dict[str, Any]) -> None:
    _, running = page
    link = running.links["annotator-2"]
    item = _next(link)["asked"]["item"]
    sound = {"item": item, "choice": "neither", "accurate": [True] * 5, "reason": "other", "comment": ""}
    assert requests.post(f"{link}/answer", json={**sound, **change}, timeout=10).status_code == 422
    assert _next(link)["asked"]["item"] == item


def test_bodies_that_are_no_answer_are_refused_and_harm_nothing(page: Any) -> None:
    _, running = page
    link, kind = running.links["annotator-1"], {"Content-Type": "application/json"}
    deep = "[" * 15_000
    for body, status in ((b"x" * 30_000, 413), (b"{", 400), (b"[]", 400), (deep.encode(), 400), (b"\xff\xfe", 400)):
        assert requests.post(f"{link}/answer", data=body, headers=kind, timeout=10).status_code == status
    assert requests.post(f"{link}/answer", data="item=1", timeout=10).status_code == 415
    assert requests.post(f"{link}/answer", json={"item": "0123456789abcdef"}, timeout=10).status_code == 404
    assert _next(link)["asked"] is not None


def test_an_answer_that_is_sent_twice_is_kept_once_and_as_it_was(page: Any) -> None:
    store, running = page
    link = running.links["annotator-1"]
    item = _next(link)["asked"]["item"]
    first = {"item": item, "choice": "neither", "accurate": [True] * 5, "reason": "other", "comment": "first"}
    for answer in (first, {**first, "comment": "second"}):
        assert requests.post(f"{link}/answer", json=answer, timeout=10).json() == {"saved": item}
    kept = [one for one in Ledger(ledger_path(store, CAPTIONS)).answers() if one.item == item]
    assert [one.answer["comment"] for one in kept] == ["first"]


def test_no_item_is_asked_of_more_annotators_than_wanted(tmp_path: Path) -> None:
    book = Ledger(tmp_path / "ledger.sqlite3")
    names = [annotator.name for annotator in book.invite(["a", "b", "c"])]
    queue, everyone = ["one", "two", "gold"], frozenset({"gold"})
    held = [book.next_item(name, queue, everyone, 1) for name in names]
    assert held == ["one", "two", "gold"]
    for name, item in zip(names, held, strict=True):
        assert item is not None and book.keep(name, item, {})
    assert [book.next_item(name, queue, everyone, 1) for name in names] == ["gold", "gold", None]
    assert not book.keep("c", "one", {}), "an item that was not given out is not taken"


def test_what_was_answered_on_the_page_is_json_that_names_the_texts_not_their_places(page: Any) -> None:
    store, _ = page
    for one in Ledger(ledger_path(store, CAPTIONS)).answers():
        assert one.answer["choice"] in ("generated", "original", "neither")
        assert json.dumps(one.answer)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_a_person_finds_the_way_by_hand_and_by_keyboard(tmp_path: Path, width: int) -> None:
    _study(tmp_path / "root")
    with chromium() as browser, served(tmp_path / "root", 1) as page:
        tab = browser.new_context(viewport={"width": width, "height": 700}).new_page()
        tab.goto(page.links["annotator-1"])
        tab.locator("#training:not([hidden])").wait_for()
        assert not tab.locator("#help").is_visible(), "it would lead past the instructions"
        assert not find_faults(tab)
        tab.locator("#start").click()
        tab.locator("#task:not([hidden])").wait_for()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        caption = tab.evaluate("likedPlace()")
        tab.locator("#task[data-seen=yes]").wait_for()
        tab.locator(f"[data-choice={'right' if caption == 'left' else 'left'}]").click()
        heading, header = tab.locator("#parts h1").bounding_box(), tab.locator("header").bounding_box()
        assert heading["y"] >= header["y"] + header["height"], "the question lies under the bar"
        assert tab.locator("#picture").bounding_box()["y"] >= 0, "the picture is in sight while sentences are judged"
        assert not find_faults(tab)
        # Enter presses the button that has the focus
        tab.locator("#sentences [data-says=yes]").first.focus()
        tab.keyboard.press("Enter")
        assert tab.locator("#sentences [data-says=yes][aria-pressed=true]").count() == 1
        tab.keyboard.press("a")
        assert "better text" in tab.locator("#wrong").inner_text(), "no sentence was called wrong"
        # to look at the instructions loses nothing
        tab.locator("#help").click()
        assert tab.locator("#start").inner_text() == "Back to the picture"
        tab.locator("#start").click()
        assert tab.locator("#sentences [aria-pressed=true]").count() == 5
        tab.locator(".reason").first.click()
        tab.keyboard.press("Enter")
        tab.locator("#count", has_not_text="0 of").wait_for()
        assert tab.locator("[role=progressbar]").get_attribute("aria-valuenow") == "1"
        tab.close()


@pytest.mark.browser
def test_nobody_chooses_before_the_picture_is_there_and_a_lost_picture_is_named(tmp_path: Path) -> None:
    _study(tmp_path / "root")
    with chromium() as browser, served(tmp_path / "root", 1) as page:
        tab = browser.new_page()
        tab.route("**/picture/**", lambda route: route.abort())
        tab.goto(page.links["annotator-1"])
        tab.locator("#start").click()
        tab.locator("#trouble:not([hidden])").wait_for()
        assert "did not load" in tab.locator("#trouble").inner_text()
        tab.keyboard.press("1")
        assert tab.locator(".choice:disabled").count() == 3 and not tab.locator("#parts").is_visible()
        tab.unroute("**/picture/**")
        tab.reload()
        tab.locator("#task[data-seen=yes]").wait_for()
        tab.keyboard.press("1")
        assert tab.locator("#parts").is_visible()
        tab.close()
