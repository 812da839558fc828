"""What one part of captions cost: tokens, pictures a second, time in line; for the part's log, never for a table."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from moodarchive.chat import Timing


@dataclass
class PartFacts:
    """Counted while the part is in work."""

    timing: Timing = field(default_factory=Timing)
    rows: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    began: float = field(default_factory=time.monotonic)

    def count(self, row: Mapping[str, object]) -> None:
        """Adds a finished row; skipped ones cost nothing."""
        if row["status"] == "skipped":
            return
        self.rows += 1
        self.tokens_in += int(str(row["prompt_tokens"] or 0))
        self.tokens_out += int(str(row["completion_tokens"] or 0))

    def told(self) -> str:
        """One line for the part's log."""
        seconds = max(time.monotonic() - self.began, 1e-9)
        timing, answers = self.timing, max(self.timing.answers, 1)
        return (
            f"{self.rows} pictures in {seconds:.1f} s ({self.rows / seconds:.2f}/s); tokens in {self.tokens_in}, out "
            f"{self.tokens_out}; an answer waited {timing.queued_s / answers:.2f} s for a place and took "
            f"{timing.served_s / answers:.2f} s; {timing.lost} requests were lost and sent again"
        )
