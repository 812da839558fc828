"""A stand-in for a served vision-language model: it speaks the same interface, but only measures the picture.

``python -m pipelines.demo.captioner.server --port 0 --announce FILE`` writes its address to FILE once it listens, and
ends with its parent process, so that a killed demo leaves nothing behind.
"""

import asyncio
import base64
import binascii
import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
from aiohttp import web

from moodarchive.emotions.captions import caption_text
from pipelines.demo.captioner.measures import MAX_BYTES, NotAPicture, measure
from pipelines.demo.captioner.sentences import compose, hints_in
from pipelines.demo.captioner.shape import fill_schema
from pipelines.demo.serving import serve_until_orphaned, serving_arguments

MODEL = "moodarchive-demo-measurements-v1"
"""The name says what answers: measurements, no model of language or vision."""

_MAX_TOKENS = 1024
_PATCH = 14
"""Pixels a side of what counts as one picture token, as in CLIP's vision towers."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a request asks, once checked."""

    picture: bytes
    texts: tuple[str, ...]
    schema: dict[str, Any] | None
    max_tokens: int
    seed: int


class BadRequest(ValueError):
    """The request is not one that this server answers; ``status`` is the HTTP status."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def question_of(body: Any) -> Question:
    """Reads a request's body; BadRequest says what is wrong with it."""
    try:
        if body["model"] != MODEL:
            raise BadRequest(f"the model {body['model']!r} does not exist; this server has {MODEL}", 404)
        if body.get("stream") or body.get("n", 1) != 1:
            raise BadRequest("only one answer at a time, not streamed")
        parts = [part for message in body["messages"] for part in _parts(message["content"])]
        pictures = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        form = body.get("response_format") or {}
        if len(pictures) != 1:
            raise BadRequest(f"the messages hold {len(pictures)} pictures, exactly one is needed")
        return Question(
            picture=_from_data_url(pictures[0]),
            texts=tuple(str(part["text"]) for part in parts if part["type"] == "text"),
            schema=form["json_schema"]["schema"] if form.get("type") == "json_schema" else None,
            max_tokens=int(body.get("max_tokens") or _MAX_TOKENS),
            seed=int(body.get("seed") or 0),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise BadRequest(f"not a chat request: {type(error).__name__} {error}") from None


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _from_data_url(url: str) -> bytes:
    head, _, data = url.partition(",")
    if not head.startswith("data:image/") or not head.endswith(";base64"):
        raise BadRequest("the picture must be a base64 data URL; nothing is fetched")
    if len(data) > MAX_BYTES * 4 // 3 + 4:
        raise BadRequest(f"the picture has more than {MAX_BYTES} bytes", 413)
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise BadRequest(f"the picture's data URL is damaged: {error}") from None


def answer_to(question: Question) -> dict[str, Any]:
    """The reply's body, equal for equal questions; BadRequest when the picture cannot be measured."""
    try:
        measures = measure(question.picture)
    except NotAPicture as error:
        raise BadRequest(f"the picture cannot be read: {error}") from None
    prompt = "\n".join(question.texts)
    digest = hashlib.sha256(question.picture + prompt.encode() + str(question.seed).encode()).hexdigest()
    composed = compose(measures, hints_in(prompt), digest)
    if question.schema is None:
        text = caption_text(composed.summary, composed.stimuli, composed.assessment)
    else:
        text = json.dumps(fill_schema(question.schema, composed), ensure_ascii=False)
    text, written, reason = _within(text, question.max_tokens)
    read = -(-measures.width // _PATCH) * -(-measures.height // _PATCH) + len(_tokens(prompt))
    message = {"role": "assistant", "content": text}
    return {
        "id": f"chatcmpl-{digest[:24]}",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }


def _tokens(text: str) -> list[re.Match[str]]:
    return list(re.finditer(r"\w+|[^\w\s]", text))


def _within(text: str, max_tokens: int) -> tuple[str, int, str]:
    """The text cut to the limit, its tokens and the finish reason."""
    tokens = _tokens(text)
    if len(tokens) <= max_tokens:
        return text, len(tokens), "stop"
    return text[: tokens[max_tokens].start()], max_tokens, "length"


class CaptionServer:
    """The routes; one thread measures, so that requests beyond it wait in line as they would for a GPU."""

    def __init__(self) -> None:
        self._measuring = ThreadPoolExecutor(1)

    def app(self) -> web.Application:
        """The web application."""
        app = web.Application(client_max_size=2 * MAX_BYTES)
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/v1/models", self._models),
                web.post("/v1/chat/completions", self._chat),
            ]
        )
        return app

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _models(self, request: web.Request) -> web.Response:
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "moodarchive"}
        return web.json_response({"object": "list", "data": [model]})

    async def _chat(self, request: web.Request) -> web.Response:
        try:
            try:
                body = json.loads(await request.read())
            except ValueError as error:
                raise BadRequest(f"the body is not JSON: {error}") from None
            loop = asyncio.get_running_loop()
            return web.json_response(await loop.run_in_executor(self._measuring, _answer, body))
        except BadRequest as error:
            said = {"message": str(error), "type": type(error).__name__, "code": error.status}
            return web.json_response({"error": said}, status=error.status)


def _answer(body: Any) -> dict[str, Any]:
    return answer_to(question_of(body))


def main() -> None:
    """The command line."""
    cv2.setNumThreads(1)
    arguments = serving_arguments("A stand-in for a served vision-language model").parse_args()
    serve_until_orphaned(CaptionServer().app(), arguments)


if __name__ == "__main__":
    main()
