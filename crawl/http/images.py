"""One hostile URL becomes bytes within limits, or a RowError that names why not."""

import asyncio
import io
import random
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

import aiohttp
from yarl import URL

from crawl.http.addresses import VettedResolver, join_location, vet_url
from crawl.http.deadline import Stopwatch
from crawl.http.encodings import decode_body
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.robots import MAX_BYTES, RobotsMemory, Rules, refuse_opted_out
from moodarchive.chat.retry_after import retry_after
from moodarchive.errors import RowError

MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
ATTEMPTS = 4
LONGEST_WAIT_S = 60.0
LONGEST_CLOSE_S = 5.0
MOST_HEADER_BYTES = 64 << 10
"""Of one line: policies of sites grow past the usual 8 kB."""
READ_BYTES = 1 << 18
"""How much of an answer waits unread in memory; reading pauses at twice as much."""


class _LeftAlone(RowError):
    """The host kept failing; the kind is that of its latest failure."""


class _Again(Exception):
    """The server asked for patience, or failed in a way that may pass."""

    def __init__(self, kind: str, wait_s: float | None) -> None:
        self.kind, self.wait_s = kind, wait_s


@dataclass(frozen=True, kw_only=True)
class FetchLimits:
    """Bytes of a body; seconds on the wire for one picture, all its redirects and attempts together."""

    max_bytes: int
    deadline_s: float


@dataclass
class Fetcher:
    """A pool of connections; use as an async context manager.

    With ``rate_limits``, every host is paced, its robots.txt is heeded, and a host that keeps failing is left alone;
    opt-outs in the headers always count.
    """

    limits: FetchLimits
    user_agent: str
    loopback_hosts: Mapping[str, str] = field(default_factory=dict)
    connections: int = 64
    rate_limits: RateLimitClient | None = None
    robots: RobotsMemory = field(default_factory=RobotsMemory, repr=False)
    _reading_robots: dict[str, asyncio.Lock] = field(default_factory=dict, repr=False)

    async def __aenter__(self) -> "Fetcher":
        connector = aiohttp.TCPConnector(
            resolver=VettedResolver(self.loopback_hosts), limit=self.connections, use_dns_cache=False
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            # pictures are compressed already, and so no encoding is offered; robots.txt is small
            headers={"User-Agent": self.user_agent, "Accept": "image/*", "Accept-Encoding": "identity"},
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

    async def fetch(self, url: str) -> bytes:
        """The body. Waits as Retry-After says and tries again a few times; the last failure's kind is raised.

        All waits together are at most LONGEST_WAIT_S, so that no server holds up the end of a part.
        """
        clock, waited = Stopwatch(self.limits.deadline_s), 0.0
        for attempt in range(ATTEMPTS):
            backoff = 0.25 * 2**attempt * (1 + random.random())
            try:
                return await self._follow(url, clock)
            except _Again as again:
                wait_s = backoff if again.wait_s is None else again.wait_s + random.random() * 0.1
                waited += wait_s
                if attempt == ATTEMPTS - 1 or waited > LONGEST_WAIT_S:
                    raise RowError(again.kind, f"{url}: {again.kind} {attempt + 1} times") from None
            await asyncio.sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    async def _follow(self, url: str, clock: Stopwatch) -> bytes:
        """Follows redirects, each hop vetted anew; waiting for a turn does not count towards the deadline."""
        for _ in range(MAX_REDIRECTS + 1):
            vetted = vet_url(url, self.loopback_hosts)
            await self._turn(vetted)
            try:
                async with clock.running():
                    answer = await self._hop(url, vetted)
            except TimeoutError:
                self._note(vetted.host or "", "deadline")
                raise RowError("deadline", f"{url}: no whole answer in {self.limits.deadline_s} s") from None
            if isinstance(answer, bytes):
                return answer
            url = answer
        raise RowError("too_many_redirects", f"{url}: more than {MAX_REDIRECTS} redirects")

    async def _turn(self, url: URL) -> None:
        """Waits until the host may be asked; RowError ``robots_…``, or the kind of failure for which it is left alone.

        That is the kind with which a request would most likely end: which rows of a dead host were asked for, and which
        came too late to be, must not show in the table.
        """
        if self.rate_limits is None:
            return
        rules = await self._allowed(url)
        await self._granted(url.host or "", rules.delay_s())

    async def vet(self, url: str) -> URL:
        """What can be judged of an address without asking for it: its form, its host's addresses, robots.txt. RowError.

        For a fetcher of another kind, which keeps its own pace.
        """
        vetted = vet_url(url, self.loopback_hosts)
        host = vetted.host or ""
        try:
            await VettedResolver(self.loopback_hosts).resolve(host, vetted.port or 0)
        except OSError as error:
            raise RowError("unknown_host", f"{url}: {error}") from None
        if self.rate_limits is not None:
            await self._allowed(vetted)
        return vetted

    async def _allowed(self, url: URL) -> Rules:
        origin = str(url.origin())
        async with self._reading_robots.setdefault(origin, asyncio.Lock()):
            rules = self.robots.known(origin)
            if rules is None:
                rules = self.robots.rules[origin] = await self._read_robots(origin)
        rules.require_allowed(str(url))
        return rules

    async def _granted(self, host: str, gap_s: float = 0.0) -> None:
        assert self.rate_limits
        if failure := await self.rate_limits.acquire_async(host, gap_s=gap_s):
            raise _LeftAlone(failure, f"{host} kept failing ({failure}) and is left alone for a while")

    async def _read_robots(self, origin: str) -> Rules:
        url = f"{origin}/robots.txt"
        try:
            for _ in range(MAX_REDIRECTS + 1):
                vetted = vet_url(url, self.loopback_hosts)
                await self._granted(vetted.host or "")
                async with (
                    asyncio.timeout(self.limits.deadline_s),
                    self._session.get(vetted, allow_redirects=False) as response,
                ):
                    if response.status in REDIRECTS and "Location" in response.headers:
                        url = join_location(url, response.headers["Location"])
                        continue
                    encodings = response.headers.getall("Content-Encoding", [])
                    return Rules.of(
                        response.status, await _start_of(response, MAX_BYTES + 1), encodings, self.user_agent
                    )
        except _LeftAlone:
            raise
        except aiohttp.ClientConnectorDNSError:
            own_host = url.startswith(f"{origin}/")
            return Rules.unreadable("unknown_host" if own_host else "robots_unreachable")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RowError):
            return Rules.unreadable()
        return Rules.allowing_all()  # RFC 9309, 2.3.1.2: too many redirects count as no file

    async def _hop(self, url: str, vetted: URL) -> bytes | str:
        """The body, or the address of the next hop."""
        host = vetted.host or ""
        try:
            async with self._session.get(vetted, allow_redirects=False) as response:
                if response.status in REDIRECTS and "Location" in response.headers:
                    return join_location(url, response.headers["Location"])
                self._judge_status(host, response)
                refuse_opted_out(url, response.headers, self.user_agent)
                return await self._body(url, response)
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
            raise _Again("unreachable", None) from error

    def _note(self, host: str, failure: str) -> None:
        if self.rate_limits:
            self.rate_limits.note(host, failure)

    def _judge_status(self, host: str, response: aiohttp.ClientResponse) -> None:
        failed = response.status >= 500 and response.status != 503
        self._note(host, f"http_{response.status}" if failed else "")
        wait_s = retry_after(response.headers.get("Retry-After")) if response.status in (429, 503) else None
        if wait_s and self.rate_limits:
            self.rate_limits.hold(host, min(wait_s, LONGEST_WAIT_S))
        _refuse_bad_status(response)

    async def _body(self, url: str, response: aiohttp.ClientResponse) -> bytes:
        most = self.limits.max_bytes
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


async def _start_of(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) >= most:
            break
    return bytes(body[:most])


def _refuse_bad_status(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status in (429, 503):
        raise _Again("throttled", retry_after(response.headers.get("Retry-After")))
    if status >= 500:
        raise _Again(f"http_{status}", None)
    if status != 200:
        raise RowError(f"http_{status}", f"{response.url}: status {status}")
