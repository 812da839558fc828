"""JSON over HTTP from a site's search interface: time limits, retries, Retry-After, a contactable User-Agent."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from moodarchive.errors import ServiceError
from moodarchive.part_log import redacted

MAX_REPLY_BYTES = 16 << 20
_QUERY_STRING = re.compile(r"\?[^\s'\")]*")


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A JSON answer and the day on which the site gave it (from the Date header, YYYY-MM-DD)."""

    json: Any
    day: str


class _LoopbackAdapter(HTTPAdapter):
    """Connects a named host to a loopback address, for the demo and tests; URLs keep the name."""

    def __init__(self, address: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._address = address

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        assert request.url is not None
        split = urlsplit(request.url)
        request.headers["Host"] = split.netloc
        request.url = urlunsplit(split._replace(netloc=self._address))
        return super().send(request, *args, **kwargs)


@dataclass(frozen=True, kw_only=True)
class WebClient:
    """One session of search requests. ``loopback_hosts`` maps a host name to a loopback ``address:port``."""

    user_agent: str
    timeout_s: float = 30.0
    retries: int = 5
    loopback_hosts: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.headers["User-Agent"] = self.user_agent
        retry = Retry(
            total=self.retries,
            backoff_factor=0.5,
            backoff_jitter=0.5,
            status_forcelist=(429, 500, 502, 503, 504),
            respect_retry_after_header=True,
            allowed_methods=("GET",),
        )
        session.mount("https://", HTTPAdapter(max_retries=retry))
        session.mount("http://", HTTPAdapter(max_retries=retry))
        for host, address in self.loopback_hosts.items():
            session.mount(f"http://{host}/", _LoopbackAdapter(address, max_retries=retry))
        return session

    def get_json(self, url: str, params: Mapping[str, str | int]) -> Reply:
        """The parsed reply. ServiceError names the address, never the parameters, which may hold a key."""
        try:
            with self._session.get(url, params=dict(params), timeout=self.timeout_s, stream=True) as response:
                response.raise_for_status()
                body = response.raw.read(MAX_REPLY_BYTES + 1, decode_content=True)
                day = _day_of(response.headers.get("Date"))
                if len(body) > MAX_REPLY_BYTES:
                    raise ServiceError(f"{url} answered more than {MAX_REPLY_BYTES >> 20} MiB")
                return Reply(json=_whole_characters(json.loads(body)), day=day)
        except (requests.RequestException, HTTPError, ValueError) as error:
            why = _QUERY_STRING.sub("", redacted(str(error)))
            raise ServiceError(f"{url} did not answer a search: {why}") from None


def _whole_characters(value: Any) -> Any:
    """The value with "?" for half a character, which sites leave when they cut a text and no table can hold."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))


def _day_of(header: str | None) -> str:
    try:
        moment = parsedate_to_datetime(header) if header else datetime.now(UTC)
    except ValueError:
        moment = datetime.now(UTC)
    return moment.date().isoformat()
