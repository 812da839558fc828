"""How often a host may be asked: limits such as ``5/s`` or ``200/h``, and quotas that survive restarts."""

import json
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from crawl.politeness.breaker import Breaker
from moodarchive.storage.store import Store

_UNITS = {"s": 1, "min": 60, "h": 3600, "day": 86_400, "month": 31 * 86_400}
_FORM = re.compile(r"(\d+)/(\d*)(s|min|h|day|month)")
LONGEST_SHORT_S = 10.0
"""Windows up to this long are kept in memory and begin full; longer ones are quotas and are kept under the root."""
_LEASES = 20
_SLACK = 0.05


@dataclass(frozen=True)
class Limit:
    """At most ``requests`` in any ``per_s`` seconds."""

    requests: int
    per_s: float

    @property
    def is_quota(self) -> bool:
        """True when a restart must not forget what was spent."""
        return self.per_s > LONGEST_SHORT_S

    @property
    def slack_s(self) -> float:
        """How late a granted request may start without breaking the limit."""
        return max(_SLACK, _SLACK * self.per_s)


def parse_limit(text: str) -> Limit:
    """``5/s``, ``100/min``, ``3/10s``, ``200/h``, ``10000/day``, ``20000/month``; ValueError otherwise."""
    match = _FORM.fullmatch(text.replace(" ", ""))
    if not match or int(match[1]) < 1 or match[2] == "0":
        raise ValueError(
            f"{text!r} is no limit; legal: a number, a slash, a window, such as 5/s, 3/10s, 100/min, 200/h"
        )
    return Limit(int(match[1]), float(int(match[2] or 1) * _UNITS[match[3]]))


@dataclass
class _Window:
    """The latest grants under one limit; it begins full, because a killed predecessor may just have spent it all."""

    limit: Limit
    begun: float
    grants: deque[float] = field(init=False)

    def __post_init__(self) -> None:
        self.grants = deque([self.begun] * self.limit.requests, maxlen=self.limit.requests)

    def earliest(self, now: float) -> float:
        # twice: a request may start late by one, and be on its way for another, while the next ones are not
        return max(now, self.grants[0] + self.limit.per_s + 2 * self.limit.slack_s)


@dataclass
class _Quota:
    """Spending under a long window. A lease of a few requests is written down before the first of them is sent.

    Each entry is the time at which the lease stops counting, and its size: a kill wastes the rest of a lease.
    """

    store: Store | None
    path: str
    limit: Limit
    entries: list[tuple[float, int]] = field(init=False)
    left: int = 0
    lease_ends: float = 0.0

    def __post_init__(self) -> None:
        self.entries = _read_entries(self.store, self.path)

    def wait(self, now: float) -> float:
        """Seconds until something is free; 0 when something is."""
        if self.left and now < self.lease_ends:
            return 0.0
        counting = [entry for entry in self.entries if entry[0] > now]
        if sum(count for _, count in counting) < self.limit.requests:
            return 0.0
        return min(until for until, _ in counting) - now

    def take(self, now: float) -> None:
        """Takes one; ``wait`` has said that one is free."""
        if not (self.left and now < self.lease_ends):
            self._lease(now)
        self.left -= 1

    def _lease(self, now: float) -> None:
        self.entries = [entry for entry in self.entries if entry[0] > now]
        free = self.limit.requests - sum(count for _, count in self.entries)
        self.left = min(free, max(1, min(50, self.limit.requests // _LEASES)))
        self.lease_ends = now + self.limit.per_s / _LEASES
        self.entries.append((self.lease_ends + self.limit.per_s, self.left))
        if self.store:
            self.store.write_bytes(self.path, json.dumps(self.entries).encode())


def _read_entries(store: Store | None, path: str) -> list[tuple[float, int]]:
    try:
        return [(float(until), int(count)) for until, count in json.loads(store.read_bytes(path))] if store else []
    except FileNotFoundError:
        return []


def _read_holds(store: Store | None) -> dict[str, float]:
    try:
        return (
            {str(host): float(until) for host, until in json.loads(store.read_bytes(HOLDS_PATH)).items()}
            if store
            else {}
        )
    except FileNotFoundError:
        return {}


def _quota_path(name: str, limit: Limit) -> str:
    return f"crawl/quotas/{name}-{limit.requests}-{limit.per_s:.0f}.json"


def quota_left(store: Store, name: str, limit: Limit, now: float) -> int:
    """What is left of a quota, leases of killed runs counted as spent."""
    entries = _read_entries(store, _quota_path(name, limit))
    return max(0, limit.requests - sum(count for until, count in entries if until > now))


class Turn(NamedTuple):
    """What the limiter says to a request.

    Granted: to be sent at the time ``when``. Not granted: nothing is taken, ask again in ``when`` seconds; or, with a
    ``failure``, not at all for now, because the host is left alone for it. ``failing``: a success would be news.
    ``limiter``: when the limiter that grants it was begun.
    """

    granted: bool
    when: float
    failure: str = ""
    failing: bool = False
    limiter: float = 0.0


HOLDS_PATH = "crawl/quotas/holds.json"
"""Host → until when it is not to be asked (seconds of the epoch); a restart must not forget it."""


@dataclass
class Limiter:
    """The one place that grants requests, and knows which hosts fail; the whole cluster asks one instance."""

    store: Store | None
    clock: Callable[[], float] = time.time
    _windows: dict[tuple[str, Limit], _Window] = field(default_factory=dict)
    _quotas: dict[tuple[str, Limit], _Quota] = field(default_factory=dict)
    _held: dict[str, float] = field(init=False)
    _breaker: Breaker = field(init=False)
    _begun: float = field(init=False)

    def __post_init__(self) -> None:
        self._begun = self.clock()
        self._held = _read_holds(self.store)
        self._breaker = Breaker(self.clock)

    def reserve(self, host: str, limits: Sequence[tuple[str, Limit]], lead_s: float = 0.0) -> Turn:
        """A turn at the host.

        ``limits`` are named: two hosts may share a source's quota. ``lead_s`` is the time a slow caller needs.
        """
        now = self.clock()
        if failure := self._breaker.open_for(host):
            return Turn(False, 0.0, failure, True)
        quotas = [self._quota(name, limit) for name, limit in limits if limit.is_quota]
        wait = max((quota.wait(now) for quota in quotas), default=0.0)
        held = self.held_for(host)
        if max(wait, held) > 0:
            return Turn(False, max(wait, held))
        windows = [self._window(name, limit) for name, limit in limits if not limit.is_quota]
        slot = max((window.earliest(now + lead_s) for window in windows), default=now)
        for window in windows:
            window.grants.append(slot)
        for quota in quotas:
            quota.take(now)
        return Turn(True, slot, failing=self._breaker.is_failing(host), limiter=self._begun)

    def stands(self, host: str, turn: Turn) -> bool:
        """Whether a turn may still be used: the host is not held, and nobody but this limiter granted it.

        One that is begun anew, after its process or owner ended, knows nothing of the turns that are still waited for,
        and grants the same seconds to others.
        """
        return turn.limiter == self._begun and self.held_for(host) <= 0

    def hold(self, host: str, seconds: float) -> None:
        """Nobody asks the host for so long: it said Retry-After."""
        now = self.clock()
        self._held[host] = max(self._held.get(host, 0.0), now + seconds)
        if self.store:
            self._held = {name: until for name, until in self._held.items() if until > now}
            self.store.write_bytes(HOLDS_PATH, json.dumps(self._held).encode())

    def held_for(self, host: str) -> float:
        """Seconds for which nobody asks the host; 0 or less when it may be asked."""
        return self._held.get(host, 0.0) - self.clock()

    def note(self, host: str, failure: str) -> None:
        """How a request to the host ended: the kind of the failure, or empty."""
        if failure:
            self._breaker.record_failure(host, failure)
        else:
            self._breaker.record_success(host)

    def _window(self, name: str, limit: Limit) -> _Window:
        if (name, limit) not in self._windows:
            self._windows[name, limit] = _Window(limit, self._begun)
        return self._windows[name, limit]

    def _quota(self, name: str, limit: Limit) -> _Quota:
        if (name, limit) not in self._quotas:
            self._quotas[name, limit] = _Quota(self.store, _quota_path(name, limit), limit)
        return self._quotas[name, limit]
