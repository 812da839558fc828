"""A service that turns everything down is not recorded as the failure of its pictures; a broken picture is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annotate.caption import CaptionSettings, CaptionWorker, caption_stage
from moodarchive.chat import client as chat
from moodarchive.chat.service_watch import IN_A_ROW
from moodarchive.errors import ServiceError
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.parts import read_part, read_sidecar
from moodarchive.tables.schemas import CAPTIONS
from tests.annotate.described_part import GOOD, Picture, ReceivedRequest, Reply, VisionServer, serving, write_inputs

REFUSALS = {
    "no vision": (400, {"error": {"message": "the server's words", "type": "invalid_request_error"}}),
    "no template": (400, {"object": "error", "message": "the server's words", "code": 400}),
    "grammar": (422, {"error": "the server's words", "error_type": "validation"}),
    "field": (422, {"detail": [{"loc": ["body", "seed"], "msg": "the server's words"}]}),
    "in a 200": (200, {"error": {"code": 400, "message": "the server's words"}}),
}
ANSWER = json.dumps(GOOD)


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "FIRST_REST_S", 0.01)


@pytest.fixture
def server() -> Iterator[VisionServer]:
    with serving() as server:
        yield server


def caption(store: Store, server: VisionServer, part: int = 0, worker: Any = None) -> list[dict[str, Any]]:
    stage = caption_stage(settings_for(server))
    run_part(stage, store, worker or stage.make_worker(), part)
    return [row for batch in read_part(store, CAPTIONS, part) for row in batch.to_pylist()]


def settings_for(server: VisionServer) -> CaptionSettings:
    return CaptionSettings(servers=(server.url,), in_flight=4, timeout_s=10.0, retries=2)


def trees(count: int) -> list[Picture]:
    return [Picture(phrase=f"tree {number}") for number in range(count)]


@pytest.mark.parametrize("pictures", [1, 3, 150])
@pytest.mark.parametrize("kind", REFUSALS)
def test_a_server_that_refuses_everything_stops_the_part_with_its_words(
    kind: str, pictures: int, tmp_path: Path, server: VisionServer
) -> None:
    server.reply = lambda request: REFUSALS[kind]
    store, _ = write_inputs(tmp_path, trees(pictures))
    with pytest.raises(ServiceError, match=r"also a plain one.*the server's words.*remedy"):
        caption(store, server)
    assert len(server.requests) <= 3 * (IN_A_ROW + 4) + 1
    assert read_sidecar(store, CAPTIONS, 0) is None
    server.reply = lambda request: ANSWER
    assert {row["status"] for row in caption(store, server)} == {"ok"}


def test_secrets_in_the_server_s_words_are_kept(
    tmp_path: Path, server: VisionServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOODARCHIVE_CHAT_KEY", "s3cret-value")
    server.reply = lambda request: (400, {"error": {"message": "bad request with s3cret-value"}})
    store, _ = write_inputs(tmp_path, trees(8))
    with pytest.raises(ServiceError) as error:
        caption(store, server)
    assert "s3cret-value" not in str(error.value)


def test_answers_without_choices_for_every_picture_are_the_service_s_fault_too(
    tmp_path: Path, server: VisionServer
) -> None:
    server.reply = lambda request: {"id": "x", "choices": []}
    store, _ = write_inputs(tmp_path, trees(12))
    with pytest.raises(ServiceError, match="holds no choices"):
        caption(store, server)
    assert read_sidecar(store, CAPTIONS, 0) is None


def only_plain_or(good: set[str]) -> Any:
    """Refuses the pictures of the part, which are 120 pixels wide, but for those of these phrases."""

    def reply(request: ReceivedRequest) -> Reply:
        return ANSWER if request.size[0] > 200 or request.phrase in good else REFUSALS["no vision"]

    return reply


@pytest.mark.parametrize(("pictures", "good"), [(1, 0), (2, 0), (30, 0), (30, 29), (30, 3)])
def test_broken_pictures_are_their_own_failure_where_a_plain_one_is_answered(
    pictures: int, good: int, tmp_path: Path, server: VisionServer
) -> None:
    described = {f"tree {number}" for number in range(good)}
    server.reply = only_plain_or(described)
    store, _ = write_inputs(tmp_path, trees(pictures))
    rows = caption(store, server)
    assert sorted(row["status"] for row in rows) == ["failed"] * (pictures - good) + ["ok"] * good
    assert {row["error"] for row in rows if row["status"] == "failed"} == {"refused"}


def test_a_server_that_turns_bad_between_two_parts_spoils_the_second_alone(
    tmp_path: Path, server: VisionServer
) -> None:
    write_inputs(tmp_path, trees(4))
    store, _ = write_inputs(tmp_path, [Picture(phrase=f"bush {number}") for number in range(3)], part=1)
    worker = CaptionWorker(settings_for(server), caption_prompt())
    caption(store, server, 0, worker)
    server.reply = lambda request: REFUSALS["no template"]
    with pytest.raises(ServiceError, match="the server's words"):
        caption(store, server, 1, worker)
    assert read_sidecar(store, CAPTIONS, 0) is not None and read_sidecar(store, CAPTIONS, 1) is None


def caption_prompt() -> Any:
    from annotate.prompt import load_prompt

    return load_prompt("five_sentences")


def answered(content: Any, finish_reason: Any = "stop", **message: Any) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish_reason}
    return {"choices": [choice], "usage": {"prompt_tokens": "n/a"}}


SHAPES: dict[str, tuple[str | None, Reply]] = {
    "chunks": (None, answered([{"type": "text", "text": ANSWER[:40]}, {"type": "text", "text": ANSWER[40:]}])),
    "a fence": (None, answered(f"```json\n{ANSWER}\n```")),
    "a thought": (None, answered(f"<think>\nA tree.\n</think>\n\n{ANSWER}")),
    "TGI's end": (None, answered(ANSWER, "eos_token")),
    "no end named": (None, answered(ANSWER, None)),
    "thoughts alone": ("no_answer", answered(None, reasoning_content=ANSWER)),
    "broken off": ("cut_off", answered(ANSWER[:50], "abort")),
    "cut": ("cut_off", answered(ANSWER[:50], "max_tokens")),
    "a refusal": ("refused", answered(None, refusal="I would rather not.")),
    "two objects": ("not_json", answered(f'{ANSWER} {{"summary": "Another."}}')),
    "no choices": ("empty_reply", {"choices": None}),
}


def test_every_shape_of_an_answer_has_its_row(tmp_path: Path, server: VisionServer) -> None:
    server.reply = lambda request: SHAPES[request.phrase][1]
    store, pictures = write_inputs(tmp_path, [Picture(phrase=phrase) for phrase in SHAPES])
    rows = caption(store, server)
    errors = {picture.phrase: row["error"] for picture, row in zip(pictures, rows, strict=True)}
    assert errors == {phrase: error for phrase, (error, _) in SHAPES.items()}
    assert {row["model"] for row in rows if row["status"] == "ok"} == {CaptionSettings().model}
    assert {row["prompt_tokens"] for row in rows if row["status"] == "ok"} == {0}
    times = [request.phrase for request in server.requests]
    assert (times.count("no choices"), times.count("broken off"), times.count("chunks")) == (3, 3, 1)


def test_the_log_says_where_the_text_stands_that_is_no_answer(
    tmp_path: Path, server: VisionServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.reply = lambda request: answered(None, reasoning_content=ANSWER)
    store, _ = write_inputs(tmp_path, trees(1))
    with caplog.at_level("INFO", "moodarchive.caption"):
        caption(store, server)
    assert "its text stands in reasoning_content" in caplog.text
