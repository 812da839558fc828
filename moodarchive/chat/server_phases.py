"""Where a server's seconds go, from the metrics that vLLM publishes in Prometheus's text format."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

PHASES = ("queue", "prefill", "decode")
_SERIES = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{.*\})?\s+(?P<value>\S+)(?:\s+-?\d+)?\s*$")
_SUMS = {f"vllm:request_{phase}_time_seconds_sum": phase for phase in PHASES}
_REQUESTS = "vllm:request_queue_time_seconds_count"


@dataclass(frozen=True, kw_only=True)
class ServerPhases:
    """What a server has counted since its start: finished requests, and their seconds in each phase."""

    requests: float = 0.0
    queue: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0

    def since(self, earlier: "ServerPhases") -> "ServerPhases":
        """What came after ``earlier``; all of it where the server was started anew in between."""
        if self.requests < earlier.requests:
            return self
        return ServerPhases(
            requests=self.requests - earlier.requests,
            **{phase: max(0.0, getattr(self, phase) - getattr(earlier, phase)) for phase in PHASES},
        )

    def plus(self, other: "ServerPhases") -> "ServerPhases":
        """Both together."""
        return ServerPhases(
            requests=self.requests + other.requests,
            **{phase: getattr(self, phase) + getattr(other, phase) for phase in PHASES},
        )


def read_phases(text: str) -> ServerPhases | None:
    """The sums over all engines and models of the server; None when the text holds none of vLLM's series."""
    values: dict[str, float] = {}
    for line in text.splitlines():
        series = _SERIES.match(line)
        if series is None or (series["name"] not in _SUMS and series["name"] != _REQUESTS):
            continue
        try:
            value = float(series["value"])
        except ValueError:
            continue
        if math.isfinite(value):
            name = _SUMS.get(series["name"], "requests")
            values[name] = values.get(name, 0.0) + value
    return ServerPhases(**values) if values else None


def sum_since(now: Mapping[str, ServerPhases], before: Mapping[str, ServerPhases]) -> ServerPhases:
    """What all servers did meanwhile; one that came meanwhile counts from its start."""
    total = ServerPhases()
    for url, phases in now.items():
        total = total.plus(phases.since(before.get(url, ServerPhases())))
    return total
