"""Waits until a host may be asked: the whole cluster asks one limiter, a named Ray actor."""

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from crawl.limits import Limit, Limiter
from moodarchive.errors import ServiceError
from moodarchive.keys import digest
from moodarchive.store import Store

_LOCAL: dict[str, Limiter] = {}
_ACTORS: dict[str, Any] = {}
_LOCK = Lock()


@dataclass(frozen=True, kw_only=True)
class Manners:
    """Limits by source, and one for every host. Picklable: each worker carries one, all ask the same limiter."""

    store: Store
    host_limit: Limit
    source_limits: Mapping[str, tuple[Limit, ...]] = field(default_factory=dict)
    longest_wait_s: float = 4000.0

    def acquire(self, host: str, source: str = "", gap_s: float = 0.0) -> None:
        """Returns when the host may be asked; ServiceError when that would be later than ``longest_wait_s``."""
        limits, lead = self._limits(host, source, gap_s), 0.0
        while True:
            granted, when = self._call("reserve", host, limits, lead)
            time.sleep(self._pause(host, source, granted, when))
            if granted and _is_on_time(limits, when):
                return
            lead = _longer(lead) if granted else lead

    async def acquire_async(self, host: str, gap_s: float = 0.0) -> None:
        """The same for downloads, which wait side by side."""
        limits, lead = self._limits(host, "", gap_s), 0.0
        while True:
            granted, when = await asyncio.to_thread(self._call, "reserve", host, limits, lead)
            await asyncio.sleep(self._pause(host, "", granted, when))
            if granted and _is_on_time(limits, when):
                return
            lead = _longer(lead) if granted else lead

    def hold(self, host: str, seconds: float) -> None:
        """Nobody in the cluster asks the host for so long."""
        self._call("hold", host, seconds)

    def _limits(self, host: str, source: str, gap_s: float) -> list[tuple[str, Limit]]:
        limits = [(host, self.host_limit), *((source, limit) for limit in self.source_limits.get(source, ()))]
        return [*limits, (host, Limit(1, min(gap_s, 10.0)))] if gap_s else limits

    def _pause(self, host: str, source: str, granted: bool, when: float) -> float:
        if granted:
            return max(0.0, when - time.time())
        if when > self.longest_wait_s:
            raise ServiceError(
                f"{source or host} may not be asked for another {when / 3600:.1f} h: its quota is spent or it said so; "
                "remedy: run again then, what is done stays"
            )
        return min(when, 60.0)

    def _call(self, method: str, *arguments: Any) -> Any:
        # a process without Ray has not imported it, and importing it costs a second
        ray = sys.modules.get("ray")
        if ray is None or not ray.is_initialized():
            with _LOCK:
                limiter = _LOCAL.setdefault(self.store.root, Limiter(self.store))
                return getattr(limiter, method)(*arguments)
        for attempt in range(3):
            try:
                return ray.get(getattr(self._actor(ray), method).remote(*arguments))
            except ray.exceptions.RayActorError:  # its owner died: the next one begins with full windows
                _ACTORS.clear()
                if attempt == 2:
                    raise
                time.sleep(0.2)
        raise AssertionError("the last attempt returns or raises")

    def _actor(self, ray: Any) -> Any:
        name = f"limiter-{digest(self.store.root)}"
        if name not in _ACTORS:
            options = ray.remote(Limiter).options(name=name, get_if_exists=True, num_cpus=0)
            _ACTORS[name] = options.remote(self.store)
        return _ACTORS[name]


def _is_on_time(limits: Sequence[tuple[str, Limit]], slot: float) -> bool:
    """A request that starts late could meet the next ones in one window: it takes another slot instead."""
    slack = min((limit.slack_s for _, limit in limits if not limit.is_quota), default=1.0)
    return time.time() - slot <= slack


def _longer(lead_s: float) -> float:
    return min(2.0, 2 * lead_s or 0.1)
