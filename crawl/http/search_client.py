"""Questions to a site's search interface: limits, retries, Retry-After, robots.txt, a day's cache, keys unseen."""

import json
import random
import re
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, NoReturn
from urllib.parse import urlsplit

import requests
from multidict import CIMultiDict
from urllib3.exceptions import HTTPError, NameResolutionError

from crawl.http.addresses import explain_unused_proxy
from crawl.http.loopback import LoopbackAdapter
from crawl.http.search_cache import Answer, Answers
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.robots import MAX_BYTES, RobotsMemory, Rules, refuse_opted_out
from moodarchive.chat.retry_after import retry_after
from moodarchive.errors import RowError, ServiceError
from moodarchive.running.part_log import redact

MAX_REPLY_BYTES = 16 << 20
LONGEST_BACKOFF_S = 60.0
_AGAIN = (429, 500, 502, 503, 504)
_GZIP = b"\x1f\x8b"
_QUERY_STRING = re.compile(r"\?[^\s'\")]*")


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
    secret: dict[str, str]
    headers: dict[str, str]
    source: str
    is_page: bool = False
    is_list: bool = False


@dataclass(frozen=True, kw_only=True)
class WebClient:
    """One session of search requests. ``loopback_hosts`` maps a host name to a loopback ``address:port``.

    ``rate_limits`` paces every request, ``answers`` remembers; without them (tests) nothing is paced or remembered.
    """

    user_agent: str
    timeout_s: float = 30.0
    retries: int = 5
    loopback_hosts: Mapping[str, str] = field(default_factory=dict)
    rate_limits: RateLimitClient | None = None
    answers: Answers | None = None
    _robots: RobotsMemory = field(default_factory=RobotsMemory, repr=False)

    @cached_property
    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.headers["User-Agent"] = self.user_agent
        for host, address in self.loopback_hosts.items():
            session.mount(f"http://{host}/", LoopbackAdapter(address))
        return session

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
        question = _Question(url, params, dict(secret_params or {}), dict(headers or {}), source)
        answer = self._answer(question)
        try:
            return Reply(json=_whole_characters(json.loads(answer.text)), day=_day_of(answer.date))
        except ValueError as error:
            self._fail(url, error)

    def get_page(
        self, url: str, params: Mapping[str, str | int], *, source: str = "", is_list: bool = False
    ) -> Page | None:
        """A page that robots.txt lets machines read; None for 404, as sites answer past the last page.

        ``is_list``: a sitemap, which is made for machines; that it is not to be indexed is no opt-out.
        """
        try:
            self._heed_robots(url)
            answer = self._answer(_Question(url, params, {}, {}, source, is_page=True, is_list=is_list))
        except RowError as error:
            raise ServiceError(f"{source or url} does not want to be read: {error}") from None
        return Page(html=answer.text, day=_day_of(answer.date)) if answer.text else None

    def post_form(self, url: str, form: Mapping[str, str], *, source: str = "") -> Any:
        """The JSON answer to a form, such as a request for a token; never cached, and errors show no field."""
        try:
            response = self._sent("POST", url, {"data": dict(form)}, source, 0.0)
            with response:
                response.raise_for_status()
                return json.loads(_body(url, response))
        except (requests.RequestException, HTTPError, ValueError) as error:
            self._fail(url, error)

    def _answer(self, asked: "_Question") -> Answer:
        url, headers = asked.url, asked.headers
        known = self.answers.find(url, asked.params) if self.answers else None
        if known and self.answers and known.is_fresh(self.answers.clock()):
            return known
        if known:
            headers.update(known.conditions())
        rules = self._robots.known(_origin(url)) if asked.is_page else None
        gap_s = rules.delay_s() if rules else 0.0
        request = {"params": {**asked.params, **asked.secret}, "headers": headers}
        try:
            with self._sent("GET", url, request, asked.source, gap_s) as response:
                text, met = self._text(asked, response, known), response.headers
        except (requests.RequestException, HTTPError, ValueError, zlib.error) as error:
            self._fail(url, error)
        came = self.answers.clock() if self.answers else time.time()
        answer = Answer.of(text, met, came, known)
        if self.answers:
            self.answers.keep(url, asked.params, answer)
        return answer

    def _text(self, asked: "_Question", response: requests.Response, known: Answer | None) -> str:
        if response.status_code == 304 and known:
            return known.text
        if response.status_code == 404 and asked.is_page:
            return ""
        response.raise_for_status()
        if asked.is_page and not asked.is_list:  # a page, not an interface that was made for machines
            refuse_opted_out(asked.url, CIMultiDict(response.raw.headers.items()), self.user_agent)
        return _body(asked.url, response).decode(errors="replace")

    def _sent(self, method: str, url: str, request: dict[str, Any], source: str, gap_s: float) -> requests.Response:
        """The first answer that is not a plea for patience, or the last one; each attempt waits for its turn."""
        host = urlsplit(url).hostname or ""
        for attempt in range(self.retries + 1):
            if self.rate_limits and (failure := self.rate_limits.acquire(host, source, gap_s)):
                raise ServiceError(f"{host} kept failing ({failure}) and is left alone for a while; run again later")
            try:
                response = self._session.request(method, url, timeout=self.timeout_s, stream=True, **request)
            except requests.ConnectionError:
                if attempt == self.retries:
                    self._note(host, "unreachable")
                    raise
                time.sleep(_backoff(attempt))
                continue
            if response.status_code not in _AGAIN or attempt == self.retries:
                self._note(host, f"http_{response.status_code}" if response.status_code >= 500 else "")
                self._note_spent(host, response)
                return response
            self._rest(host, response, attempt)
        raise AssertionError("the last attempt returns or raises")

    def _note(self, host: str, failure: str) -> None:
        if self.rate_limits:
            self.rate_limits.note(host, failure)

    def _rest(self, host: str, response: requests.Response, attempt: int) -> None:
        wait = retry_after(response.headers.get("Retry-After"))
        response.close()
        if wait is None:
            time.sleep(_backoff(attempt))
        elif self.rate_limits:
            self.rate_limits.hold(host, wait)
        else:
            time.sleep(wait)

    def _note_spent(self, host: str, response: requests.Response) -> None:
        """A site that says that nothing is left is not asked again before it says that there is."""
        left = response.headers.get("X-RateLimit-Remaining")
        reset = retry_after(response.headers.get("X-RateLimit-Reset"))
        if self.rate_limits and left == "0" and reset:
            self.rate_limits.hold(host, reset - time.time() if reset > 1e9 else reset)

    def sitemaps(self, origin: str) -> list[str]:
        """The addresses that the site's robots.txt names as sitemaps."""
        return self._rules_of(origin).sitemaps(origin)

    def _heed_robots(self, url: str) -> None:
        self._rules_of(_origin(url)).require_allowed(url)

    def _rules_of(self, origin: str) -> Rules:
        rules = self._robots.known(origin)
        if rules is None:
            try:
                with self._sent("GET", f"{origin}/robots.txt", {}, "", 0.0) as response:
                    body = response.raw.read(MAX_BYTES + 1, decode_content=False)
                    encodings = response.raw.headers.getlist("Content-Encoding")
                    rules = Rules.of(response.status_code, body, encodings, self.user_agent)
            except requests.ConnectionError as error:
                is_unknown = isinstance(
                    getattr(error.args[0], "reason", None) if error.args else None, NameResolutionError
                )
                rules = Rules.unreadable("unknown_host" if is_unknown else "robots_unreachable")
            except (requests.RequestException, HTTPError):
                rules = Rules.unreadable()
            self._robots.rules[origin] = rules
        return rules

    def _fail(self, url: str, error: Exception) -> NoReturn:
        why = _QUERY_STRING.sub("", redact(str(error)))
        proxy = explain_unused_proxy() if isinstance(error, requests.ConnectionError) else ""
        raise ServiceError(f"{url} did not answer a search: {why}{proxy}") from None


def _origin(url: str) -> str:
    split = urlsplit(url)
    return f"{split.scheme}://{split.netloc}"


def _body(url: str, response: requests.Response) -> bytes:
    body: bytes = response.raw.read(MAX_REPLY_BYTES + 1, decode_content=True)
    if body[:2] == _GZIP:  # a compressed file, not a compressed answer: sitemaps come so
        body = zlib.decompressobj(wbits=31).decompress(body, MAX_REPLY_BYTES + 1)
    if len(body) > MAX_REPLY_BYTES:
        raise ServiceError(f"{url} answered more than {MAX_REPLY_BYTES >> 20} MiB")
    return body


def _backoff(attempt: int) -> float:
    return random.uniform(0.5, 1.5) * min(LONGEST_BACKOFF_S, 0.5 * float(2**attempt))


def _whole_characters(value: Any) -> Any:
    """The value with "?" for half a character, which sites leave when they cut a text and no table can hold."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))


def _day_of(header: str | None) -> str:
    try:
        moment = parsedate_to_datetime(header) if header else datetime.now(UTC)
    except ValueError:
        moment = datetime.now(UTC)
    return moment.date().isoformat()
