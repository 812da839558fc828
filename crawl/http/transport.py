"""Requests to hosts that nobody vetted: addresses, turns, robots.txt, redirects, retries and limits, in one place."""

import asyncio
import io
import math
import random
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from crawl.encodings import decode_body
from crawl.http.addresses import VettedResolver, join_location, vet_url
from crawl.http.deadline import Stopwatch
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.robots import MAX_BYTES, RobotsMemory, Rules
from moodarchive.chat.retry_after import retry_after
from moodarchive.errors import RowError

MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
THROTTLED = (429, 503)
LONGEST_PAUSE_S = 60.0
LONGEST_CLOSE_S = 5.0
MOST_HEADER_BYTES = 64 << 10
"""Of one line: policies of sites grow past the usual 8 kB."""
READ_BYTES = 1 << 18
"""How much of an answer waits unread in memory; reading pauses at twice as much."""


class HostLeftAlone(RowError):
    """The host kept failing, and is not asked for a while; the kind is that of its latest failure."""


class AskAgain(Exception):
    """The server asked for patience (``wait_s`` seconds where it says how long), or failed in a way that may pass."""

    def __init__(self, kind: str, wait_s: float | None = None) -> None:
        self.kind, self.wait_s = kind, wait_s


@dataclass(frozen=True, kw_only=True)
class Persistence:
    """How long a request is kept up.

    ``deadline_s`` is spent on the wire, all redirects together, and all attempts where ``one_deadline``; turns and
    pauses do not count. All pauses together are at most ``longest_wait_s``, and no server can hold its host for longer.
    """

    deadline_s: float
    attempts: int = 4
    first_pause_s: float = 0.25
    longest_wait_s: float = 60.0
    one_deadline: bool = True


@dataclass(frozen=True)
class Answer:
    """One answer, taken apart."""

    url: str
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


def accept_all(_: Answer) -> None:
    """No answer is refused."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for.

    ``admit`` sees an answer without its body, ``judge`` the whole one; both refuse it by RowError or AskAgain.
    Headers go to the first host only, because they may hold a key.
    """

    url: str
    max_bytes: int
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    source: str = ""
    heeds_robots: bool = True
    admit: Callable[[Answer], None] = accept_all
    judge: Callable[[Answer], None] = accept_all


@dataclass
class Transport:
    """A pool of connections; use as an async context manager.

    With ``rate_limits``, every host is paced, and one that keeps failing is left alone by the whole cluster.
    """

    user_agent: str
    persistence: Persistence
    loopback_hosts: Mapping[str, str] = field(default_factory=dict)
    connections: int = 64
    rate_limits: RateLimitClient | None = None
    robots: RobotsMemory = field(default_factory=RobotsMemory, repr=False)
    _reading_robots: dict[str, asyncio.Lock] = field(default_factory=dict, repr=False)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=VettedResolver(self.loopback_hosts), limit=self.connections, use_dns_cache=False
            ),
            headers={"User-Agent": self.user_agent, "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None),  # the deadline is ours
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            read_bufsize=READ_BYTES,
            max_line_size=MOST_HEADER_BYTES,
            max_field_size=MOST_HEADER_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(TimeoutError):  # a server may refuse to see its connection closed
            async with asyncio.timeout(LONGEST_CLOSE_S):
                await self._session.close()

    async def exchange(self, request: Request) -> Answer:
        """The answer. Waits as Retry-After says and tries again a few times; the last failure's kind is raised."""
        rule, clock, waited = self.persistence, Stopwatch(self.persistence.deadline_s), 0.0
        for attempt in range(rule.attempts):
            if not rule.one_deadline:
                clock = Stopwatch(rule.deadline_s)
            pause = min(LONGEST_PAUSE_S, rule.first_pause_s * 2**attempt) * (1 + random.random())
            try:
                return await self._follow(request, clock)
            except AskAgain as again:
                pause = pause if again.wait_s is None else again.wait_s + random.random() * 0.1
                waited += pause
                if attempt == rule.attempts - 1 or waited > rule.longest_wait_s:
                    raise RowError(again.kind, f"{request.url}: {again.kind} {attempt + 1} times") from None
                is_held = again.wait_s and self.rate_limits  # then the next turn waits, for whoever asks
            if not is_held:
                await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def rules_of(self, url: URL) -> Rules:
        """The robots.txt of the address's site, read once a day."""
        origin = str(url.origin())
        async with self._reading_robots.setdefault(origin, asyncio.Lock()):
            rules = self.robots.known(origin)
            if rules is None:
                rules = self.robots.rules[origin] = await self._read_robots(origin)
        return rules

    async def vet(self, url: str) -> URL:
        """What can be judged of an address without asking for it: its form, its host's addresses, robots.txt. RowError.

        For a fetcher of another kind, which keeps its own pace.
        """
        vetted = vet_url(url, self.loopback_hosts)
        try:
            await VettedResolver(self.loopback_hosts).resolve(vetted.host or "", vetted.port or 0)
        except OSError as error:
            raise RowError("unknown_host", f"{url}: {error}") from None
        if self.rate_limits is not None:
            (await self.rules_of(vetted)).require_allowed(str(vetted))
        return vetted

    async def _follow(self, request: Request, clock: Stopwatch) -> Answer:
        """Follows redirects, each hop vetted anew; waiting for a turn does not count towards the deadline."""
        for _ in range(MAX_REDIRECTS + 1):
            vetted = vet_url(request.url, self.loopback_hosts)
            await self._turn(request, vetted)
            try:
                async with clock.running():
                    answer = await self._hop(request, vetted)
            except TimeoutError:
                self._note(vetted.host or "", "deadline")
                whole = f"no whole answer in {self.persistence.deadline_s} s"
                raise RowError("deadline", f"{request.url}: {whole}") from None
            if isinstance(answer, Answer):
                return answer
            same_host = vet_url(answer, self.loopback_hosts).origin() == vetted.origin()
            request = replace(request, url=answer, headers=request.headers if same_host else {})
        raise RowError("too_many_redirects", f"{request.url}: more than {MAX_REDIRECTS} redirects")

    async def _turn(self, request: Request, url: URL) -> None:
        """Waits until the host may be asked; RowError ``robots_…``, or the kind of failure for which it is left alone.

        That is the kind with which a request would most likely end: which rows of a dead host were asked for, and which
        came too late to be, must not show in the table.
        """
        gap_s = 0.0
        if request.heeds_robots:
            rules = await self.rules_of(url)
            rules.require_allowed(str(url))
            gap_s = rules.delay_s()
        await self._wait_for_turn(url.host or "", request.source, gap_s)

    async def _wait_for_turn(self, host: str, source: str = "", gap_s: float = 0.0) -> None:
        if self.rate_limits and (failure := await self.rate_limits.acquire(host, source, gap_s)):
            raise HostLeftAlone(failure, f"{host} kept failing ({failure}) and is left alone for a while")

    async def _read_robots(self, origin: str) -> Rules:
        url = f"{origin}/robots.txt"
        try:
            for _ in range(MAX_REDIRECTS + 1):
                vetted = vet_url(url, self.loopback_hosts)
                await self._wait_for_turn(vetted.host or "")
                async with (
                    asyncio.timeout(self.persistence.deadline_s),
                    self._session.get(vetted, allow_redirects=False) as response,
                ):
                    if response.status in REDIRECTS and "Location" in response.headers:
                        url = join_location(url, response.headers["Location"])
                        continue
                    encodings = response.headers.getall("Content-Encoding", [])
                    return Rules.of(response.status, await _read_start(response), encodings, self.user_agent)
        except HostLeftAlone:
            raise
        except aiohttp.ClientConnectorDNSError:
            own_host = url.startswith(f"{origin}/")
            return Rules.unreadable("unknown_host" if own_host else "robots_unreachable")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RowError):
            return Rules.unreadable()
        return Rules.allowing_all()  # RFC 9309, 2.3.1.2: too many redirects count as no file

    async def _hop(self, request: Request, vetted: URL) -> Answer | str:
        """The answer, or the address of the next hop."""
        host, url = vetted.host or "", request.url
        try:
            async with self._session.request(
                request.method, vetted, headers=request.headers, data=request.form, allow_redirects=False
            ) as response:
                is_moved = response.status in REDIRECTS and "Location" in response.headers
                if is_moved and request.method == "GET":
                    return join_location(url, response.headers["Location"])
                self._judge_status(host, response)
                request.admit(Answer(url, response.status, response.headers, b""))
                answer = Answer(url, response.status, response.headers, await _read_body(request, response))
            request.judge(answer)
            return answer
        except AskAgain as again:
            self._hold(host, again.wait_s)
            raise
        except aiohttp.ClientConnectorDNSError as error:
            raise RowError("unknown_host", f"{url}: {error}") from None
        except (ssl.SSLError, aiohttp.ClientSSLError) as error:
            self._note(host, "tls_failed")
            raise RowError("tls_failed", f"{url}: {error}") from None
        except (aiohttp.InvalidURL, ValueError) as error:
            raise RowError("bad_url", f"{url!r}: {error}") from None
        except aiohttp.ClientResponseError as error:
            self._note(host, "bad_answer")
            raise RowError("bad_answer", f"{url}: not HTTP: {error.message[:200]!r}") from None
        except aiohttp.ClientPayloadError:
            raise RowError("truncated", f"{url}: the connection closed before the announced end") from None
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            self._note(host, "unreachable")
            raise AskAgain("unreachable") from error

    def _note(self, host: str, failure: str) -> None:
        if self.rate_limits:
            self.rate_limits.note(host, failure)

    def _hold(self, host: str, wait_s: float | None) -> None:
        if wait_s and self.rate_limits:
            self.rate_limits.hold(host, min(wait_s, self.persistence.longest_wait_s))

    def _judge_status(self, host: str, response: aiohttp.ClientResponse) -> None:
        status = response.status
        failed = status >= 500 and status not in THROTTLED
        self._note(host, f"http_{status}" if failed else "")
        if status in THROTTLED:
            raise AskAgain("throttled", read_wait(response.headers))
        if failed:
            raise AskAgain(f"http_{status}")


def read_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds for which a server wants to be left alone: Retry-After, else when its limit is reset; None if unsaid."""
    wait_s = retry_after(headers.get("Retry-After"))
    if wait_s is None and (reset := retry_after(headers.get("X-RateLimit-Reset"))) is not None:
        wait_s = max(0.0, reset - time.time()) if reset > 1e9 else reset  # a moment, or seconds
    return wait_s if wait_s is None or math.isfinite(wait_s) else None


async def _read_body(request: Request, response: aiohttp.ClientResponse) -> bytes:
    url, most = request.url, request.max_bytes
    if (response.content_length or 0) > most:
        raise RowError("too_many_bytes", f"{url}: announces {response.content_length} bytes, limit {most}")
    body = io.BytesIO()  # a list of chunks would cost a hostile server's single bytes forty times as much
    async for chunk in response.content.iter_any():
        body.write(chunk)
        if body.tell() > most:
            raise RowError("too_many_bytes", f"{url}: more than {most} bytes")
    encodings = response.headers.getall("Content-Encoding", [])
    if not encodings:
        return body.getvalue()  # without a copy
    try:
        content = await asyncio.to_thread(decode_body, body.getvalue(), encodings, most)
    except ValueError as error:
        raise RowError("encoded_body", f"{url}: {error}") from None
    if len(content) > most:
        raise RowError("too_many_bytes", f"{url}: more than {most} bytes once it is unpacked")
    return content


async def _read_start(response: aiohttp.ClientResponse) -> bytes:
    """As much of a robots.txt as counts, and a byte more."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > MAX_BYTES:
            break
    return bytes(body[: MAX_BYTES + 1])
