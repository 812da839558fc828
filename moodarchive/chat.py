"""Asks models behind OpenAI-compatible servers, over several servers, with back-pressure and bounded retries."""

import asyncio
import base64
import json
import os
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, NoReturn, Self

import aiohttp

from moodarchive.errors import ConfigError, RowError, ServiceError
from moodarchive.part_log import redacted

FIRST_REST_S = 0.5
LONGEST_REST_S = 60.0
LONGEST_RETRY_AFTER_S = 600.0
_BUSY = (408, 425, 429)
_MISPLACED = (401, 403, 404, 405)
"""These would refuse every row alike: a wrong key, URL or model name is a person's to mend, not a row's failure."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn of the conversation; a picture, a JPEG, stands before the words."""

    role: str
    text: str
    jpeg: bytes | None = None

    def payload(self) -> dict[str, Any]:
        """As the interface wants it, the picture as a data URL."""
        if self.jpeg is None:
            return {"role": self.role, "content": self.text}
        url = "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode()
        picture = {"type": "image_url", "image_url": {"url": url}}
        return {"role": self.role, "content": [picture, {"type": "text", "text": self.text}]}


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """One question; ``schema`` is the JSON schema that the server must hold the answer to, None for free text."""

    model: str
    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None = None
    max_tokens: int
    temperature: float
    seed: int

    def payload(self) -> dict[str, Any]:
        """The request's body."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [message.payload() for message in self.messages],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
        }
        if self.schema is not None:
            form = {"name": "answer", "strict": True, "schema": self.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        return body


@dataclass(frozen=True, kw_only=True)
class ChatAnswer:
    """What the server said; ``text`` is empty when it said nothing."""

    text: str
    finish_reason: str
    model: str
    prompt_tokens: int
    completion_tokens: int


class _Lost(Exception):
    """The request came to nothing on the way; ``retry_after`` in seconds, None when the server named no time."""

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


@dataclass
class _Server:
    """One server and how it fares; times are those of the monotonic clock."""

    url: str
    outstanding: int = 0
    failures: int = 0
    rests_until: float = 0.0

    def rest(self, asked_at: float, retry_after: float | None, jitter: float) -> None:
        """Leaves the server alone for a while, longer after each failure in a row.

        Requests that were on the way together fail together: only the first of them lengthens the next rest.
        """
        if asked_at >= self.rests_until:
            self.failures += 1
        if retry_after is None:
            retry_after = min(LONGEST_REST_S, FIRST_REST_S * 2 ** min(self.failures - 1, 16))
        self.rests_until = max(self.rests_until, time.monotonic() + retry_after * jitter)


@dataclass(kw_only=True)
class ChatClient:
    """Use as ``async with ChatClient(...) as client``; each server gets at most ``in_flight`` requests at a time.

    A request goes to the server with the fewest outstanding ones. A server that says that it is busy, breaks off or
    answers with a 5xx rests; meanwhile the others work. ``key_variable`` names the environment variable of the key.
    """

    servers: tuple[str, ...]
    in_flight: int = 16
    timeout_s: float = 300.0
    retries: int = 6
    key_variable: str = "MOODARCHIVE_CHAT_KEY"
    _states: list[_Server] = field(init=False, repr=False)
    _changed: asyncio.Event = field(init=False, repr=False, default_factory=asyncio.Event)
    _jitter: random.Random = field(init=False, repr=False, default_factory=random.Random)
    _session: aiohttp.ClientSession = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._states = [_Server(chat_url(server)) for server in self.servers]
        if not self._states:
            raise ConfigError("servers is empty; remedy: name at least one, such as http://127.0.0.1:8000")

    async def __aenter__(self) -> Self:
        key = os.environ.get(self.key_variable)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # the bound is ours: a full pool would hide which server is slow
            timeout=aiohttp.ClientTimeout(total=self.timeout_s),
            headers={"Authorization": f"Bearer {key}"} if key else None,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        """The answer; RowError('refused') when a server rejects this request.

        ServiceError names the URL once the retries are spent, or at once when no request could ever succeed there.
        """
        body = request.payload()
        for attempt in range(self.retries + 1):
            server = await self._free_server()
            asked_at = time.monotonic()
            try:
                answer = await self._post(server.url, body)
                server.failures = 0
                return answer
            except _Lost as lost:
                server.rest(asked_at, lost.retry_after, self._jitter.uniform(1.0, 1.5))
                if attempt == self.retries:
                    raise ServiceError(
                        f"{server.url} does not answer ({lost}), asked {attempt + 1} times; remedy: see that the "
                        "server runs and serves the model, then run again"
                    ) from None
            finally:
                server.outstanding -= 1
                self._changed.set()
        raise AssertionError("the loop above returns or raises")

    async def _free_server(self) -> _Server:
        """Waits for a server that is neither full nor at rest, and takes one of its places."""
        while True:
            now = time.monotonic()
            with_room = [server for server in self._states if server.outstanding < self.in_flight]
            awake = [server for server in with_room if server.rests_until <= now]
            if awake:
                chosen = min(awake, key=lambda server: server.outstanding)
                chosen.outstanding += 1
                return chosen
            self._changed.clear()
            wait = min((server.rests_until for server in with_room), default=now + LONGEST_REST_S) - now
            with suppress(TimeoutError):  # a server has rested long enough
                await asyncio.wait_for(self._changed.wait(), timeout=wait)

    async def _post(self, url: str, body: dict[str, Any]) -> ChatAnswer:
        try:
            async with self._session.post(url, json=body) as response:
                content = await response.read()
                if response.status != 200:
                    _raise_for(url, response, redacted(content[:300].decode(errors="replace")))
                return _parsed(json.loads(content))
        except TimeoutError:
            raise _Lost(f"no answer within {self.timeout_s:g} s") from None
        except aiohttp.ClientError as error:
            raise _Lost(str(error) or type(error).__name__) from None
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise _Lost(f"the answer is not of the chat interface: {type(error).__name__} {error}") from None


def chat_url(server: str) -> str:
    """Where a server takes chats; ``server`` may end in /v1 or not. ConfigError when it is no http address."""
    if not server.startswith(("http://", "https://")):
        raise ConfigError(f"servers: {server!r} is not an address such as http://127.0.0.1:8000")
    return server.rstrip("/").removesuffix("/v1") + "/v1/chat/completions"


def _raise_for(url: str, response: aiohttp.ClientResponse, says: str) -> NoReturn:
    status = response.status
    if status in _BUSY or status >= 500:
        raise _Lost(f"HTTP {status}: {says}", _retry_after(response.headers.get("Retry-After")))
    if status in _MISPLACED or status < 400:
        raise ServiceError(f"{url} says HTTP {status}: {says}; remedy: check the address, the model's name and the key")
    raise RowError("refused", f"{url} says HTTP {status}: {says}")


def _retry_after(header: str | None) -> float | None:
    """Seconds to wait, from a number or a date; None when absent or unreadable."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


def _parsed(body: Any) -> ChatAnswer:
    choice = body["choices"][0]
    usage = body.get("usage") or {}
    if choice["message"].get("refusal"):
        raise RowError("refused", str(choice["message"]["refusal"])[:300])
    return ChatAnswer(
        text=choice["message"].get("content") or "",
        finish_reason=choice.get("finish_reason") or "",
        model=body["model"],
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or 0),
    )
