"""Each product is told the schema where its documentation says, and its answers and errors are read."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from annotate.answer import answer_schema
from moodarchive.chat.answers import ChatAnswer
from moodarchive.chat.client import ChatRequest, Message, ServerRejection
from moodarchive.chat.request_form import RequestForm
from moodarchive.chat.settings import ChatSettings
from moodarchive.errors import ConfigError
from moodarchive.settings import load
from tests.moodarchive.chat.documented_servers import ANSWER, SERVERS

SETTINGS: dict[str, dict[str, Any]] = {
    "vllm": {},
    "vllm structured": {"schema_form": "structured_outputs"},
    "sglang": {},
    "llama.cpp": {"schema_form": "json_object", "schema_patterns": False},
    "ollama": {},
    "lm studio": {},
    "tgi": {"schema_form": "value"},
    "openrouter": {},
    "strict": {"leave_out": ("seed",), "limit_name": "max_completion_tokens"},
}
QUESTION = ChatRequest(
    model="asked",
    messages=(Message(role="user", text="What is it?", jpeg=b"\xff\xd8pic"),),
    schema=answer_schema(),
    max_tokens=50,
    temperature=0.5,
    seed=9,
)


def ask(product: str, **settings: Any) -> ChatAnswer:
    async def ask_once() -> ChatAnswer:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", SERVERS[product].handle)
        async with TestServer(app) as server:
            chosen = ChatSettings(servers=(str(server.make_url("")),), retries=0, patience_s=0.0, **settings)
            async with chosen.client() as client:
                return await client.ask(QUESTION)

    return asyncio.run(ask_once())


@pytest.mark.parametrize("product", SERVERS)
def test_each_product_is_told_the_schema_as_its_documentation_says(product: str) -> None:
    answer = ask(product, **SETTINGS[product])
    assert (answer.text, answer.model, answer.prompt_tokens) == (ANSWER, "served", 7)


@pytest.mark.parametrize(
    ("product", "words"),
    [
        ("vllm structured", "no schema: KeyError 'structured_outputs'"),
        ("llama.cpp", "no schema: AssertionError"),
        ("tgi", "no schema: AssertionError"),
        ("strict", "seed is not permitted"),
    ],
)
def test_without_the_setting_the_product_s_own_words_say_what_is_wrong(product: str, words: str) -> None:
    with pytest.raises(ServerRejection, match=words):
        ask(product)


def test_a_grammar_that_cannot_be_parsed_is_quoted() -> None:
    with pytest.raises(ServerRejection, match="Failed to parse grammar"):
        ask("llama.cpp", schema_form="json_object")


def test_the_form_by_default_changes_nothing_and_none_sends_no_schema() -> None:
    payload = QUESTION.payload()
    assert RequestForm().write(payload) == payload
    assert "response_format" not in RequestForm(schema="none").write(payload)
    assert "response_format" in payload


def test_leaving_out_patterns_leaves_the_bounds_and_a_field_of_that_name() -> None:
    schema = {"type": "object", "properties": {"pattern": {"type": "string", "pattern": "^a$", "maxLength": 3}}}
    request = ChatRequest(model="m", messages=(), schema=schema, max_tokens=1, temperature=0.0, seed=1)
    written = RequestForm(patterns=False).write(request.payload())
    properties = written["response_format"]["json_schema"]["schema"]["properties"]
    assert properties == {"pattern": {"type": "string", "maxLength": 3}}
    assert "^a$" in json.dumps(request.payload())


@pytest.mark.parametrize("line", ['schema_form = "guess"', 'limit_name = "tokens"', 'leave_out = ["model"]'])
def test_a_form_that_does_not_exist_is_answered_with_those_that_do(line: str) -> None:
    with pytest.raises(ConfigError, match=r"should be|legal|input"):
        load(ChatSettings, line, "my.toml")
