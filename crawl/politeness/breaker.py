"""A host that keeps failing is left alone for a while, longer each time."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

FAILURES = 10
FIRST_REST_S, LONGEST_REST_S = 30.0, 1800.0


@dataclass
class Breaker:
    """Counts failures in a row for each host; a success forgets them."""

    clock: Callable[[], float] = time.time
    _failures: dict[str, int] = field(default_factory=dict)
    _latest: dict[str, str] = field(default_factory=dict)
    _open_until: dict[str, float] = field(default_factory=dict)

    def open_for(self, host: str) -> str:
        """The kind of failure for which the host is left alone, empty when it is not.

        After the rest one failure is enough to open it again.
        """
        return self._latest[host] if self._open_until.get(host, 0.0) > self.clock() else ""

    def is_failing(self, host: str) -> bool:
        """True from the first failure to the next success."""
        return host in self._failures

    def record_failure(self, host: str, kind: str) -> None:
        """No connection, no end, or a 5xx, after all retries."""
        count = self._failures[host] = self._failures.get(host, 0) + 1
        self._latest[host] = kind
        if count >= FAILURES:
            self._open_until[host] = self.clock() + min(LONGEST_REST_S, FIRST_REST_S * 2 ** min(count - FAILURES, 16))

    def record_success(self, host: str) -> None:
        """Any answer that is the site's own."""
        for memory in (self._failures, self._latest, self._open_until):
            memory.pop(host, None)
