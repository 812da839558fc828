"""Asks models behind OpenAI-compatible servers, over several servers, with back-pressure and bounded retries."""

import asyncio
import base64
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NoReturn, Self

import aiohttp

from moodarchive.chat.retry_after import retry_after
from moodarchive.chat.servers import LiveServers, Server, ServerLine
from moodarchive.errors import ConfigError, MoodArchiveError, RowError, ServiceError
from moodarchive.running.part_log import redact

FIRST_REST_S = 0.5
LONGEST_RETRY_AFTER_S = 600.0
_LOOK_S = 1.0
"""How often servers that come and go are looked for."""
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

    def __init__(self, why: str, retry_after: float | None = None, says_busy: bool = False) -> None:
        super().__init__(why)
        self.retry_after = retry_after
        self.says_busy = says_busy


@dataclass
class Timing:
    """Seconds that requests waited for a place and were in work, and how often they were lost; never in a table."""

    queued_s: float = 0.0
    served_s: float = 0.0
    answers: int = 0
    lost: int = 0

    def add(self, queued_s: float, served_s: float, lost: int) -> None:
        """Counts one answer."""
        self.queued_s += queued_s
        self.served_s += served_s
        self.answers += 1
        self.lost += lost


@dataclass(kw_only=True)
class ChatClient:
    """Use as ``async with ChatClient(...) as client``; each server gets at most ``in_flight`` requests at a time.

    A request goes to the server with the fewest outstanding ones. A server that says that it is busy, or loses answers
    in a row, rests; meanwhile the others work. ``key_variable`` names the environment variable of the key. The servers
    are those of ``servers``, or those that ``live`` names at the moment.
    """

    servers: tuple[str, ...] = ()
    live: LiveServers | None = None
    in_flight: int = 16
    timeout_s: float = 300.0
    retries: int = 6
    patience_s: float = 0.0
    """How long servers that all are silent are waited for before it is an error."""
    key_variable: str = "MOODARCHIVE_CHAT_KEY"
    states: list[Server] = field(init=False, repr=False)
    _line: ServerLine = field(init=False, repr=False)
    _session: aiohttp.ClientSession = field(init=False, repr=False)
    _answered: int = 0
    _looking: asyncio.Task[None] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        self.states = [Server(chat_url(server)) for server in self.servers]
        if not self.states and self.live is None:
            raise ConfigError("servers is empty; remedy: name at least one, such as http://127.0.0.1:8000")
        self._line = ServerLine(self.states, self.in_flight)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # the bound is ours: a full pool would hide which server is slow
            timeout=aiohttp.ClientTimeout(total=self.timeout_s),
        )
        if self.live is not None:
            self._looking = asyncio.create_task(self._look(self.live))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._looking is not None:
            self._looking.cancel()
        self._line.close()
        await self._session.close()

    async def ask(self, request: ChatRequest, turn: int = 0, seen: Timing | None = None) -> ChatAnswer:
        """The answer; requests of a lower ``turn`` go first, and ``seen`` gets the times.

        RowError('refused') when a server rejects this request, and ('server_failed') when it is lost again and again
        while others are answered. ServiceError names the URL once retries and patience are spent and no other request
        was answered meanwhile, or at once when no request could ever succeed there.
        """
        body = json.dumps(request.payload()).encode()
        began, answered_before = time.monotonic(), self._answered
        attempt = 0
        while True:
            lined_up = time.monotonic()
            server = await self._line.take(turn)
            asked_at = time.monotonic()
            try:
                answer = await self._post(server.url, body)
                server.failures = 0
                self._answered += 1
                if seen is not None:
                    seen.add(asked_at - lined_up, time.monotonic() - asked_at, attempt)
                return answer
            except _Lost as lost:
                self._line.rest(server, asked_at, lost.retry_after, FIRST_REST_S)
                if attempt >= self.retries:
                    self._give_up(server, lost, attempt, began, answered_before)
            finally:
                self._line.leave(server)
            attempt += 1

    async def _look(self, live: LiveServers) -> None:
        while True:
            try:
                self._line.replace([chat_url(url) for url in await asyncio.to_thread(live)])
            except MoodArchiveError as error:
                self._line.give_up(error)
            await asyncio.sleep(_LOOK_S)

    def _give_up(self, server: Server, lost: _Lost, attempt: int, began: float, answered_before: int) -> None:
        """Raises unless the servers may just be restarting."""
        says = f"{server.url} does not answer ({lost}), asked {attempt + 1} times"
        if not lost.says_busy and self._answered - answered_before > max(1, len(self.states)) * self.in_flight:
            raise RowError("server_failed", f"{says}, while others were answered")
        if time.monotonic() - began >= self.patience_s:
            raise ServiceError(
                f"{says}; remedy: see that the server runs and serves the model, then run again"
            ) from None

    def _headers(self) -> dict[str, str]:
        key = os.environ.get(self.key_variable)
        return {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}

    async def _post(self, url: str, body: bytes) -> ChatAnswer:
        try:
            async with self._session.post(url, data=body, headers=self._headers()) as response:
                content = await response.read()
                if response.status != 200:
                    _raise_for(url, response, redact(content[:300].decode(errors="replace")))
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
        busy = status in (*_BUSY, 503)
        raise _Lost(f"HTTP {status}: {says}", _rest_asked(response.headers.get("Retry-After"), busy), busy)
    if status in _MISPLACED or status < 400:
        raise ServiceError(f"{url} says HTTP {status}: {says}; remedy: check the address, the model's name and the key")
    raise RowError("refused", f"{url} says HTTP {status}: {says}")


def _rest_asked(header: str | None, busy: bool) -> float | None:
    """Seconds to wait, within bounds; a busy server that names none gets a short rest."""
    if header is None:
        return FIRST_REST_S if busy else None
    seconds = retry_after(header)
    return None if seconds is None else min(seconds, LONGEST_RETRY_AFTER_S)


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
