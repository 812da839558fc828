"""Answers of caption servers, as in the field cases: what becomes of the rows, and of the run."""

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from annotate.caption import CaptionSettings, caption_stage
from moodarchive.chat import client as chat
from moodarchive.errors import ServiceError
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.parts import read_part, read_sidecar
from moodarchive.tables.schemas import CAPTIONS
from tests.annotate.described_part import Picture, write_inputs
from tests.field_cases.cases import case, ids, needs_cases, rows

pytestmark = needs_cases

ANSWERS = rows("serving/answers.csv")
MODEL = "the-model-asked-for"
PICTURES = 12


@dataclass(frozen=True)
class Question:
    """One request: its number from 1, the search phrase in it, and whether it shows a picture of the part."""

    number: int
    phrase: str
    is_of_the_part: bool


@dataclass
class CaseServer:
    """Gives the case's body to the questions for which ``gives_case`` holds, and a good answer to the others."""

    answer: dict[str, str]
    gives_case: Callable[[Question], bool] = lambda question: True
    questions: list[Question] = field(default_factory=list)
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reply(self, body: dict[str, Any]) -> tuple[int, str, bytes]:
        picture, text = body["messages"][-1]["content"]
        with Image.open(io.BytesIO(base64.b64decode(picture["image_url"]["url"].partition(",")[2]))) as image:
            is_of_the_part = image.size[0] <= 120
        with self._lock:
            phrase = text["text"].rpartition("Search phrase: ")[2]
            question = Question(len(self.questions) + 1, phrase, is_of_the_part)
            self.questions.append(question)
        if self.gives_case(question):
            body_of_case = case(f"serving/{self.answer['file']}").read_bytes()
            return int(self.answer["status"]), self.answer["content_type"], body_of_case
        return 200, "application/json", case("serving/good.json").read_bytes()


@contextmanager
def serving(served: CaseServer) -> Iterator[CaseServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, kind, body = served.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *values: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=lambda: server.serve_forever(0.05), daemon=True).start()
        served.url = f"http://127.0.0.1:{server.server_port}"
        yield served
        server.shutdown()


def _caption(root: Path, server: CaseServer) -> list[dict[str, Any]]:
    store = Store(str(root)) if root.exists() else write_inputs(root, _pictures())[0]
    settings = CaptionSettings(servers=(server.url,), model=MODEL, in_flight=4, timeout_s=10.0, retries=2, patience_s=0)
    stage = caption_stage(settings)
    run_part(stage, store, stage.make_worker(), 0)
    return [row for batch in read_part(store, CAPTIONS, 0) for row in batch.to_pylist()]


def _pictures() -> list[Picture]:
    return [Picture(phrase=f"tree {number}") for number in range(PICTURES)]


def _words(answer: dict[str, str]) -> str:
    """The message of an error's body."""
    if "html" in answer["content_type"]:
        return "a page, not"
    body = json.loads(case(f"serving/{answer['file']}").read_bytes())
    error = body.get("error", body)
    words = error if isinstance(error, str) else error.get("message", error.get("detail"))
    return str(words[0]["msg"] if isinstance(words, list) else words)


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "FIRST_REST_S", 0.01)


def _takes(right: str) -> bool:
    return right.startswith("answer taken")


def _stops(right: str) -> bool:
    return right.startswith(("every picture is refused alike", "stops"))


def _is_lost(right: str) -> bool:
    return right.startswith(("a lost answer", "as choices_empty"))


def _fails_its_row(right: str) -> bool:
    return right.startswith(("row ", "given for one picture"))


def _cases(kind: Callable[[str], bool]) -> Any:
    chosen = [answer for answer in ANSWERS if kind(answer["right"])]
    return pytest.mark.parametrize("answer", chosen, ids=ids(chosen, "file"))


@_cases(_takes)
def test_an_answer_is_taken(answer: dict[str, str], tmp_path: Path) -> None:
    with serving(CaseServer(answer)) as server:
        described = _caption(tmp_path / "root", server)
    assert {row["status"] for row in described} == {"ok"} and len(server.questions) == PICTURES
    assert all(isinstance(row["model"], str) and row["model"] for row in described)
    if "asked for" in answer["right"]:
        assert {row["model"] for row in described} == {MODEL}
    if "tokens 0" in answer["right"]:
        assert {row["prompt_tokens"] for row in described} == {0}


@_cases(_stops)
def test_the_run_stops_with_the_servers_words_and_a_mended_server_is_asked_again(
    answer: dict[str, str], tmp_path: Path
) -> None:
    with serving(CaseServer(answer)) as server:
        with pytest.raises(ServiceError) as stopped:
            _caption(tmp_path / "root", server)
        assert _words(answer) in str(stopped.value) and "remedy" in str(stopped.value)
        assert len(server.questions) < 3 * PICTURES
        assert read_sidecar(Store(str(tmp_path / "root")), CAPTIONS, 0) is None
        server.gives_case = lambda question: False
        assert {row["status"] for row in _caption(tmp_path / "root", server)} == {"ok"}


@_cases(_is_lost)
def test_a_lost_answer_is_asked_for_again_and_then_fails_its_row(answer: dict[str, str], tmp_path: Path) -> None:
    with serving(CaseServer(answer)) as server:
        server.gives_case = lambda question: question.number <= 2
        assert {row["status"] for row in _caption(tmp_path / "first", server)} == {"ok"}
        server.gives_case = lambda question: question.phrase == "tree 3" and question.is_of_the_part
        if "502" in case(f"serving/{answer['file']}").read_text():
            server.gives_case = lambda question: True
            with pytest.raises(ServiceError) as stopped:
                _caption(tmp_path / "second", server)
            assert _words(answer) in str(stopped.value)
        else:
            described = _caption(tmp_path / "second", server)
            assert [row["status"] for row in described].count("ok") == PICTURES - 1


@_cases(_fails_its_row)
def test_a_row_fails_and_the_others_go_on(
    answer: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    right = answer["right"]
    with serving(CaseServer(answer)) as server:
        server.gives_case = lambda question: question.phrase == "tree 3" and question.is_of_the_part
        described = _caption(tmp_path / "root", server)
        times = [question.phrase for question in server.questions].count("tree 3")
    (failed,) = [row for row in described if row["status"] != "ok"]
    assert failed["status"] == "failed"
    if "no_answer" in right:
        assert failed["error"] == "no_answer" and "reasoning_content" in caplog.text
    if "refused" in right:
        assert failed["error"] == "refused"
    if "too large" in right:
        assert "the picture is too large for this server" in caplog.text
    if "asked again" in right:
        assert times == 3


@_cases(lambda right: right.startswith("waited for"))
def test_a_loading_server_is_waited_for(answer: dict[str, str], tmp_path: Path) -> None:
    with serving(CaseServer(answer)) as server:
        server.gives_case = lambda question: question.number <= 2
        assert {row["status"] for row in _caption(tmp_path / "root", server)} == {"ok"}


def test_every_answer_is_of_one_kind() -> None:
    kinds = (_takes, _stops, _is_lost, _fails_its_row, lambda right: right.startswith("waited for"))
    assert all(sum(kind(answer["right"]) for kind in kinds) == 1 for answer in ANSWERS)
    files = {path.name for path in case("serving").iterdir()} - {"answers.csv"}
    assert files == {answer["file"] for answer in ANSWERS}
