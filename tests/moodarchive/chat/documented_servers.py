"""Small servers that take and answer chats as each product's documentation says, and refuse what it does not know."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

ANSWER = '{"summary": "A boat."}'
Body = dict[str, Any]


def choice(content: Any = ANSWER, finish_reason: str = "stop", **message: Any) -> Body:
    return {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish_reason}


def usage(**more: Any) -> Body:
    return {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, **more}


@dataclass(frozen=True, kw_only=True)
class Documented:
    """One product: where it finds the schema in a request, what it answers, and how it words an error."""

    schema_of: Callable[[Body], Any]
    answer: Body
    error: Callable[[str], Body]
    unknown: tuple[str, ...] = ()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        try:
            schema = self.schema_of(body)
        except (KeyError, TypeError, AssertionError) as error:
            return web.json_response(self.error(f"no schema: {type(error).__name__} {error}"), status=400)
        if unknown := [name for name in self.unknown if name in body]:
            return web.json_response(self.error(f"{unknown[0]} is not permitted"), status=422)
        if not isinstance(schema, dict) or schema.get("type") != "object":
            return web.json_response(self.error("Failed to parse grammar"), status=400)
        return web.json_response({**self.answer, "seen_schema": json.dumps(schema)})


def openai_schema(body: Body) -> Any:
    form = body["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["name"]
    return form["json_schema"]["schema"]


def vllm_schema(body: Body) -> Any:
    return body["structured_outputs"]["json"]


def llama_cpp_schema(body: Body) -> Any:
    form = body["response_format"]
    assert form["type"] == "json_object"
    if "pattern" in json.dumps(form["schema"]):
        return None  # its grammars know a part of all patterns
    return form["schema"]


def tgi_schema(body: Body) -> Any:
    """As its integration tests ask (test_grammar_response_format_llama.py, test_json_schema_constrain.py)."""
    form = body["response_format"]
    assert form["type"] in ("json", "json_object", "json_schema") and "value" in form
    return form["value"]["schema"] if form["type"] == "json_schema" else form["value"]


def nested(message: str) -> Body:
    return {"error": {"message": message, "type": "invalid_request_error", "code": 400}}


def flat(message: str) -> Body:
    return {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}


COMPLETION = {"id": "x", "object": "chat.completion", "created": 1, "model": "served"}
SERVERS = {
    "vllm": Documented(
        schema_of=openai_schema,
        answer={**COMPLETION, "choices": [choice(reasoning_content=None, tool_calls=[])], "usage": usage()},
        error=nested,
    ),
    "vllm structured": Documented(
        schema_of=vllm_schema, answer={**COMPLETION, "choices": [choice()], "usage": usage()}, error=flat
    ),
    "sglang": Documented(
        schema_of=openai_schema,
        answer={
            **COMPLETION,
            "choices": [{**choice(reasoning_content=None, tool_calls=None), "matched_stop": 2, "logprobs": None}],
            "usage": usage(prompt_tokens_details=None),
        },
        error=flat,
    ),
    "llama.cpp": Documented(
        schema_of=llama_cpp_schema,
        answer={**COMPLETION, "choices": [choice()], "usage": usage(), "timings": {"prompt_n": 7, "predicted_ms": 4.5}},
        error=nested,
    ),
    "ollama": Documented(
        schema_of=openai_schema,
        answer={**COMPLETION, "system_fingerprint": "fp_ollama", "choices": [choice()], "usage": usage()},
        error=nested,
    ),
    "lm studio": Documented(
        schema_of=openai_schema,
        answer={**COMPLETION, "choices": [{**choice(), "logprobs": None}], "usage": usage(), "stats": {}},
        error=lambda message: {"error": message},
    ),
    "tgi": Documented(
        schema_of=tgi_schema,
        answer={**COMPLETION, "choices": [choice(finish_reason="eos_token")], "usage": usage()},
        error=lambda message: {"error": message, "error_type": "validation"},
    ),
    "openrouter": Documented(
        schema_of=openai_schema,
        answer={
            **COMPLETION,
            "provider": "Some",
            "choices": [{**choice(refusal=None, reasoning=None), "native_finish_reason": "STOP"}],
            "usage": usage(cost=0.0001),
        },
        error=lambda message: {"error": {"message": message, "code": 400}, "user_id": "u"},
    ),
    "strict": Documented(
        schema_of=openai_schema,
        answer={**COMPLETION, "choices": [choice()], "usage": usage()},
        error=lambda message: {"detail": [{"type": "extra_forbidden", "loc": ["body"], "msg": message}]},
        unknown=("seed", "max_tokens"),
    ),
}
