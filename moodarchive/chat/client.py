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

from moodarchive.chat.answers import (
    MAX_ANSWER_BYTES,
    ChatAnswer,
    ErrorBodyError,
    NotChatError,
    error_message,
    read_chat_answer,
)
from moodarchive.chat.request_form import RequestForm
from moodarchive.chat.retry_after import retry_after
from moodarchive.chat.server_phases import ServerPhases, read_phases
from moodarchive.chat.servers import LiveServers, Server, ServerLine
from moodarchive.errors import ConfigError, MoodArchiveError, RowError, ServiceError
from moodarchive.running.part_log import redact

FIRST_REST_S = 0.5
LONGEST_RETRY_AFTER_S = 600.0
_LOOK_S = 1.0
"""How often servers that come and go are looked for."""
_METRICS_S = 5.0
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


class ServerRejection(RowError):
    """A server turned the request down, or answered it without an answer; one picture's fault or the service's."""


class _Lost(Exception):
    """The request came to nothing on the way; ``retry_after`` in seconds, None when the server named no time.

    ``is_silent`` is False where the server did answer, with a body that holds no answer: to wait for it mends nothing.
    """

    def __init__(
        self,
        cause: str,
        retry_after: float | None = None,
        *,
        says_busy: bool = False,
        is_silent: bool = True,
        is_page: bool = False,
    ) -> None:
        super().__init__(cause)
        self.retry_after = retry_after
        self.says_busy = says_busy
        self.is_silent = is_silent
        self.is_page = is_page


@dataclass
class Timing:
    """Seconds that requests waited for a slot and were in work, and how often they were lost; never in a table."""

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
    form: RequestForm = field(default_factory=RequestForm)
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

    async def ask(self, request: ChatRequest, turn: int = 0, timing: Timing | None = None) -> ChatAnswer:
        """The answer; requests of a lower ``turn`` go first, and ``timing`` gets the times.

        ServerRejection('refused') when a server rejects this request, ('empty_reply') when its answers hold nothing of
        the interface, RowError('server_failed') when it is lost again and again while others are answered.
        ServiceError names the URL once retries and patience are spent and no other request was answered meanwhile, or
        at once when no request could ever succeed there.
        """
        body = json.dumps(self.form.write(request.payload())).encode()
        began, answered_before = time.monotonic(), self._answered
        attempt = 0
        while True:
            queued_at = time.monotonic()
            server = await self._line.take(turn)
            sent_at = time.monotonic()
            try:
                answer = await self._post(server.url, body, request.model)
                server.failures = 0
                self._answered += 1
                if timing is not None:
                    timing.add(sent_at - queued_at, time.monotonic() - sent_at, attempt)
                return answer
            except _Lost as lost:
                self._line.rest(server, sent_at, lost.retry_after, FIRST_REST_S)
                if attempt >= self.retries:
                    self._give_up(server, lost, attempt, began, answered_before)
            finally:
                self._line.leave(server)
            attempt += 1

    async def read_phases(self) -> dict[str, ServerPhases]:
        """What each server that publishes vLLM's metrics has counted, by its address; others are left out."""
        urls = [server.url for server in self.states]
        phases = await asyncio.gather(*(self._read_phases(url) for url in urls))
        return {url: counted for url, counted in zip(urls, phases, strict=True) if counted is not None}

    async def _read_phases(self, url: str) -> ServerPhases | None:
        address = url.removesuffix("/v1/chat/completions") + "/metrics"
        timeout = aiohttp.ClientTimeout(total=_METRICS_S)
        try:
            async with self._session.get(address, headers=self._headers(), timeout=timeout) as response:
                content = await _read_bounded(response)
                return read_phases(content.decode(errors="replace")) if response.status == 200 else None
        except (TimeoutError, aiohttp.ClientError, NotChatError):
            return None  # figures for people; the answers do not depend on them

    async def _look(self, live: LiveServers) -> None:
        while True:
            try:
                self._line.replace([chat_url(url) for url in await asyncio.to_thread(live)])
            except MoodArchiveError as error:
                self._line.give_up(error)
            await asyncio.sleep(_LOOK_S)

    def _give_up(self, server: Server, lost: _Lost, attempt: int, began: float, answered_before: int) -> None:
        """Raises unless the servers may just be restarting."""
        if lost.is_page:
            raise ServiceError(f"{server.url}: {lost}; remedy: name the chat server's own address") from None
        if not lost.is_silent:
            raise ServerRejection("empty_reply", f"{server.url}: {lost}, asked {attempt + 1} times") from None
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

    async def _post(self, url: str, body: bytes, model: str) -> ChatAnswer:
        try:
            async with self._session.post(url, data=body, headers=self._headers()) as response:
                content = await _read_bounded(response)
                if response.status != 200:
                    _raise_for(url, response.status, error_message(content), response.headers.get("Retry-After"))
                return read_chat_answer(content, model)
        except TimeoutError:
            raise _Lost(f"no answer within {self.timeout_s:g} s") from None
        except aiohttp.ClientError as error:
            raise _Lost(str(error) or type(error).__name__) from None
        except ErrorBodyError as error:
            _raise_for(url, error.status, str(error), None)
        except NotChatError as error:
            raise _Lost(redact(str(error)), is_silent=False, is_page=error.is_page) from None


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body; NotChatError when it is longer than any answer."""
    content = b""
    async for chunk in response.content.iter_chunked(1 << 16):
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            response.close()
            raise NotChatError(f"the answer is longer than {MAX_ANSWER_BYTES >> 20} MiB")
    return content


def chat_url(server: str) -> str:
    """Where a server takes chats; ``server`` may end in /v1 or not. ConfigError when it is no http address."""
    if not server.startswith(("http://", "https://")):
        raise ConfigError(f"servers: {server!r} is not an address such as http://127.0.0.1:8000")
    return server.rstrip("/").removesuffix("/v1") + "/v1/chat/completions"


def _raise_for(url: str, status: int, message: str, retry_after_header: str | None) -> NoReturn:
    message = redact(message)
    if status in _BUSY or status >= 500:
        busy = status in (*_BUSY, 503)
        raise _Lost(f"HTTP {status}: {message}", _rest_seconds(retry_after_header, busy), says_busy=busy)
    if status in _MISPLACED or status < 400:
        raise ServiceError(
            f"{url} says HTTP {status}: {message}; remedy: check the address, the model's name and the key"
        )
    if status == 413:
        message = f"the picture is too large for this server; {message}"
    raise ServerRejection("refused", f"{url} says HTTP {status}: {message}")


def _rest_seconds(header: str | None, busy: bool) -> float | None:
    """Seconds to wait, within bounds; a busy server that names none gets a short rest."""
    if header is None:
        return FIRST_REST_S if busy else None
    seconds = retry_after(header)
    return None if seconds is None else min(seconds, LONGEST_RETRY_AFTER_S)
