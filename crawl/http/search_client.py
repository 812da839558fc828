"""Questions to a site's search interface: a day's cache, pages that robots.txt allows, keys that no error shows."""

import codecs
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, NoReturn
from urllib.parse import urlencode

from crawl.encodings import OFFERED, unpack_file
from crawl.http.addresses import explain_unused_proxy, vet_url
from crawl.http.search_cache import Answer as KeptAnswer
from crawl.http.search_cache import Answers
from crawl.http.transport import Answer, AskAgain, HostLeftAlone, Persistence, Request, Transport, read_wait
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.robots import RobotsMemory, refuse_opted_out
from moodarchive.errors import RowError, ServiceError
from moodarchive.running.loop_thread import LoopThread
from moodarchive.running.part_log import redact

MAX_REPLY_BYTES = 16 << 20
PAST_THE_END = (400, 401, 403, 404, 416, 422)
"""How sites refuse a page behind the last that they give."""
_XML_ENCODING = re.compile(rb"""\s*<\?xml[^>]{0,100}encoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]{0,30})""")
_WIDE = re.compile(rb"utf-?(16|32)|(iso-10646-)?ucs", re.IGNORECASE)
_QUERY_STRING = re.compile(r"\?[^\s'\")]*")
_RATE_LIMIT = re.compile(rb"rate.?limit|too many requests", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A JSON answer and the day on which the site gave it (from the Date header, YYYY-MM-DD)."""

    json: Any
    day: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page's HTML and the day on which the site gave it."""

    html: str
    day: str


@dataclass(frozen=True)
class _Question:
    """What is asked of a site; ``secret`` parameters and headers are in no error, no log and no cache."""

    url: str
    params: Mapping[str, str | int]
    secret: Mapping[str, str]
    headers: Mapping[str, str]
    source: str
    is_page: bool = False
    is_list: bool = False
    ends: tuple[int, ...] = ()

    def request(self, user_agent: str, kept: KeptAnswer | None) -> Request:
        """As the transport takes it, conditional where an older answer is kept."""

        def admit(answer: Answer) -> None:
            passes = answer.status == 200 or (answer.status == 304 and kept) or (answer.status == 404 and self.is_page)
            passes = passes or answer.status in self.ends
            if not passes and answer.status != 403:
                raise RowError(f"http_{answer.status}", f"status {answer.status}")
            if self.is_page and not self.is_list:  # a page, not an interface that was made for machines
                refuse_opted_out(self.url, answer.headers, user_agent)

        def judge(answer: Answer) -> None:
            _refuse_forbidden(answer, is_end=403 in self.ends)

        query = urlencode({**self.params, **self.secret})
        mark = "&" if "?" in self.url else "?"
        return Request(
            url=f"{self.url}{mark}{query}" if query else self.url,
            max_bytes=MAX_REPLY_BYTES,
            headers={"Accept-Encoding": OFFERED, **self.headers, **(kept.conditions() if kept else {})},
            source=self.source,
            heeds_robots=self.is_page,
            admit=admit,
            judge=judge,
        )


def _refuse_forbidden(answer: Answer, *, is_end: bool) -> None:
    """403 is what some interfaces say at their rate limit; any other is a refusal, or the end of the pages."""
    if answer.status == 403:
        if answer.headers.get("X-RateLimit-Remaining") == "0" or _RATE_LIMIT.search(answer.body[:4096]):
            raise AskAgain("throttled", read_wait(answer.headers))
        if not is_end:
            raise RowError("http_403", "status 403")


@dataclass(frozen=True, kw_only=True)
class WebClient:
    """Asks search interfaces and pages. ``loopback_hosts`` maps a host name to a loopback ``address:port``.

    ``rate_limits`` paces every request, ``answers`` remembers; without them (tests) nothing is paced or remembered.
    """

    user_agent: str
    timeout_s: float = 30.0
    """Of one attempt on the wire, its redirects together."""
    retries: int = 5
    loopback_hosts: Mapping[str, str] = field(default_factory=dict)
    rate_limits: RateLimitClient | None = None
    answers: Answers | None = None
    _robots: RobotsMemory = field(default_factory=RobotsMemory, repr=False)

    @cached_property
    def _loop(self) -> LoopThread:
        return LoopThread()

    @cached_property
    def _transport(self) -> Transport:
        persistence = Persistence(
            deadline_s=self.timeout_s,
            attempts=self.retries + 1,
            first_pause_s=0.5,
            longest_wait_s=math.inf,  # the rate limits say how long a quota is waited for
            one_deadline=False,
        )
        transport = Transport(
            user_agent=self.user_agent,
            persistence=persistence,
            loopback_hosts=self.loopback_hosts,
            rate_limits=self.rate_limits,
            robots=self._robots,
        )
        self._loop.run(transport.__aenter__())
        self._loop.at_end(transport.__aexit__(None, None, None))
        return transport

    def __getstate__(self) -> dict[str, Any]:
        """Without the loop and its connections: each process has its own."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_loop", "_transport")}

    def get_json(
        self,
        url: str,
        params: Mapping[str, str | int],
        *,
        source: str = "",
        headers: Mapping[str, str] | None = None,
        secret_params: Mapping[str, str] | None = None,
    ) -> Reply:
        """The parsed reply. ServiceError names the address, never the parameters, which may hold a key."""
        reply = self._get_json(_Question(url, params, secret_params or {}, headers or {}, source))
        assert reply is not None
        return reply

    def get_json_page(
        self,
        url: str,
        params: Mapping[str, str | int],
        *,
        page: int,
        source: str = "",
        headers: Mapping[str, str] | None = None,
        secret_params: Mapping[str, str] | None = None,
    ) -> Reply | None:
        """``get_json`` for one page of an answer; None where a site refuses a page past the first: it ends there."""
        ends = PAST_THE_END if page > 1 else ()
        return self._get_json(_Question(url, params, secret_params or {}, headers or {}, source, ends=ends))

    def _get_json(self, question: _Question) -> Reply | None:
        answer = self._ask(question)
        if not answer.text and question.ends:
            return None
        try:
            return Reply(json=_whole_characters(_read_json(answer.text)), day=_day_of(answer.date))
        except ValueError as error:
            self._fail(question.url, error)

    def get_page(
        self, url: str, params: Mapping[str, str | int], *, source: str = "", is_list: bool = False
    ) -> Page | None:
        """A page that robots.txt lets machines read; None for 404, as sites answer past the last page.

        ``is_list``: a sitemap, which is made for machines; that it is not to be indexed is no opt-out.
        """
        answer = self._ask(_Question(url, params, {}, {}, source, is_page=True, is_list=is_list))
        return Page(html=answer.text, day=_day_of(answer.date)) if answer.text else None

    def post_form(self, url: str, form: Mapping[str, str], *, source: str = "") -> Any:
        """The JSON answer to a form, such as a request for a token; never cached, and errors show no field."""
        question = _Question(url, {}, {}, {}, source)
        request = replace(question.request(self.user_agent, None), method="POST", form=dict(form))
        try:
            return json.loads(self._loop.run(self._transport.exchange(request)).body)
        except (RowError, ValueError) as error:
            self._fail(url, error)

    def sitemaps(self, origin: str) -> list[str]:
        """The addresses that the site's robots.txt names as sitemaps."""
        try:
            rules = self._loop.run(self._transport.rules_of(vet_url(origin, self.loopback_hosts)))
        except RowError as error:
            self._fail(origin, error)
        return rules.sitemaps(origin)

    def _ask(self, question: _Question) -> KeptAnswer:
        """The answer: the one of today, else the site's, which is kept."""
        url = question.url
        kept = self.answers.find(url, question.params) if self.answers else None
        if kept and self.answers and kept.is_fresh(self.answers.clock()):
            return kept
        try:
            answer = self._loop.run(self._transport.exchange(question.request(self.user_agent, kept)))
            text = _read_text(question, answer, kept)
            if not question.is_page and answer.status not in question.ends:
                _read_json(text)  # what is none must not be kept for a day
        except (RowError, ValueError) as error:
            self._fail(url, error, question.source)
        self._note_spent(vet_url(url, self.loopback_hosts).host or "", answer)
        came = self.answers.clock() if self.answers else time.time()
        fresh = KeptAnswer.of(text, answer.headers, came, kept)
        if self.answers:
            self.answers.keep(url, question.params, fresh)
        return fresh

    def _note_spent(self, host: str, answer: Answer) -> None:
        """A site that says that nothing is left is not asked again before it says that there is."""
        wait_s = read_wait(answer.headers)
        if self.rate_limits and answer.headers.get("X-RateLimit-Remaining") == "0" and wait_s:
            self.rate_limits.hold(host, wait_s)

    def _fail(self, url: str, error: Exception, source: str = "") -> NoReturn:
        kind = error.kind if isinstance(error, RowError) else ""
        why = _QUERY_STRING.sub("", redact(str(error)))
        if isinstance(error, HostLeftAlone):
            raise ServiceError(f"{why}; remedy: run again later") from None
        if kind.startswith(("robots_", "opt_out_")):
            raise ServiceError(f"{source or url} does not want to be read: {why}") from None
        proxy = explain_unused_proxy() if kind in ("unreachable", "unknown_host", "deadline") else ""
        raise ServiceError(f"{url} did not answer a search: {why}{proxy}") from None


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("JSON that is nested without end") from None


def _read_text(question: _Question, answer: Answer, kept: KeptAnswer | None) -> str:
    """The text; empty for 404 and past the end. RowError ``too_many_bytes``, ValueError for a damaged file."""
    if answer.status == 304 and kept:
        return kept.text
    if answer.status == 404 or answer.status in question.ends:
        return ""
    content = unpack_file(answer.body, MAX_REPLY_BYTES)  # sitemaps come as compressed files
    if len(content) > MAX_REPLY_BYTES:
        raise RowError("too_many_bytes", f"more than {MAX_REPLY_BYTES >> 20} MiB")
    return _decode(content, is_list=question.is_list)


def _decode(content: bytes, *, is_list: bool) -> str:
    """By its byte order mark or, of a sitemap, its XML declaration; else UTF-8, with "?" for what is none."""
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    if is_list and encoding == "utf-8-sig" and (declared := _XML_ENCODING.match(content)):
        # a declaration that can be read in single bytes is of no wide encoding, whatever it says: .NET's writers do
        encoding = declared[1].decode() if not _WIDE.match(declared[1]) else encoding
    try:
        return content.decode(encoding, errors="replace")
    except (LookupError, UnicodeError):  # no encoding of texts
        return content.decode(errors="replace")


def _whole_characters(value: Any) -> Any:
    """The value with "?" for half a character, which sites leave when they cut a text and no table can hold."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))


def _day_of(header: str | None) -> str:
    try:
        moment = parsedate_to_datetime(header) if header else datetime.now(UTC)
    except ValueError:
        moment = datetime.now(UTC)
    return moment.date().isoformat()
