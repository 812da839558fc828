"""A host that keeps failing is left alone for a while, longer each time."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

FAILURES = 10
FIRST_REST_S, LONGEST_REST_S = 30.0, 1800.0


@dataclass
class Breaker:
    """Counts failures in a row for each host; a success forgets them."""

    clock: Callable[[], float] = time.monotonic
    _failures: dict[str, int] = field(default_factory=dict)
    _open_until: dict[str, float] = field(default_factory=dict)

    def is_open(self, host: str) -> bool:
        """True while the host is left alone; afterwards one failure is enough to open it again."""
        return self._open_until.get(host, 0.0) > self.clock()

    def failed(self, host: str) -> None:
        """No connection, or a 5xx, after all retries."""
        count = self._failures[host] = self._failures.get(host, 0) + 1
        if count >= FAILURES:
            self._open_until[host] = self.clock() + min(LONGEST_REST_S, FIRST_REST_S * 2 ** (count - FAILURES))

    def succeeded(self, host: str) -> None:
        """Any answer that is the site's own."""
        self._failures.pop(host, None)
        self._open_until.pop(host, None)
