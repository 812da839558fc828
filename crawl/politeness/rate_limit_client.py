"""Waits until a host may be asked: the whole cluster asks one limiter, a named Ray actor."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol, TypeVar

from crawl.politeness.rate_limits import Limit, Limiter, Turn
from moodarchive.errors import ServiceError
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest

T = TypeVar("T")
_COMES_BACK_S = 60.0
"""So long a limiter whose process or owner ended is asked for again."""
_ASKED_BEFORE_S = 0.05
"""So long before its turn a request asks once more whether the turn still stands."""


class _SharedLimiter(Protocol):
    """The limiter as this process reaches it; the methods are those of Limiter."""

    async def reserve(self, host: str, limits: Sequence[tuple[str, Limit]], lead_s: float) -> Turn: ...

    async def stands(self, host: str, turn: Turn) -> bool: ...

    def hold(self, host: str, seconds: float) -> None: ...

    def note(self, host: str, failure: str) -> None: ...


class _LimiterHere:
    """Of this process alone, for all its threads: there is no Ray."""

    def __init__(self, store: Store) -> None:
        self._limiter, self._lock = Limiter(store), Lock()

    async def reserve(self, host: str, limits: Sequence[tuple[str, Limit]], lead_s: float) -> Turn:
        with self._lock:
            return self._limiter.reserve(host, limits, lead_s)

    async def stands(self, host: str, turn: Turn) -> bool:
        with self._lock:
            return self._limiter.stands(host, turn)

    def hold(self, host: str, seconds: float) -> None:
        with self._lock:
            self._limiter.hold(host, seconds)

    def note(self, host: str, failure: str) -> None:
        with self._lock:
            self._limiter.note(host, failure)


class _LimiterOnRay:
    """The cluster's, an actor named after the root; one that ended is begun anew.

    ``hold`` and ``note`` reach the limiter before this process's next question; no answer is waited for.
    """

    def __init__(self, store: Store, ray: Any) -> None:
        self._store, self._ray = store, ray
        self._actor: Any = None
        self._lock = Lock()

    def actor(self) -> Any:
        """The actor, begun if there is none."""
        # of two threads the one that begins the actor must not lose its handle to the other's: it may be the last one
        with self._lock:
            if self._actor is None:
                # restarted, it begins with full windows, and with the quotas that lie under the root
                options = self._ray.remote(Limiter).options(
                    name=f"limiter-{digest(self._store.path(''))}",
                    get_if_exists=True,
                    num_cpus=0,
                    max_restarts=-1,
                    max_task_retries=2,
                )
                self._actor = options.remote(self._store)
            return self._actor

    async def reserve(self, host: str, limits: Sequence[tuple[str, Limit]], lead_s: float) -> Turn:
        return Turn(*await self._ask(lambda actor: actor.reserve.remote(host, limits, lead_s)))

    async def stands(self, host: str, turn: Turn) -> bool:
        return await self._ask(lambda actor: actor.stands.remote(host, turn))

    def hold(self, host: str, seconds: float) -> None:
        self.actor().hold.remote(host, seconds)

    def note(self, host: str, failure: str) -> None:
        self.actor().note.remote(host, failure)

    async def _ask(self, question: Callable[[Any], Awaitable[T]]) -> T:
        given_up = time.monotonic() + _COMES_BACK_S
        while True:
            actor = self.actor()
            try:
                return await question(actor)
            except self._ray.exceptions.RayActorError as error:
                if time.monotonic() > given_up:
                    raise
                # one that is only out of reach comes back; to let go of its handle here would end it. Else its owner
                # died, or its name still stands for one that is ending: the next question begins another
                if not isinstance(error, self._ray.exceptions.ActorUnavailableError):
                    self._let_go(actor)
                await asyncio.sleep(0.2)

    def _let_go(self, actor: Any) -> None:
        with self._lock:
            if self._actor is actor:
                self._actor = None


class _Reached:
    """What one process knows of the limiter: how it is reached, and whose next success it wants to hear of.

    Copies of a client in one process share it; one that is sent to another process begins empty.
    """

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self._lock = Lock()
        self._here: _LimiterHere | None = None
        self._on_ray: _LimiterOnRay | None = None

    def __reduce__(self) -> tuple[type["_Reached"], tuple[()]]:
        return _Reached, ()

    def limiter(self, store: Store) -> _SharedLimiter:
        """The cluster's limiter where Ray runs, else this process's own."""
        ray = _running_ray()
        with self._lock:
            if ray is not None:
                self._on_ray = self._on_ray or _LimiterOnRay(store, ray)
                return self._on_ray
            self._here = self._here or _LimiterHere(store)
            return self._here

    def begin(self, store: Store) -> None:
        """Begins the cluster's limiter, whatever was reached before."""
        if (ray := _running_ray()) is not None:
            with self._lock:
                self._on_ray = _LimiterOnRay(store, ray)
                self._on_ray.actor()


@dataclass(frozen=True, kw_only=True)
class RateLimitClient:
    """Limits by source, and one for every host but those that have their own.

    Picklable: each worker carries one, all ask the same limiter.
    """

    store: Store
    host_limit: Limit
    source_limits: Mapping[str, tuple[Limit, ...]] = field(default_factory=dict)
    longest_wait_s: float = 4000.0
    host_limits: Mapping[str, Limit] = field(default_factory=dict)
    """Host → its own limit: it has consented to another pace."""
    _reached: _Reached = field(default_factory=_Reached, repr=False, compare=False)

    async def acquire(self, host: str, source: str = "", gap_s: float = 0.0) -> str:
        """Returns when the host may be asked; or at once, with the kind of failure for which it is left alone.

        ServiceError when the turn would be later than ``longest_wait_s``.
        """
        limiter = self._reached.limiter(self.store)
        limits, lead = self._limits(host, source, gap_s), 0.0
        while True:
            turn = await limiter.reserve(host, limits, lead)
            if turn.failure:
                return turn.failure
            (self._reached.failing.add if turn.failing else self._reached.failing.discard)(host)
            pause, stands = self._pause(host, source, turn), turn.granted
            if turn.granted and pause > 2 * _ASKED_BEFORE_S:
                # the host may say Retry-After to somebody else meanwhile, and a limiter that ends takes its turns along
                await asyncio.sleep(pause - _ASKED_BEFORE_S)
                stands = await limiter.stands(host, turn)
                pause = turn.when - time.time()
            await asyncio.sleep(max(0.0, pause))
            if stands and _is_on_time(limits, turn.when):
                return ""
            lead = _longer(lead) if turn.granted else lead

    def begin(self) -> None:
        """Starts the cluster's limiter as the run's own, so that no worker's or node's end takes it away."""
        self._reached.begin(self.store)

    def hold(self, host: str, seconds: float) -> None:
        """Nobody in the cluster asks the host for so long."""
        self._reached.limiter(self.store).hold(host, seconds)

    def note(self, host: str, failure: str = "") -> None:
        """How a request ended: the kind of its failure (no connection, no end, 5xx), or empty for an answer of its own.

        A host that keeps failing is left alone by the whole cluster.
        """
        if failure or host in self._reached.failing:
            self._reached.limiter(self.store).note(host, failure)

    def _limits(self, host: str, source: str, gap_s: float) -> list[tuple[str, Limit]]:
        own = self.host_limits.get(host, self.host_limit)
        limits = [(host, own), *((source, limit) for limit in self.source_limits.get(source, ()))]
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
