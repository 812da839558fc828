"""Two hundred simulated participants by a study link, the server killed between; and each rule of the way alone."""

import inspect
import json
import random
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from moodarchive.errors import ConfigError, StudyError
from moodarchive.storage.store import Store
from pipelines.study.channels import ExportOptions, export
from pipelines.study.serving import settle_panel
from tests.axe import find_faults
from tests.validate.study.archives import study_archive
from tests.validate.study.browsing import chromium, free_port
from validate.study.answers.importing import import_answers
from validate.study.design.items import read_items
from validate.study.design.study import CAPTIONS, read_design
from validate.study.page.ledger import Ledger
from validate.study.page.results import read_page_rows
from validate.study.page.serve import ledger_path
from validate.study.panel.settings import PanelSettings, read_panel
from validate.study.sampling.gold import select_examples
from validate.study.sampling.sample import SampleOptions, sample

WORKERS, ITEMS, QUOTA = 3, 90, 3
PANEL = {
    "consent": "I take part of my own free will.\n\nI may stop at any time.",
    "instructions": "Be kind to the pictures.",
    "items": QUOTA, "screening": 3, "screening_passes": 2, "gold_every": 2, "completion_code": "C0MPL3TE",
    "screened_out_code": "SCR33N", "no_consent_code": "NOC0NS", "hold_minutes": 0.05, "idle_minutes": 30.0,
    "redirect": "https://app.prolific.com/submissions/complete?cc={code}", "study_url": "https://study.example.org",
    "reward": 3.0, "minutes": 15, "bonus": 0.5, "fee_percent": 33.3,
}  # fmt: skip


def _panel(path: Path, **changes: object) -> str:
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in (PANEL | changes).items()))
    return str(path)


def _study(root: Path, items: int = ITEMS) -> Store:
    store = Store(str(root))
    study_archive(store, images=2 * items + 24)
    sample(store, SampleOptions(n=items, heldout=0, workers=WORKERS, gold=0.1, seed=3))
    return store


class _Server:
    """``study serve --panel`` in a process of its own, which can be killed and started again at the same port."""

    def __init__(self, root: str, *options: str) -> None:
        self._command = [sys.executable, "-P", "-m", "moodarchive", "study", "serve", root, *options]
        self._port = free_port()
        self.address = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [*self._command, "--port", str(self._port)], stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.lines = [self._process.stdout.readline().strip() for _ in range(2)]
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                requests.get(f"{self.address}/static/page.css", timeout=5)
            except requests.ConnectionError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("the server does not answer")

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def link(self, name: str) -> str:
        return next(line.split(": ", 1)[1] for line in self.lines if line.startswith(name))


@contextmanager
def _served(root: str, *options: str) -> Iterator[_Server]:
    server = _Server(root, *options)
    try:
        yield server
    finally:
        server.kill()


class _Participant:
    """A browser, reduced to what it sends; it asks again while the server is away, as the page does."""

    def __init__(self, server: _Server, gold: set[str], number: int, kind: str) -> None:
        self.server, self._gold, self.kind = server, gold, kind
        self.ids = {"PROLIFIC_PID": _id(), "STUDY_ID": "5" * 24, "SESSION_ID": _id()}
        self._random = random.Random(number)
        self.answered: list[str] = []
        self.end: dict[str, Any] | None = None
        self.link = ""

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        for _ in range(600):
            try:
                response = requests.request(method, path, timeout=30, **options)
                if response.status_code < 500:
                    return response
            except requests.RequestException:
                pass
            time.sleep(0.1)
        raise AssertionError(f"{path} never answered")

    def join(self) -> requests.Response:
        response = self._send("GET", f"{self.server.address}/join", params=self.ids, allow_redirects=False)
        self.link = self.server.address + response.headers.get("location", "")
        return response

    def begin(self, *, agreed: bool = True) -> None:
        self._send("POST", f"{self.link}/consent", json={"agreed": agreed})
        self._send("POST", f"{self.link}/trained", json={})

    def answer(self, most: int | None = None) -> None:
        """Answers until the end, or ``most`` questions."""
        while most is None or len(self.answered) < most:
            step = self._send("GET", f"{self.link}/next").json()
            if step["asked"] is None:
                self.end = step["end"]
                return
            item = step["asked"]["item"]
            if self.kind == "slow" and item not in self._gold and self._random.random() < 0.5:
                time.sleep(PANEL["hold_minutes"] * 60 * 1.2)  # type: ignore[operator]
            careful = self.kind != "careless"
            gold = item in self._gold and careful
            body = {
                "item": item, "choice": "neither" if gold else self._random.choice(["left", "right"]),
                "accurate": [not gold, True, True, True, True], "reason": "other", "comment": "",
            }  # fmt: skip
            assert self._send("POST", f"{self.link}/answer", json=body).json() == {"saved": item}
            self.answered.append(item)

    def run(self) -> None:
        assert self.join().status_code == 303
        if self.kind == "refuses":
            self.begin(agreed=False)
            self.answer()
            return
        self.begin()
        if self.kind in ("leaves", "returns"):
            self.answer(most=1 + self._random.randrange(5))
            if self.kind == "leaves" or self.end:
                return
            time.sleep(self._random.random())
            first = self.link
            self.ids["SESSION_ID"] = _id()
            assert self.join().status_code == 303 and self.link == first
        self.answer()


def _id() -> str:
    return secrets.token_hex(12)


def _forgeries(server: _Server, known: dict[str, str]) -> list[int]:
    """Links that lack an id, hold two, or one of another form; and a submission that is another participant's."""
    good = {"PROLIFIC_PID": _id(), "STUDY_ID": "5" * 24, "SESSION_ID": _id()}
    links: list[Any] = [{name: value for name, value in good.items() if name != missing} for missing in good]
    links += [{**good, name: odd} for name in good for odd in ("", "x", "{{%PROLIFIC_PID%}}", "A" * 24, "' OR 1=1 --")]
    links += [[*good.items(), ("PROLIFIC_PID", _id())], {**good, "SESSION_ID": known["SESSION_ID"]}]
    found = [requests.get(f"{server.address}/join", params=one, timeout=30, allow_redirects=False) for one in links]
    return [response.status_code for response in found]


@pytest.mark.timeout(900)
def test_two_hundred_participants_leave_return_forge_and_outlive_a_kill_and_every_item_has_its_answers(
    tmp_path: Path,
) -> None:
    store = _study(tmp_path / "root")
    items = read_items(store)
    gold = {item.item for item in items if item.gold}
    asked = {item.item for item in items if not item.gold}
    panel = _panel(tmp_path / "panel.toml", study_id="5" * 24)
    kinds = ["careful"] * 90 + ["careless"] * 20 + ["leaves"] * 30 + ["returns"] * 25 + ["slow"] * 10 + ["refuses"] * 5
    random.Random(1).shuffle(kinds)
    kinds += ["careful"] * 20
    with _served(store.root, "--panel", panel) as server:
        people = [_Participant(server, gold, number, kind) for number, kind in enumerate(kinds)]
        assert len(people) == 200
        killed = threading.Event()

        def come(person: _Participant) -> None:
            person.run()
            if sum(one.end is not None for one in people) >= 40 and not killed.is_set():
                killed.set()
                server.kill()
                time.sleep(0.5)
                server.start()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(come, people[:180]))
            time.sleep(PANEL["hold_minutes"] * 60 * 1.5)  # type: ignore[operator]
            list(pool.map(come, people[180:]))
        assert killed.is_set()
        statuses = _forgeries(server, people[0].ids)
        assert statuses == [400] * 19 + [403]
        progress = requests.get(server.link("progress"), timeout=30).text
        assert f"{len(asked) * WORKERS} of {len(asked) * WORKERS}" in progress
    # the codes
    for person in people:
        expected = {"careless": "SCR33N", "refuses": "NOC0NS"}.get(person.kind, "C0MPL3TE")
        if person.kind == "leaves" and person.end is None:
            continue
        assert person.end is not None and person.end["code"] == expected, person.kind
        assert person.end["address"] == f"https://app.prolific.com/submissions/complete?cc={expected}"
    # every item has exactly its answers, none of them twice, none of one who was screened out
    ledger = Ledger(ledger_path(store, CAPTIONS))
    answers = ledger.answers()
    ledger.close()
    assert Counter(one.item for one in answers if one.item in asked) == dict.fromkeys(asked, WORKERS)
    assert len({(one.item, one.annotator) for one in answers}) == len(answers)
    careless = {one.link.rsplit("/", 1)[1] for one in people if one.kind == "careless"}
    assert careless and not asked & {item for one in people if one.kind == "careless" for item in one.answered}
    done = import_answers(
        store, read_design(store, CAPTIONS), "page", read_page_rows(ledger_path(store, CAPTIONS)),
        [item.item for item in items if item.item not in select_examples(items)],
    )  # fmt: skip
    assert done.counts["accepted"] == len(answers) and done.counts["duplicate"] == done.counts["malformed"] == 0
    _settle(tmp_path, store, panel, people)
    _find_no_raw_id(Path(store.root), people)


def _settle(tmp_path: Path, store: Store, panel: str, people: list[_Participant]) -> None:
    stranger = _id()
    rows = [f"{one.ids['SESSION_ID']},{one.ids['PROLIFIC_PID']},AWAITING REVIEW" for one in people]
    text = "\n".join(["Submission id,Participant id,Status", *rows, f"{stranger},{_id()},AWAITING REVIEW", ""])
    (tmp_path / "export.csv").write_text(text)
    with pytest.raises(StudyError, match="outside the root"):
        list(settle_panel(store, panel=panel, submissions=str(tmp_path / "export.csv"), output=store.path("study/out")))
    lines = list(
        settle_panel(store, panel=panel, submissions=str(tmp_path / "export.csv"), output=str(tmp_path / "out"))
    )
    written = {
        name: [row.split(",") for row in (tmp_path / "out" / f"{name}.csv").read_text().splitlines()[1:]]
        for name in ("approve", "reject", "bonus", "others")
    }
    complete = {one.ids["SESSION_ID"] for one in people if one.end and one.end["code"] == "C0MPL3TE"}
    assert {row[0] for row in written["approve"]} == complete and not written["reject"]
    assert all(row[1] == "0.50" for row in written["bonus"]) and {row[0] for row in written["bonus"]} <= complete
    others = {row[0]: row[1] for row in written["others"]}
    assert others[stranger] == "unknown" and Counter(others.values())["screened-out"] == 20
    assert any(line.startswith("attention: ") for line in lines)
    assert any(re.search(r"pays [\d.]+ an hour", line) for line in lines)


def _find_no_raw_id(root: Path, people: list[_Participant]) -> None:
    raw = [value.encode() for one in people for name, value in one.ids.items() if name != "STUDY_ID"]
    files = [path for path in root.rglob("*") if path.is_file()]
    assert any(path.name.startswith("answers.sqlite3") for path in files)
    for path in files:
        content = path.read_bytes()
        assert not any(value in content for value in raw), path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return _study(tmp_path_factory.mktemp("panel") / "root", items=6)


def test_a_returned_place_is_taken_by_another_and_a_completed_one_is_not(small: Store, tmp_path: Path) -> None:
    gold = {item.item for item in read_items(small) if item.gold}
    options = ("--panel", _panel(tmp_path / "panel.toml", places=1, idle_minutes=0.02), "--state", str(tmp_path))
    with _served(small.root, *options) as server:
        first, second, third = (_Participant(server, gold, number, "careful") for number in range(3))
        assert first.join().status_code == 303
        first.begin()
        assert second.join().status_code == 410
        first.answer(most=1)
        time.sleep(1.5)
        assert second.join().status_code == 303
        second.begin()
        assert requests.get(f"{first.link}/next", timeout=30).json()["end"]["state"] == "full"
        second.answer()
        assert second.end is not None and second.end["code"] == "C0MPL3TE"
        time.sleep(1.5)
        assert third.join().status_code == 410 and first.join().status_code == 410
        # who completed it sees the code again
        assert second.join().status_code == 303
        assert requests.get(f"{second.link}/next", timeout=30).json()["end"]["code"] == "C0MPL3TE"


def test_one_who_withdraws_leaves_nothing_and_cannot_go_on(small: Store, tmp_path: Path) -> None:
    gold = {item.item for item in read_items(small) if item.gold}
    with _served(small.root, "--panel", _panel(tmp_path / "panel.toml"), "--state", str(tmp_path)) as server:
        person = _Participant(server, gold, 1, "careful")
        person.join()
        assert requests.get(f"{person.link}/next", timeout=30).status_code == 409
        text = requests.get(person.link, timeout=30).text
        assert "I may stop at any time." in text and "Be kind to the pictures." in text
        requests.post(f"{person.link}/trained", json={}, timeout=30)
        assert requests.get(f"{person.link}/next", timeout=30).json()["asked"] is None, "no item before the consent"
        person.begin()
        person.answer(most=4)
        item = requests.get(f"{person.link}/next", timeout=30).json()["asked"]["item"]
        person.begin(agreed=False)
        body = {"item": item, "choice": "neither", "accurate": [True] * 5, "reason": "other", "comment": ""}
        assert requests.post(f"{person.link}/answer", json=body, timeout=30).status_code == 409
        assert requests.get(f"{person.link}/next", timeout=30).json()["end"]["code"] == "NOC0NS"
    ledger = Ledger(tmp_path / "answers.sqlite3")
    assert ledger.answers() == []
    ledger.close()


def test_an_open_invitation_gives_links_up_to_its_limit_and_until_it_closes(small: Store, tmp_path: Path) -> None:
    with _served(small.root, "--open", "2", "--state", str(tmp_path / "open")) as server:
        invitation = server.link("invitation for 2")
        assert requests.get(invitation, timeout=30).status_code == 200
        links = [requests.post(invitation, timeout=30) for _ in range(3)]
        assert [response.status_code for response in links] == [200, 200, 410]
        assert len({response.url for response in links[:2]}) == 2
        assert requests.post(f"{invitation}x", timeout=30).status_code == 404
        requests.post(f"{links[0].url}/trained", json={}, timeout=30)
        assert requests.get(f"{links[0].url}/next", timeout=30).json()["asked"]
        assert "of 18" in requests.get(server.link("progress"), timeout=30).text
        assert requests.get(f"{server.link('progress')}x", timeout=30).status_code == 404
    options = ("--open", "9", "--closes", "2020-01-01T00:00:00+00:00", "--state", str(tmp_path / "over"))
    with _served(small.root, *options) as server:
        assert requests.post(server.link("invitation for 9"), timeout=30).status_code == 410


def test_the_export_for_prolific_is_a_draft_with_its_places_codes_and_cost(small: Store, tmp_path: Path) -> None:
    panel = _panel(tmp_path / "panel.toml")
    lines = list(export(small, "prolific", ExportOptions(panel=panel)))
    body = json.loads(small.read_bytes("study/captions/prolific/study.json"))
    # six items, three answers each, three items a participant
    assert body["total_available_places"] == 6 and body["reward"] == 300 and body["estimated_completion_time"] == 15
    assert body["external_study_url"] == (
        "https://study.example.org/join?PROLIFIC_PID={{%PROLIFIC_PID%}}&STUDY_ID={{%STUDY_ID%}}"
        "&SESSION_ID={{%SESSION_ID%}}"
    )
    codes = {one["code"]: one["code_type"] for one in body["completion_codes"]}
    assert codes == {"C0MPL3TE": "COMPLETED", "SCR33N": "FAILED_ATTENTION_CHECK", "NOC0NS": "NO_CONSENT"}
    assert "33.3%: 24.00," in lines[1] and "12.00 an hour" in lines[1]  # 6 x 3.00, and a third
    with pytest.raises(StudyError, match="study_url"):
        list(export(small, "prolific", ExportOptions(panel=_panel(tmp_path / "panel.toml", study_url=""))))
    with pytest.raises(StudyError, match="one code to two ends"):
        list(
            export(
                small,
                "prolific",
                ExportOptions(panel=_panel(tmp_path / "panel.toml", screened_out_code="C0MPL3TE")),
            )
        )
    with pytest.raises(StudyError, match="--panel"):
        list(export(small, "prolific", ExportOptions()))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"screening_passes": 4}, "more than screening"),
        ({"redirect": "http://example.org"}, "https"),
        ({"id_pattern": "["}, "regular expression"),
        ({"closes": "tomorrow"}, "closes|isoformat"),
        ({"study_parameter": "PROLIFIC_PID"}, "must differ"),
        ({"screaning": 1}, "screaning"),
        ({"items": 0}, "items"),
    ],
)
def test_a_panels_file_that_cannot_work_is_refused_with_its_name(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        read_panel(_panel(tmp_path / "panel.toml", **changes))


def test_every_panel_setting_is_documented() -> None:
    source = inspect.getsource(PanelSettings)
    for name in PanelSettings.model_fields:
        assert re.search(rf'    {name}: Annotated.*?\n    """', source, re.DOTALL), name


def test_the_guides_panel_file_is_one(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[4] / "docs" / "study.md").read_text()
    section = guide.split("## A panel")[1]
    block = section.split("but a code of your own is needed:\n\n")[1].split("\n\nFurther keys")[0]
    (tmp_path / "panel.toml").write_text(inspect.cleandoc(block.replace("\n    ", "\n")))
    panel = read_panel(str(tmp_path / "panel.toml"))
    assert panel.completion_code == "C1A2B3" and len(panel.consent.split("\n\n")) == 2
    further = section.split("Further keys:")[1].split("- **The way")[0]
    named = set(re.findall(r"^ *(\w+) = ", block, re.MULTILINE)) | set(re.findall(r"`(\w+)`", further))
    assert PanelSettings.model_fields.keys() == named


@pytest.mark.parametrize("width", [1280, 400])
def test_every_page_of_a_panel_serves_people_with_any_means(small: Store, tmp_path: Path, width: int) -> None:
    """Consent, instructions, questions, code and the researcher's progress: axe finds no serious fault."""
    options = ("--panel", _panel(tmp_path / "panel.toml", redirect="", places=8), "--state", str(tmp_path))
    with _served(small.root, *options) as server, chromium() as browser:
        tab = browser.new_context(viewport={"width": width, "height": 700}).new_page()
        ids = {"PROLIFIC_PID": _id(), "STUDY_ID": _id(), "SESSION_ID": _id()}
        tab.goto(f"{server.address}/join?{'&'.join(f'{name}={value}' for name, value in ids.items())}")
        tab.locator("#consent:not([hidden])").wait_for()
        assert find_faults(tab) == []
        tab.locator("#agree").click()
        tab.locator("#training:not([hidden])").wait_for()
        assert find_faults(tab) == []
        tab.locator("#start").click()
        tab.locator("#task[data-seen=yes]").wait_for()
        assert find_faults(tab) == []
        while tab.locator("#task").is_visible():
            tab.locator("#task[data-seen=yes]").wait_for()
            for key in ("3", "a", "w", "Enter"):
                tab.keyboard.press(key)
            tab.wait_for_timeout(300)
        assert find_faults(tab) == []
        tab.clock.install()
        tab.goto(server.link("progress"))
        assert find_faults(tab) == []
        tab.evaluate("document.querySelector('.figures').textContent = ''")
        tab.clock.fast_forward(16_000)
        tab.get_by_text("Items with all answers").wait_for()
