"""Waits until a host may be asked: the whole cluster asks one limiter, a named Ray actor."""

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from crawl.politeness.rate_limits import Limit, Limiter, Turn
from moodarchive.errors import ServiceError
from moodarchive.keys import digest
from moodarchive.storage.store import Store

_LOCAL: dict[str, Limiter] = {}
_ACTORS: dict[str, Any] = {}
_FAILING: set[tuple[str, str]] = set()
"""Root and host of those whose next success the limiter wants to hear of."""
_LOCK = Lock()
_COMES_BACK_S = 60.0
"""So long a limiter whose process or owner ended is asked for again."""
_ASKED_BEFORE_S = 0.05
"""So long before its turn a request asks once more whether the host is held."""


@dataclass(frozen=True, kw_only=True)
class RateLimitClient:
    """Limits by source, and one for every host. Picklable: each worker carries one, all ask the same limiter."""

    store: Store
    host_limit: Limit
    source_limits: Mapping[str, tuple[Limit, ...]] = field(default_factory=dict)
    longest_wait_s: float = 4000.0

    def acquire(self, host: str, source: str = "", gap_s: float = 0.0) -> str:
        """``acquire_async`` for a thread without an event loop."""
        return asyncio.run(self.acquire_async(host, source, gap_s))

    async def acquire_async(self, host: str, source: str = "", gap_s: float = 0.0) -> str:
        """Returns when the host may be asked; or at once, with the kind of failure for which it is left alone.

        ServiceError when the turn would be later than ``longest_wait_s``.
        """
        limits, lead = self._limits(host, source, gap_s), 0.0
        while True:
            turn = Turn(*await self._ask("reserve", host, limits, lead))
            if turn.failure:
                return turn.failure
            (_FAILING.add if turn.failing else _FAILING.discard)((self.store.root, host))
            pause, held = self._pause(host, source, turn), False
            if turn.granted and pause > 2 * _ASKED_BEFORE_S:
                # the host may say Retry-After to somebody else meanwhile
                await asyncio.sleep(pause - _ASKED_BEFORE_S)
                held = await self._ask("held_for", host) > 0
                pause = turn.when - time.time()
            await asyncio.sleep(max(0.0, pause))
            if turn.granted and not held and _is_on_time(limits, turn.when):
                return ""
            lead = _longer(lead) if turn.granted else lead

    def begin(self) -> None:
        """Starts the cluster's limiter as the run's own, so that no worker's or node's end takes it away."""
        if (ray := _running_ray()) is not None:
            _ACTORS.clear()
            self._actor(ray)

    def hold(self, host: str, seconds: float) -> None:
        """Nobody in the cluster asks the host for so long."""
        self._tell("hold", host, seconds)

    def note(self, host: str, failure: str = "") -> None:
        """How a request ended: the kind of its failure (no connection, no end, 5xx), or empty for an answer of its own.

        A host that keeps failing is left alone by the whole cluster.
        """
        if failure or (self.store.root, host) in _FAILING:
            self._tell("note", host, failure)

    def _limits(self, host: str, source: str, gap_s: float) -> list[tuple[str, Limit]]:
        limits = [(host, self.host_limit), *((source, limit) for limit in self.source_limits.get(source, ()))]
        return [*limits, (host, Limit(1, min(gap_s, 10.0)))] if gap_s else limits

    def _pause(self, host: str, source: str, turn: Turn) -> float:
        if turn.granted:
            return max(0.0, turn.when - time.time())
        if turn.when > self.longest_wait_s:
            raise ServiceError(
                f"{source or host} may not be asked for another {turn.when / 3600:.1f} h: its quota is spent or it "
                "said so; remedy: run again then, what is done stays"
            )
        return min(turn.when, 60.0)

    async def _ask(self, method: str, *arguments: Any) -> Any:
        ray = _running_ray()
        if ray is None:
            with _LOCK:
                return getattr(self._local(), method)(*arguments)
        given_up = time.monotonic() + _COMES_BACK_S
        while True:
            actor = self._actor(ray)
            try:
                return await getattr(actor, method).remote(*arguments)
            except ray.exceptions.RayActorError as error:
                if time.monotonic() > given_up:
                    raise
                # one that is only out of reach comes back; to let go of its handle here would end it
                if not isinstance(error, ray.exceptions.ActorUnavailableError):
                    self._forget(actor)
                await asyncio.sleep(0.2)

    def _tell(self, method: str, *arguments: Any) -> None:
        """Goes to the limiter before this process's next question; no answer is waited for."""
        if (ray := _running_ray()) is not None:
            getattr(self._actor(ray), method).remote(*arguments)
            return
        with _LOCK:
            getattr(self._local(), method)(*arguments)

    def _local(self) -> Limiter:
        if self.store.root not in _LOCAL:
            _LOCAL[self.store.root] = Limiter(self.store)
        return _LOCAL[self.store.root]

    def _forget(self, actor: Any) -> None:
        """Its owner died, or its name still stands for one that is ending: the next question begins another."""
        if _ACTORS.get(self._name()) is actor:
            del _ACTORS[self._name()]

    def _name(self) -> str:
        return f"limiter-{digest(self.store.path(''))}"

    def _actor(self, ray: Any) -> Any:
        name = self._name()
        if name not in _ACTORS:
            # restarted, it begins with full windows, and with the quotas that lie under the root
            options = ray.remote(Limiter).options(
                name=name, get_if_exists=True, num_cpus=0, max_restarts=-1, max_task_retries=2
            )
            _ACTORS[name] = options.remote(self.store)
        return _ACTORS[name]


def _running_ray() -> Any:
    # a process without Ray has not imported it, and importing it costs a second
    ray = sys.modules.get("ray")
    return ray if ray is not None and ray.is_initialized() else None


def _is_on_time(limits: Sequence[tuple[str, Limit]], slot: float) -> bool:
    """A request that starts late could meet the next ones in one window: it takes another slot instead."""
    slack = min((limit.slack_s for _, limit in limits if not limit.is_quota), default=1.0)
    return time.time() - slot <= slack


def _longer(lead_s: float) -> float:
    return min(2.0, 2 * lead_s or 0.1)
