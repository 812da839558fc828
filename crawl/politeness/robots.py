"""What a site asks of machines: robots.txt by RFC 9309, and the opt-outs of single answers and pages."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from protego import Protego

from moodarchive.errors import RowError

KEPT_S = 86_400.0
MAX_BYTES = 500 * 1024
UNREADABLE_AGAIN_S = 600.0
LONGEST_DELAY_S = 60.0
OPT_OUTS = ("noai", "noimageai", "noml", "noindex", "none")


@dataclass(frozen=True)
class Rules:
    """One site's robots.txt; ``parsed`` is None when everything is allowed, and nothing is when ``shut``."""

    parsed: Protego | None
    shut: bool
    until: float

    @classmethod
    def of(cls, status: int | None, body: bytes) -> "Rules":
        """From the answer: 4xx allows everything, 5xx or no answer (None) nothing; read again after a day."""
        if status is None or status >= 500:
            return cls(None, True, time.monotonic() + UNREADABLE_AGAIN_S)
        parsed = Protego.parse(body[:MAX_BYTES].decode(errors="replace")) if status == 200 else None
        return cls(parsed, False, time.monotonic() + KEPT_S)

    def refuse_unless_allowed(self, url: str, agent: str) -> None:
        """RowError ``robots_unreachable`` or ``robots_disallowed``."""
        if self.shut:
            raise RowError("robots_unreachable", f"{url}: the site's robots.txt cannot be read")
        if self.parsed is not None and not self.parsed.can_fetch(url, product_token(agent)):
            raise RowError("robots_disallowed", f"{url}: the site's robots.txt disallows it")

    def delay_s(self, agent: str) -> float:
        """Seconds that the site wants between two requests; 0 when it names none."""
        delay = self.parsed.crawl_delay(product_token(agent)) if self.parsed is not None else None
        return min(float(delay or 0.0), LONGEST_DELAY_S)


@dataclass
class RobotsMemory:
    """The rules met so far, each kept for a day."""

    rules: dict[str, Rules] = field(default_factory=dict)

    def known(self, origin: str) -> Rules | None:
        """The rules of ``scheme://host``, unless they are too old."""
        kept = self.rules.get(origin)
        return kept if kept is not None and kept.until > time.monotonic() else None


def product_token(agent: str) -> str:
    """The name that robots.txt addresses: the User-Agent up to its version."""
    return re.split(r"[/\s(]", agent, maxsplit=1)[0]


def refuse_opted_out(url: str, headers: Mapping[str, str], agent: str) -> None:
    """RowError ``opt_out_noai``, ``…_noimageai``, ``…_noml``, ``…_noindex`` or ``opt_out_tdm``, from the headers."""
    if headers.get("tdm-reservation", "").strip() == "1":
        raise RowError("opt_out_tdm", f"{url}: tdm-reservation: 1")
    if word := opt_out_of(headers.get("X-Robots-Tag", ""), agent):
        raise RowError(f"opt_out_{word}", f"{url}: X-Robots-Tag says {word}")


def opt_out_of(directives: str, agent: str) -> str | None:
    """The first opt-out among comma-separated robots directives that address everybody or this agent."""
    addressed = True
    for part in directives.lower().split(","):
        name, colon, rest = part.strip().rpartition(":")
        if colon and name not in ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"):
            addressed = name in ("*", product_token(agent).lower())
        word = rest.strip()
        if addressed and word in OPT_OUTS:
            return "noindex" if word == "none" else word
    return None
