"""Reads what chat servers answer, with the liberties that they take: shapes, fences, thoughts, errors in a 200."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from moodarchive.errors import RowError

MAX_ANSWER_BYTES = 8 << 20
"""Longer answers are not read: a caption has a thousandth of it."""
_LARGEST_COUNT = 2**31 - 1
_QUOTED_LETTERS = 300
_CUT = ("length", "max_tokens", "model_length")
_BROKEN_OFF = ("abort", "aborted", "cancelled", "error")
_FILTERED = ("content_filter", "safety", "guardrail")
"""Finish reasons, as the servers spell them."""
_ASIDE_FIELDS = ("reasoning_content", "reasoning", "thinking")
"""Where servers put a model's thoughts: vLLM and SGLang, OpenRouter, Ollama."""
_STATUS_BY_WORD = (
    ("not_found", 404),
    ("notfound", 404),
    ("authentication", 401),
    ("unauthorized", 401),
    ("invalid_api_key", 401),
    ("permission", 403),
    ("rate_limit", 429),
    ("ratelimit", 429),
    ("overloaded", 503),
    ("unavailable", 503),
    ("invalid_request", 400),
    ("badrequest", 400),
    ("bad_request", 400),
    ("validation", 422),
)
_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>.*?</\1>|\[THINK\].*?\[/THINK\]", re.DOTALL | re.IGNORECASE)
_THOUGHT_END = re.compile(r"</(?:think|thinking|thought|reasoning)>|\[/THINK\]", re.IGNORECASE)
_OPENINGS = 64
"""So many opening braces are tried: what has more in front of its object is no answer."""


@dataclass(frozen=True, kw_only=True)
class ChatAnswer:
    """What the server said; ``text`` is empty when it said nothing.

    ``aside`` names the field that holds text where ``text`` is empty, such as reasoning_content.
    """

    text: str
    finish_reason: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    aside: str = ""


class NotChatError(Exception):
    """The body is no answer of the chat interface; ``is_page`` where it is a web page."""

    def __init__(self, message: str, is_page: bool = False) -> None:
        super().__init__(message)
        self.is_page = is_page


class ErrorBodyError(Exception):
    """The body reports an error although its HTTP status is 200; ``status`` is the one that it names, 500 if none."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def read_chat_answer(content: bytes, model: str) -> ChatAnswer:
    """The answer in a body of status 200 to a question to ``model``.

    NotChatError when it has no answer in it, ErrorBodyError when it reports an error, RowError('refused') when the
    model refuses.
    """
    body = _read_json(content)
    if not isinstance(body, dict):
        raise NotChatError(f"the answer is no JSON object: {_quote(content)}")
    choices = body.get("choices")
    if not choices:
        _raise_error_in(body)
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise NotChatError(f"the answer holds no choices: {_quote(content)}")
    _raise_error_in(choice)
    message = choice.get("message")
    if not isinstance(message, dict):
        message = {"content": choice.get("text")}
        if not isinstance(message["content"], str):
            raise NotChatError(f"the answer's choice holds no message: {_quote(content)}")
    if refusal := message.get("refusal"):
        raise RowError("refused", str(refusal)[:_QUOTED_LETTERS])
    text = _text_of(message.get("content"))
    asides = [name for name in _ASIDE_FIELDS if not text.strip() and _text_of(message.get(name)).strip()]
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return ChatAnswer(
        text=text,
        finish_reason=_word(choice.get("finish_reason")),
        model=_word(body.get("model")) or model,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        aside=asides[0] if asides else "",
    )


def require_answered(answer: ChatAnswer) -> None:
    """RowError where the answer was cut or broken off (cut_off), filtered (refused) or is empty (no_answer)."""
    require_finished(answer.finish_reason, f" after {answer.completion_tokens} tokens")
    if not answer.text.strip():
        where = f"; its text stands in {answer.aside}: the server takes it for a thought" if answer.aside else ""
        raise RowError("no_answer", f"the answer is empty (finish_reason {answer.finish_reason!r}){where}")


def require_finished(finish_reason: str, cut: str = "") -> None:
    """RowError where a server stopped before the model did; ``cut`` ends the sentence on an answer that was cut."""
    reason = finish_reason.lower()
    if reason in _CUT:
        raise RowError("cut_off", f"the answer was cut{cut}")
    if reason in _BROKEN_OFF:
        raise RowError("cut_off", f"the server broke the answer off (finish_reason {finish_reason!r})")
    if reason in _FILTERED:
        raise RowError("refused", "the server's content filter stopped the answer")


def error_message(content: bytes) -> str:
    """What an error's body says: its message where it has one, else its first letters."""
    try:
        body = _read_json(content)
    except NotChatError:
        return _quote(content)
    return (_message_of(body) if isinstance(body, dict) else "") or _quote(content)


def find_object(text: str) -> dict[str, Any]:
    """The one JSON object in a model's text: bare, in a code fence, after its thoughts or between words of its own.

    ValueError says why there is none.
    """
    spoken = _THOUGHT.sub("", text.removeprefix("\ufeff"))
    spoken = _THOUGHT_END.split(spoken)[-1]  # templates that begin the thought themselves leave its end alone
    objects = list(_objects_in(spoken))
    if not objects:
        json.loads(spoken)  # its error says where the text breaks off
        raise ValueError("no JSON object")
    if any(other != objects[0] for other in objects[1:]):
        raise ValueError(f"{len(objects)} JSON objects that differ")
    return objects[0]


def _objects_in(text: str) -> Iterator[dict[str, Any]]:
    """Objects that lie side by side, from left to right."""
    decoder, at = json.JSONDecoder(), 0
    for _ in range(_OPENINGS):
        at = text.find("{", at)
        if at < 0:
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        yield value


def _read_json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        start = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if start == b"<":
            page = f"this address answers with a page, not with the chat interface: {_quote(content)}"
            raise NotChatError(page, is_page=True) from None
        raise NotChatError(f"the answer is not JSON ({error}): {_quote(content)}") from None


def _raise_error_in(body: Mapping[str, Any]) -> None:
    if not (body.get("error") or body.get("object") == "error" or body.get("detail")):
        return
    error = body["error"] if isinstance(body.get("error"), dict) else body
    raise ErrorBodyError(_message_of(body) or str(body)[:_QUOTED_LETTERS], _status_of(error))


def _message_of(body: Mapping[str, Any]) -> str:
    """The words of an error: OpenAI's nested form, vLLM's flat one, TGI's and Ollama's text, FastAPI's detail."""
    error = body.get("error")
    nested = error if isinstance(error, dict) else body
    spoken = nested.get("message") or (error if isinstance(error, str) else None) or body.get("detail")
    if spoken is None:
        return ""
    if isinstance(spoken, list):  # FastAPI's list of fields
        details = [entry for entry in spoken if isinstance(entry, dict)]
        lines = [f"{'.'.join(map(str, entry.get('loc') or ()))}: {entry.get('msg')}" for entry in details]
        spoken = "; ".join(lines) or spoken
    metadata = nested.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None  # OpenRouter: what its provider says
    return f"{spoken} ({raw})"[:_QUOTED_LETTERS] if raw else str(spoken)[:_QUOTED_LETTERS]


def _status_of(error: Mapping[str, Any]) -> int:
    for name in ("code", "status", "status_code", "http_status"):
        value = error.get(name)
        digits = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
        if digits.isascii() and digits.isdigit() and 400 <= int(digits[:4]) <= 599:
            return int(digits[:4])
    words = " ".join(str(error.get(name) or "") for name in ("code", "type", "error_type")).lower()
    return next((status for word, status in _STATUS_BY_WORD if word in words), 500)


def _text_of(content: Any) -> str:
    """A message's content as text: a list of parts is joined, JSON that was parsed already is written again."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_part_text(part) for part in content)
    if isinstance(content, dict):
        return (
            _part_text(content) if "type" in content or "text" in content else json.dumps(content, ensure_ascii=False)
        )
    return ""


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type", "text") not in ("text", "output_text"):
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else ""


def _word(value: Any) -> str:
    """A name as text: numbers are written out, an object's type counts, all else is no name."""
    if isinstance(value, dict):
        value = value.get("type")
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return 0
    return min(max(int(value), 0), _LARGEST_COUNT)


def _quote(content: bytes) -> str:
    return " ".join(content[: 2 * _QUOTED_LETTERS].decode(errors="replace").split())[:_QUOTED_LETTERS] or "(empty)"
