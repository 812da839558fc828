"""The chat client against real servers on loopback: what it sends, how it waits, and when it gives up."""

import asyncio
import base64
import json
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from moodarchive.chat import client as chat
from moodarchive.chat.answers import ChatAnswer
from moodarchive.chat.client import ChatClient, ChatRequest, Message, ServerRejection, chat_url
from moodarchive.errors import ConfigError, RowError, ServiceError

Step = Callable[[web.Request], Awaitable[web.StreamResponse]]


def says(text: str = "hello", **message: Any) -> Step:
    async def reply(_: web.Request) -> web.Response:
        choice = {"message": {"content": text, **message}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 7, "completion_tokens": 3}
        return web.json_response({"model": "served", "choices": [choice], "usage": usage})

    return reply


def fails(status: int, **headers: str) -> Step:
    async def reply(_: web.Request) -> web.Response:
        return web.Response(status=status, text=f"because {status}", headers=headers)

    return reply


def takes(seconds: float, then: Step) -> Step:
    async def reply(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await then(request)

    return reply


async def hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def speaks_html(_: web.Request) -> web.Response:
    return web.Response(text="<html>a proxy's page</html>", content_type="text/html")


@dataclass
class Scripted:
    """Answers the first request with the first step, and so on; the last step goes on for ever."""

    steps: Sequence[Step]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    working: int = 0
    most_working: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.json())
        self.keys.append(request.headers.get("Authorization"))
        self.working += 1
        self.most_working = max(self.most_working, self.working)
        try:
            return await self.steps[min(len(self.bodies), len(self.steps)) - 1](request)
        finally:
            self.working -= 1


QUESTION = ChatRequest(
    model="asked",
    messages=(Message(role="system", text="Be brief."), Message(role="user", text="What is it?", jpeg=b"\xff\xd8pic")),
    schema={"type": "object"},
    max_tokens=50,
    temperature=0.5,
    seed=9,
)


def ask(
    *scripts: Scripted, times: int = 1, dead: tuple[str, ...] = (), **settings: Any
) -> list[ChatAnswer | BaseException]:
    """Asks all at once, and hands back answers and errors in order."""

    async def asked() -> list[ChatAnswer | BaseException]:
        async with AsyncExitStack() as stack:
            urls = []
            for script in scripts:
                app = web.Application()
                app.router.add_post("/v1/chat/completions", script.handle)
                server = await stack.enter_async_context(TestServer(app))
                urls.append(str(server.make_url("")))
            client = await stack.enter_async_context(ChatClient(servers=(*dead, *urls), **settings))
            return await asyncio.gather(*(client.ask(QUESTION) for _ in range(times)), return_exceptions=True)

    return asyncio.run(asked())


def closed_port() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "FIRST_REST_S", 0.01)


def test_an_answer_carries_text_model_and_tokens() -> None:
    expected = ChatAnswer(text="hello", finish_reason="stop", model="served", prompt_tokens=7, completion_tokens=3)
    assert ask(Scripted([says()])) == [expected]


def test_a_request_carries_picture_schema_seed_and_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "s3cret-value")
    server = Scripted([says()])
    ask(server, key_variable="SOME_KEY")
    body = server.bodies[0]
    system, user = body["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    picture, text = user["content"]
    assert picture["image_url"]["url"] == "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8pic").decode()
    assert text == {"type": "text", "text": "What is it?"}
    assert (body["model"], body["seed"], body["max_tokens"], body["temperature"]) == ("asked", 9, 50, 0.5)
    form = body["response_format"]
    assert (form["type"], form["json_schema"]["strict"]) == ("json_schema", True)
    assert form["json_schema"]["schema"] == {"type": "object"}
    assert server.keys == ["Bearer s3cret-value"]


def test_without_a_key_none_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    server = Scripted([says()])
    ask(server, key_variable="SOME_KEY")
    assert server.keys == [None]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_left_alone_for_as_long_as_it_says(status: int) -> None:
    server = Scripted([fails(status, **{"Retry-After": "0.4"}), says()])
    started = time.monotonic()
    (answer,) = ask(server)
    assert isinstance(answer, ChatAnswer)
    assert time.monotonic() - started >= 0.4
    assert len(server.bodies) == 2


@pytest.mark.parametrize("moment", ["Wed, 21 Oct 2015 07:28:00 GMT", "soon"])
def test_a_date_that_is_past_and_an_unreadable_time_hold_nothing_up(moment: str) -> None:
    (answer,) = ask(Scripted([fails(503, **{"Retry-After": moment}), says()]), timeout_s=5.0)
    assert isinstance(answer, ChatAnswer)


@pytest.mark.parametrize("lost", [hangs_up, fails(500), fails(502), speaks_html, takes(5.0, says())])
def test_a_request_lost_on_the_way_is_sent_again(lost: Step) -> None:
    server = Scripted([lost, lost, says("at last")])
    (answer,) = ask(server, timeout_s=0.6)
    assert isinstance(answer, ChatAnswer)
    assert answer.text == "at last"
    assert len(server.bodies) == 3


def answers_with(body: object, status: int = 200, content_type: str = "application/json") -> Step:
    async def reply(_: web.Request) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, content_type=content_type)

    return reply


@pytest.mark.parametrize("body", [{"choices": []}, {"id": "x"}, {"choices": None}, {"choices": [None]}, [], '{"choi'])
def test_a_body_without_an_answer_is_asked_for_again_and_then_is_the_rows_failure(body: object) -> None:
    server = Scripted([answers_with(body)])
    (error,) = ask(server, retries=2, patience_s=60.0)
    assert isinstance(error, ServerRejection) and error.kind == "empty_reply"
    assert len(server.bodies) == 3
    (answer,) = ask(Scripted([answers_with(body), says("at last")]), retries=2)
    assert isinstance(answer, ChatAnswer) and answer.text == "at last"


@pytest.mark.parametrize(
    ("body", "times"),
    [
        ({"object": "error", "message": "the words", "type": "NotFoundError", "code": 404}, 1),
        ({"error": {"message": "the words", "type": "authentication_error"}}, 1),
        ({"error": {"code": 502, "message": "the words"}}, 3),
        ({"error": {"code": "server_error", "message": "the words"}}, 3),
        ({"error": "the words", "error_type": "overloaded"}, 3),
        ({"choices": [{"finish_reason": "error", "error": {"code": 503, "message": "the words"}}]}, 3),
    ],
)
def test_an_error_inside_a_200_counts_as_its_own_status_and_is_quoted(body: object, times: int) -> None:
    server = Scripted([answers_with(body)])
    (error,) = ask(server, retries=2)
    assert isinstance(error, ServiceError) and "the words" in str(error) and "KeyError" not in str(error)
    assert len(server.bodies) == times


@pytest.mark.parametrize(
    "body", [{"error": {"code": 400, "message": "the words"}}, {"detail": "the words", "code": 422}]
)
def test_a_refusal_inside_a_200_is_the_rows_failure(body: object) -> None:
    (error,) = ask(Scripted([answers_with(body)]))
    assert isinstance(error, ServerRejection) and error.kind == "refused" and "the words" in str(error)


def test_a_page_in_place_of_answers_is_named_however_patient_the_settings_are() -> None:
    (error,) = ask(Scripted([speaks_html]), retries=2, patience_s=600.0)
    assert isinstance(error, ServiceError) and "answers with a page, not with the chat interface" in str(error)


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    async def floods(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            for _ in range(64):
                await response.write(b" " * (1 << 20))
        return response

    (error,) = ask(Scripted([floods]), retries=0)
    assert isinstance(error, ServerRejection) and "longer than 8 MiB" in str(error)


def test_a_picture_that_is_too_large_for_the_server_is_named_so() -> None:
    (error,) = ask(Scripted([answers_with("<html>too large</html>", 413, "text/html")]))
    assert isinstance(error, ServerRejection) and "too large for this server" in str(error)


def test_a_dead_server_is_an_error_that_names_it() -> None:
    url = closed_port()
    (error,) = ask(dead=(url,), retries=2)
    assert isinstance(error, ServiceError)
    assert url in str(error)
    assert "asked 3 times" in str(error)


def test_a_silent_server_is_an_error_that_names_the_time_out() -> None:
    (error,) = ask(Scripted([takes(5.0, says())]), retries=1, timeout_s=0.1)
    assert isinstance(error, ServiceError)
    assert "no answer within 0.1 s" in str(error)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_rejected_request_is_the_rows_failure_and_is_asked_once(status: int) -> None:
    server = Scripted([fails(status)])
    (error,) = ask(server)
    assert isinstance(error, RowError)
    assert error.kind == "refused"
    assert len(server.bodies) == 1


def test_a_model_that_refuses_is_the_rows_failure() -> None:
    (error,) = ask(Scripted([says("", refusal="I cannot help with that")]))
    assert isinstance(error, RowError)
    assert error.kind == "refused"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_would_fail_every_row_stops_at_once_and_keeps_the_key(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "s3cret-value")

    async def echoes_the_key(request: web.Request) -> web.Response:
        return web.Response(status=status, text=f"bad key {request.headers['Authorization']}")

    server = Scripted([echoes_the_key])
    (error,) = ask(server, key_variable="SOME_KEY")
    assert isinstance(error, ServiceError)
    assert f"HTTP {status}" in str(error)
    assert "s3cret-value" not in str(error)
    assert len(server.bodies) == 1


def test_a_server_gets_no_more_requests_than_it_may_have_in_flight() -> None:
    server = Scripted([takes(0.02, says())])
    answers = ask(server, times=30, in_flight=4)
    assert all(isinstance(answer, ChatAnswer) for answer in answers)
    assert server.most_working == 4


def test_the_server_with_the_fewest_outstanding_requests_is_next() -> None:
    slow, fast = Scripted([takes(0.2, says())]), Scripted([takes(0.01, says())])
    ask(slow, fast, times=60, in_flight=5)
    assert len(slow.bodies) + len(fast.bodies) == 60
    assert len(fast.bodies) > 2 * len(slow.bodies) >= 10


def test_equal_servers_share_the_work() -> None:
    servers = [Scripted([takes(0.02, says())]) for _ in range(3)]
    ask(*servers, times=60, in_flight=4)
    assert all(10 <= len(server.bodies) <= 30 for server in servers)


def test_the_living_servers_take_over_from_a_dead_one() -> None:
    alive = Scripted([takes(0.01, says())])
    answers = ask(alive, times=40, dead=(closed_port(),), in_flight=4)
    assert all(isinstance(answer, ChatAnswer) for answer in answers)
    assert len(alive.bodies) == 40


def test_addresses_may_end_in_v1_and_must_be_http() -> None:
    expected = "http://gpu-1:8000/v1/chat/completions"
    assert {chat_url(f"http://gpu-1:8000{end}") for end in ("", "/", "/v1", "/v1/")} == {expected}
    with pytest.raises(ConfigError, match="gpu-1:8000"):
        chat_url("gpu-1:8000")
    with pytest.raises(ConfigError, match="servers is empty"):
        ChatClient(servers=())
