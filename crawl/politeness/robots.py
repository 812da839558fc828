"""What a site asks of machines: robots.txt by RFC 9309, and the opt-outs of single answers and pages."""

import codecs
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from multidict import CIMultiDict, CIMultiDictProxy
from protego import Protego

from crawl.encodings import decode_body
from moodarchive.errors import RowError

KEPT_S = 86_400.0
MAX_BYTES = 500 * 1024
"""RFC 9309, 2.5: at least so much of a robots.txt is read."""
UNREADABLE_AGAIN_S = 600.0
LONGEST_DELAY_S = 60.0
OPT_OUTS = ("noai", "noimageai", "noml", "noindex", "none")
_VALUED = ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after")
"""Rules of X-Robots-Tag that take a value, which is no word of its own."""
_AGENT_FIELDS = ("user-agent", "useragent", "user agent")
_DISALLOW_FIELDS = ("disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw")
_SITEMAP_FIELDS = ("sitemap", "sitemaps", "site-map")
_OTHER_FIELDS = (
    "crawl-delay", "crawl delay", "request-rate", "visit-time", "cache-delay", "host", "clean-param", "noindex",
    "nofollow", "noarchive", "content-signal", "content-usage", "license", "schemamap",
)  # fmt: skip
_RECORD = re.compile(
    rf"({'|'.join((*_AGENT_FIELDS, 'allow', *_DISALLOW_FIELDS, *_SITEMAP_FIELDS, *_OTHER_FIELDS))})\s*:(.*)",
    re.IGNORECASE | re.DOTALL,
)
_COLON_FORGOTTEN = re.compile(
    rf"({'|'.join(_AGENT_FIELDS)}|(?:allow|{'|'.join(_DISALLOW_FIELDS)})(?=\s+[/*]))\s+(\S+)", re.IGNORECASE
)
_GZIP = b"\x1f\x8b"

Headers = CIMultiDict[str] | CIMultiDictProxy[str]


@dataclass(frozen=True)
class Rules:
    """One site's robots.txt; ``parsed`` is None when everything is allowed.

    ``failure`` is the kind of error in which every request ends, when the file could not be read.
    """

    parsed: Protego | None
    until: float
    failure: str = ""

    @classmethod
    def of(cls, status: int, body: bytes, encodings: Iterable[str], agent: str) -> "Rules":
        """From the answer (RFC 9309, 2.3.1); ``encodings`` are the values of its Content-Encoding.

        4xx allows everything. Nothing is allowed by 5xx, 429 (a server that is asked too much has not answered), a
        part of a file, or a body that cannot be read as rules, such as a page. Read again after a day, or ten minutes.
        """
        if 400 <= status < 500 and status != 429:
            return cls.allowing_all()
        if status not in (200, 203, 204):
            return cls.unreadable()
        try:
            text = _decode_text(body, encodings)
            parsed = Protego.parse(_rules_for(text, product_token(agent)))
        except ValueError:
            return cls.unreadable()
        return cls(parsed, time.monotonic() + KEPT_S)

    @classmethod
    def allowing_all(cls) -> "Rules":
        """The site has no robots.txt."""
        return cls(None, time.monotonic() + KEPT_S)

    @classmethod
    def unreadable(cls, failure: str = "robots_unreachable") -> "Rules":
        """No rules could be read; that is no permission. Read again after ten minutes."""
        return cls(None, time.monotonic() + UNREADABLE_AGAIN_S, failure)

    def require_allowed(self, url: str) -> None:
        """RowError ``robots_unreachable``, ``robots_disallowed``, or ``unknown_host`` for a host that is no more."""
        if self.failure == "robots_unreachable":
            raise RowError(self.failure, f"{url}: the site's robots.txt cannot be read")
        if self.failure:
            raise RowError(self.failure, f"{url}: the site's host cannot be found")
        if self.parsed is not None and not self.parsed.can_fetch(url, "*"):
            raise RowError("robots_disallowed", f"{url}: the site's robots.txt disallows it")

    def delay_s(self) -> float:
        """Seconds that the site wants between two requests; 0 when it names none."""
        delay = self.parsed.crawl_delay("*") if self.parsed is not None else None
        return min(float(delay or 0.0), LONGEST_DELAY_S)

    def sitemaps(self, origin: str) -> list[str]:
        """The addresses that the file names as sitemaps; one without a host is one of the site's own."""
        return [urljoin(f"{origin}/", address) for address in self.parsed.sitemaps] if self.parsed is not None else []


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


def _decode_text(body: bytes, encodings: Iterable[str]) -> str:
    """The first MAX_BYTES as text, whole lines only. ValueError for what is compressed and cannot be unpacked.

    The encoding is UTF-8 (RFC 9309, 2.2.2), or UTF-16 where a byte order mark says so. A byte that is neither stays as
    its escape, as which an address would hold it.
    """
    content = decode_body(body, encodings, MAX_BYTES)
    if content.startswith(_GZIP):  # compressed, and not said so
        content = decode_body(content, ["gzip"], MAX_BYTES)
    if len(content) > MAX_BYTES:
        end = max(content.rfind(b"\n", 0, MAX_BYTES), content.rfind(b"\r", 0, MAX_BYTES))
        content = content[: end + 1 or MAX_BYTES]
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    text = content.decode("utf-8", "surrogateescape").replace("\ufeff", "")
    return re.sub("[\udc80-\udcff]", lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", text)


def _rules_for(text: str, token: str) -> str:
    """The records of the groups that address ``token``, else of those for ``*``, as one group (RFC 9309, 2.2.1).

    A library matches the paths; which group holds is decided here, because none compares the whole product token and
    lets other records stand between without effect, as the RFC demands. ValueError when no line is a record, or when a
    line that is none stands before a rule of no group: it may have been the group's name.
    """
    groups: dict[str, list[str]] = {}
    sitemaps: list[str] = []
    addressed: list[str] = []
    in_rules = False
    records = list(_records(text))
    _require_readable(records)
    for name, value in records:
        if name in _AGENT_FIELDS:
            addressed = [] if in_rules else addressed
            in_rules = False
            addressed.append(_agent_of(value))
            groups.setdefault(addressed[-1], [])
        elif name in _SITEMAP_FIELDS:
            sitemaps.append(f"Sitemap: {value}")
        elif name in ("allow", *_DISALLOW_FIELDS):
            in_rules = True
            for agent in addressed:
                groups[agent] += _path_rule(name, value)
        elif name in ("crawl-delay", "crawl delay"):
            for agent in addressed:
                groups[agent].append(f"Crawl-delay: {value}")
    rules = groups.get(token.lower(), groups.get("*", []))
    return "\n".join(["User-agent: *", *rules, *sitemaps])


def _require_readable(records: Sequence[tuple[str, str]]) -> None:
    unread = ""
    for name, value in records:
        if name in _AGENT_FIELDS:
            return
        unread = unread or ("" if name else value)
        if unread and name in ("allow", *_DISALLOW_FIELDS):
            raise ValueError(f"a rule of no group behind a line that is no record: {unread[:100]!r}")
    if unread and not any(name for name, _ in records):
        raise ValueError("no line is a record of a robots.txt")


def _records(text: str) -> Iterator[tuple[str, str]]:
    """Each line's name, in small letters, and value; the name is empty for a line that is no record."""
    for line in re.split(r"[\r\n]", text):
        record = line.partition("#")[0].strip()
        match = _RECORD.fullmatch(record) or _COLON_FORGOTTEN.fullmatch(record)
        if match is None and record:
            yield "", record
        elif match is not None:
            # characters at which Python, not the RFC, would end a line
            yield match[1].lower(), re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]", "", match[2]).strip()


def _agent_of(value: str) -> str:
    """``MoodArchive/1.0`` → ``moodarchive``; the star stands alone."""
    value = value.lower()
    return "*" if value.split()[:1] == ["*"] else product_token(value)


def _path_rule(name: str, value: str) -> list[str]:
    """The rule as the library reads it; a path that does not begin with a slash forbids what was most likely meant."""
    if not value:
        return []
    if name == "allow":
        # the library would take an allowed index.html for an allowed folder
        return [f"Allow: {value}{'*' if value.endswith('/index.html') else ''}"] if value[0] in "/*" else []
    if re.match("https?://", value, re.IGNORECASE):
        split = urlsplit(value)
        value = (split.path or "/") + (f"?{split.query}" if split.query else "")
    return [f"Disallow: {value if value[0] in '/*' else '/' + value}"]


def refuse_opted_out(url: str, headers: Headers, agent: str) -> None:
    """RowError ``opt_out_noai``, ``…_noimageai``, ``…_noml``, ``…_noindex`` or ``opt_out_tdm``, from the headers."""
    reservations = [word.strip(' "') for value in headers.getall("TDM-Reservation", []) for word in value.split(",")]
    if "1" in reservations:
        raise RowError("opt_out_tdm", f"{url}: tdm-reservation: 1")
    for value in headers.getall("X-Robots-Tag", []):  # each by itself: one header's bot is not the next one's
        if word := opt_out_of(value, agent):
            raise RowError(f"opt_out_{word}", f"{url}: X-Robots-Tag says {word}")


def opt_out_of(directives: str, agent: str) -> str | None:
    """The first opt-out among robots directives that address everybody or this agent; ``none`` counts as ``noindex``.

    The grammar of one header: ``[bot:] word, word, name: value, …``. A bot's name holds for all that follows it, up to
    the next name. Dates, as values of ``unavailable_after``, may hold commas and colons.
    """
    addressed = True
    for part in re.split("[,;]", directives.lower()):
        text = part.strip()
        while (name := _name_before_colon(text)) is not None:
            text = text.partition(":")[2].strip()
            if name in _VALUED:
                text = text.partition(" ")[2]  # the first word is the value; of a date, the others mean nothing
                break
            if name in OPT_OUTS:
                text = f"{name} {text}"
                break
            addressed = name == "*" or product_token(agent).lower() in map(product_token, name.split())
        if addressed:
            for word in text.replace('"', " ").replace("'", " ").split():
                if word in OPT_OUTS:
                    return "noindex" if word == "none" else word
    return None


def _name_before_colon(text: str) -> str | None:
    """``moodarchive: noai`` → ``moodarchive``; None where no colon stands, or one within a time (``25-jun 15:00``)."""
    name, colon, rest = text.partition(":")
    is_time = rest[:1].isdigit() and name[-1:].isdigit()
    return name.strip() if colon and not is_time and re.search("[a-z_*]", name) else None
