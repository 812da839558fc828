"""One hostile URL becomes bytes within limits, or a RowError that names why not."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time
from types import TracebackType
from urllib.parse import urljoin

import aiohttp

from crawl.addresses import VettedResolver, vetted_url
from moodarchive.errors import RowError

MAX_REDIRECTS = 5
ATTEMPTS = 4
LONGEST_WAIT_S = 60.0


class _Again(Exception):
    """The server asked for patience, or failed in a way that may pass."""

    def __init__(self, kind: str, wait_s: float | None) -> None:
        self.kind, self.wait_s = kind, wait_s


@dataclass(frozen=True, kw_only=True)
class FetchLimits:
    """Bytes of a body, seconds for one attempt from connection to last byte."""

    max_bytes: int
    deadline_s: float


@dataclass
class Fetcher:
    """A pool of connections; use as an async context manager."""

    limits: FetchLimits
    user_agent: str
    loopback_hosts: Mapping[str, str] = field(default_factory=dict)
    connections: int = 64

    async def __aenter__(self) -> "Fetcher":
        connector = aiohttp.TCPConnector(
            resolver=VettedResolver(self.loopback_hosts), limit=self.connections, use_dns_cache=False
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": self.user_agent, "Accept": "image/*"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def fetch(self, url: str) -> bytes:
        """The body. Waits as Retry-After says and tries again a few times; the last failure's kind is raised."""
        for attempt in range(ATTEMPTS):
            backoff = 0.25 * 2**attempt * (1 + random.random())
            try:
                async with asyncio.timeout(self.limits.deadline_s):
                    return await self._follow(url)
            except TimeoutError:
                raise RowError("deadline", f"{url}: no whole answer in {self.limits.deadline_s} s") from None
            except _Again as again:
                if attempt == ATTEMPTS - 1:
                    raise RowError(again.kind, f"{url}: {again.kind} {ATTEMPTS} times") from None
                wait_s = backoff if again.wait_s is None else again.wait_s + random.random() * 0.1
            await asyncio.sleep(min(wait_s, LONGEST_WAIT_S))
        raise AssertionError("the last attempt returns or raises")

    async def _follow(self, url: str) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            vetted = vetted_url(url, self.loopback_hosts)
            try:
                async with self._session.get(vetted, allow_redirects=False) as response:
                    if response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
                        url = urljoin(url, response.headers["Location"])
                        continue
                    _refuse_bad_status(response)
                    return await self._body(url, response)
            except aiohttp.ClientConnectorDNSError as error:
                raise RowError("unknown_host", f"{url}: {error}") from None
            except (aiohttp.InvalidURL, ValueError) as error:
                raise RowError("bad_url", f"{url!r}: {error}") from None
            except aiohttp.ClientPayloadError:
                raise RowError("truncated", f"{url}: the connection closed before the announced end") from None
            except (aiohttp.ClientError, OSError) as error:
                if isinstance(error, TimeoutError):
                    raise
                raise _Again("unreachable", None) from error
        raise RowError("too_many_redirects", f"{url}: more than {MAX_REDIRECTS} redirects")

    async def _body(self, url: str, response: aiohttp.ClientResponse) -> bytes:
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise RowError("encoded_body", f"{url}: an image in a compressed envelope")
        most = self.limits.max_bytes
        if (response.content_length or 0) > most:
            raise RowError("too_many_bytes", f"{url}: announces {response.content_length} bytes, limit {most}")
        body = bytearray()
        async for chunk in response.content.iter_chunked(1 << 16):
            body += chunk
            if len(body) > most:
                raise RowError("too_many_bytes", f"{url}: more than {most} bytes")
        return bytes(body)


def _refuse_bad_status(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status in (429, 503):
        raise _Again("throttled", _retry_after(response.headers.get("Retry-After")))
    if status >= 500:
        raise _Again(f"http_{status}", None)
    if status != 200:
        raise RowError(f"http_{status}", f"{response.url}: status {status}")


def _retry_after(header: str | None) -> float | None:
    """Seconds from a Retry-After header, given as a number or a date; None when absent or malformed."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time())
    except ValueError:
        return None
