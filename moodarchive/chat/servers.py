"""Which server a request goes to, and when: the fewest outstanding first, a bound each, rest after failures."""

import asyncio
import heapq
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

LONGEST_REST_S = 60.0


class LiveServers(Protocol):
    """Servers that come and go while a run goes on, at most ``count`` at a time; called, it gives their addresses now.

    An error of its own means that there is none and that none is to be expected. It is called from any thread.
    """

    @property
    def count(self) -> int: ...

    def __call__(self) -> tuple[str, ...]: ...


@dataclass
class Server:
    """One server and how it fares; times are those of the monotonic clock."""

    url: str
    outstanding: int = 0
    taken: int = 0
    failures: int = 0
    rests_until: float = 0.0

    def rest(self, sent_at: float, retry_after: float | None, jitter: float, first_rest_s: float) -> None:
        """Leaves the server alone for a while, longer after each failure in a row.

        Requests that were on the way together fail together: only the first of them lengthens the next rest. One lost
        answer between good ones is no sign of a server in trouble, so the rest begins with the second in a row, or
        where the server itself names a time.
        """
        if sent_at >= self.rests_until:
            self.failures += 1
        if retry_after is None:
            if self.failures < 2:
                return
            retry_after = min(LONGEST_REST_S, first_rest_s * 2 ** min(self.failures - 2, 16))
        self.rests_until = max(self.rests_until, time.monotonic() + retry_after * jitter)


@dataclass(order=True)
class _Waiter:
    turn: int
    came: int
    slot: "asyncio.Future[Server]" = field(compare=False)


@dataclass
class ServerLine:
    """Hands out slots at the servers; who waits is served by ``turn``, the lowest first, then in order of coming.

    Turns are the parts in work: the older part takes every slot that it can use, the next one what is left, so that
    the servers stay full while a part ends.
    """

    servers: list[Server]
    in_flight: int
    _waiting: list[_Waiter] = field(default_factory=list)
    _came: int = 0
    _alarm: asyncio.TimerHandle | None = None
    _hopeless: Exception | None = None
    _jitter: random.Random = field(default_factory=random.Random)

    async def take(self, turn: int) -> Server:
        """Waits for a slot at a server that is neither full nor at rest; give it back with ``leave``.

        Raises what ``give_up`` was told.
        """
        if self._hopeless is not None:
            raise self._hopeless
        waiter = _Waiter(turn, self._came, asyncio.get_running_loop().create_future())
        self._came += 1
        heapq.heappush(self._waiting, waiter)
        self._hand_out()
        try:
            return await waiter.slot
        except asyncio.CancelledError:
            if waiter.slot.done() and not waiter.slot.cancelled():
                self.leave(waiter.slot.result())
            raise

    def leave(self, server: Server) -> None:
        """Gives a slot back, and lets the next in line in."""
        server.outstanding -= 1
        self._hand_out()

    def replace(self, urls: Sequence[str]) -> None:
        """Hands out slots at these servers from now on; what is under way elsewhere goes on there."""
        known = {server.url: server for server in self.servers}
        self.servers[:] = [known.get(url) or Server(url) for url in dict.fromkeys(urls)]
        self._hopeless = None
        self._hand_out()

    def give_up(self, error: Exception) -> None:
        """Ends all waiting with the error, until ``replace`` names servers again."""
        self._hopeless = error
        while self._waiting:
            slot = heapq.heappop(self._waiting).slot
            if not slot.done():
                slot.set_exception(error)

    def rest(self, server: Server, sent_at: float, retry_after: float | None, first_rest_s: float) -> None:
        """Lets the server rest for a while that differs from client to client."""
        server.rest(sent_at, retry_after, self._jitter.uniform(1.0, 1.5), first_rest_s)

    def close(self) -> None:
        """Forgets the alarm."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _hand_out(self) -> None:
        while self._waiting:
            if self._waiting[0].slot.done():  # cancelled while it waited
                heapq.heappop(self._waiting)
                continue
            now = time.monotonic()
            with_room = [server for server in self.servers if server.outstanding < self.in_flight]
            awake = [server for server in with_room if server.rests_until <= now]
            if not awake:
                self._wake_at(min((server.rests_until for server in with_room), default=None), now)
                return
            chosen = min(awake, key=lambda server: (server.outstanding, server.taken))
            chosen.outstanding += 1
            chosen.taken += 1
            heapq.heappop(self._waiting).slot.set_result(chosen)

    def _wake_at(self, moment: float | None, now: float) -> None:
        """When all with room are at rest, nobody leaves: the first to wake must be waited for."""
        self.close()
        if moment is not None:
            self._alarm = asyncio.get_running_loop().call_later(max(moment - now, 0.001), self._hand_out)
