"""What parts of captions cost: tokens, pictures a second, time in line; for log and sidecar, never for a table."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from annotate.asking import Rejected
from annotate.describe import Outcome
from moodarchive.chat.client import Timing
from moodarchive.chat.server_phases import ServerPhases
from moodarchive.errors import ServiceError
from moodarchive.tables.layout import TAKEN_DOWN
from moodarchive.tables.parts import Sidecar


@dataclass
class PartFacts:
    """Counted while the part is in work."""

    timing: Timing = field(default_factory=Timing)
    pictures: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    answered: int = 0
    described: int = 0
    """Rows that have a caption, those of an earlier time among them."""
    rejected: Rejected | None = None
    """What a server turned down last."""
    phases: ServerPhases = field(default_factory=ServerPhases)
    """What the servers counted while the part was in work, other parts' requests among it."""
    began: float = field(default_factory=time.monotonic)

    def count(self, outcome: Outcome) -> None:
        """Adds a finished row; those that are skipped or kept cost nothing."""
        row = outcome.row
        self.answered += outcome.answered
        self.described += row["status"] == "ok"
        self.rejected = outcome.rejected or self.rejected
        if row["status"] == "skipped" or outcome.is_kept:
            return
        self.pictures += 1
        self.tokens_in += int(str(row["prompt_tokens"] or 0))
        self.tokens_out += int(str(row["completion_tokens"] or 0))

    def figures(self) -> dict[str, float]:
        """For the part's sidecar."""
        timing = self.timing
        return {
            "pictures": self.pictures,
            "described": self.described,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "seconds": round(time.monotonic() - self.began, 3),
            "answers": timing.answers,
            "queued_s": round(timing.queued_s, 3),
            "served_s": round(timing.served_s, 3),
            "lost": timing.lost,
            "server_requests": self.phases.requests,
            "server_queue_s": round(self.phases.queue, 3),
            "server_prefill_s": round(self.phases.prefill, 3),
            "server_decode_s": round(self.phases.decode, 3),
        }


WALLS = {
    "preparing": "pictures are prepared by the server's CPU; raise servers.api_servers, or give the servers more cores",
    "waiting": "requests queue inside the servers; lower caption.in_flight, or add servers",
    "prefill": "the GPU reads the pictures; lower caption.image_side, or add servers",
    "decode": "the GPU writes the answers; raise caption.in_flight while memory lasts, or add servers",
}
"""What to change, by the phase in which a server's answers spend the most time."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What parts cost together; ``seconds`` counts a moment once, however many parts were in work."""

    parts: int
    pictures: int
    tokens_in: int
    tokens_out: int
    seconds: float
    answers: int
    queued_s: float
    served_s: float
    lost: int
    slowest: float
    fastest: float
    phases: ServerPhases = field(default_factory=ServerPhases)

    @property
    def per_second(self) -> float:
        """Pictures a second."""
        return self.pictures / max(self.seconds, 1e-9)

    @property
    def waited_s(self) -> float:
        """Seconds that an answer waited for a place at a server."""
        return self.queued_s / max(self.answers, 1)

    @property
    def took_s(self) -> float:
        """Seconds from asking to the answer."""
        return self.served_s / max(self.answers, 1)

    def describe(self) -> str:
        """One line for people."""
        return (
            f"{self.per_second:.2f} pictures/s; tokens {self.tokens_in:,} in, {self.tokens_out:,} out; an answer "
            f"waited {self.waited_s:.2f} s for a place and took {self.took_s:.2f} s; {self.lost} requests lost and "
            f"sent again{f'; {self.wall}' if self.wall else ''}"
        )

    @property
    def shares(self) -> dict[str, float]:
        """Seconds of a mean answer in each phase, by the servers' metrics; empty where no server publishes them.

        ``preparing`` is what is left of the time that we measured: the picture's way to the server, and its preparation
        by the server's CPU, which vLLM's own phases leave out.
        """
        if not self.phases.requests:
            return {}
        waiting, prefill, decode = (
            getattr(self.phases, phase) / self.phases.requests for phase in ("queue", "prefill", "decode")
        )
        preparing = max(0.0, self.took_s - waiting - prefill - decode)
        return {"preparing": preparing, "waiting": waiting, "prefill": prefill, "decode": decode}

    @property
    def wall(self) -> str:
        """The phase that takes longest, and what to change; empty where no server publishes its metrics."""
        shares = self.shares
        if not shares:
            return ""
        longest = max(shares, key=lambda phase: shares[phase])
        seconds = ", ".join(f"{phase} {share:.2f}" for phase, share in shares.items())
        return f"the wall is {longest} ({seconds} s): {WALLS[longest]}"


def require_described(sidecars: Iterable[Sidecar]) -> None:
    """ServiceError when parts have failed rows and not one caption: what follows would be sealed empty."""
    known = list(sidecars)
    if not known or any(sidecar.measured.get("described", 1) for sidecar in known):
        return
    failures: Counter[str] = Counter()
    for sidecar in known:
        failures.update({kind: count for kind, count in sidecar.failures.items() if kind != TAKEN_DOWN})
    if failures:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in failures.most_common())
        raise ServiceError(
            f"not one of {failures.total():,} pictures was captioned ({kinds}); remedy: see logs/caption/ for what the "
            "server answered, mend it, then run again with --retry captions"
        )


def sum_costs(sidecars: Iterable[Sidecar]) -> Costs | None:
    """The costs of the caption parts whose sidecars tell of any; None when none does."""
    known = [sidecar for sidecar in sidecars if sidecar.measured.get("answers")]
    if not known:
        return None
    figures = [sidecar.measured for sidecar in known]
    rates = [part["pictures"] / max(part["seconds"], 1e-9) for part in figures]
    return Costs(
        parts=len(known),
        pictures=int(sum(part["pictures"] for part in figures)),
        tokens_in=int(sum(part["tokens_in"] for part in figures)),
        tokens_out=int(sum(part["tokens_out"] for part in figures)),
        seconds=_covered_seconds(
            [(sidecar.finished - sidecar.measured["seconds"], sidecar.finished) for sidecar in known]
        ),
        answers=int(sum(part["answers"] for part in figures)),
        queued_s=sum(part["queued_s"] for part in figures),
        served_s=sum(part["served_s"] for part in figures),
        lost=int(sum(part["lost"] for part in figures)),
        slowest=min(rates),
        fastest=max(rates),
        phases=ServerPhases(
            requests=_total(figures, "server_requests"),
            queue=_total(figures, "server_queue_s"),
            prefill=_total(figures, "server_prefill_s"),
            decode=_total(figures, "server_decode_s"),
        ),
    )


def _total(figures: Iterable[Mapping[str, float]], name: str) -> float:
    return sum(part.get(name, 0.0) for part in figures)


def _covered_seconds(spans: list[tuple[float, float]]) -> float:
    """The length of the union: two parts are in work at a time, and runs may lie days apart."""
    covered, until = 0.0, 0.0
    for begin, end in sorted(spans):
        covered += max(0.0, end - max(begin, until))
        until = max(until, end)
    return covered
