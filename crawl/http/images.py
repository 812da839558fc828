"""One hostile URL becomes bytes within limits, or a RowError that names why not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from yarl import URL

from crawl.http.transport import Answer, Persistence, Request, Transport
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.robots import RobotsMemory, refuse_opted_out
from moodarchive.errors import RowError


@dataclass(frozen=True, kw_only=True)
class FetchLimits:
    """Bytes of a body; seconds on the wire for one picture, all its redirects and attempts together."""

    max_bytes: int
    deadline_s: float


@dataclass
class Fetcher:
    """Fetches pictures over a pool of connections; use as an async context manager.

    With ``rate_limits``, every host is paced, its robots.txt is heeded, and a host that keeps failing is left alone;
    opt-outs in the headers always count.
    """

    limits: FetchLimits
    user_agent: str
    loopback_hosts: Mapping[str, str] = field(default_factory=dict)
    connections: int = 64
    rate_limits: RateLimitClient | None = None
    robots: RobotsMemory = field(default_factory=RobotsMemory, repr=False)

    def __post_init__(self) -> None:
        self._transport = Transport(
            user_agent=self.user_agent,
            persistence=Persistence(deadline_s=self.limits.deadline_s),
            loopback_hosts=self.loopback_hosts,
            connections=self.connections,
            rate_limits=self.rate_limits,
            robots=self.robots,
        )

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    async def fetch(self, url: str) -> bytes:
        """The body; RowError of the kind in which the row ends."""
        request = Request(
            url=url,
            max_bytes=self.limits.max_bytes,
            headers={"Accept": "image/*"},
            heeds_robots=self.rate_limits is not None,
            admit=self._admit,
        )
        return (await self._transport.exchange(request)).body

    async def vet(self, url: str) -> URL:
        """What can be judged of an address without asking for it; RowError. For a fetcher that keeps its own pace."""
        return await self._transport.vet(url)

    def _admit(self, answer: Answer) -> None:
        if answer.status != 200:
            raise RowError(f"http_{answer.status}", f"{answer.url}: status {answer.status}")
        refuse_opted_out(answer.url, answer.headers, self.user_agent)
