"""Openverse: openly licensed images of many collections, through its search API, anonymous or registered."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, ClassVar

from pydantic import Field, SecretStr, field_validator

from crawl.http.search_client import WebClient
from crawl.politeness.rate_limits import Limit, parse_limit
from crawl.sites.keys import key
from crawl.sites.pages import as_address, as_flag, as_identifier, as_pixels, as_text, as_whole, ask_pages, records_of
from crawl.source import Found, Policy, Query, SourceSettings
from moodarchive.archive.licences import UNKNOWN_NAME, find_licence, is_accepted
from moodarchive.errors import ServiceError
from moodarchive.settings import SettingScope

LICENCES = ("cc0", "pdm", "by", "by-sa", "by-nc", "by-nd", "by-nc-sa", "by-nc-nd")
ANONYMOUS_PAGE, REGISTERED_PAGE = 20, 100
DEEPEST_PAGE = 20
ANONYMOUS_LIMITS, REGISTERED_LIMITS = ("1/s", "5/h", "100/day"), ("2/s", "100/min", "10000/day")
CLIENT_ID, CLIENT_SECRET = "OPENVERSE_CLIENT_ID", "OPENVERSE_CLIENT_SECRET"
_TOKENS: dict[str, tuple[str, float]] = {}
"""Client → its token and when it ends (monotonic clock); of this process only, never written anywhere."""


POLICY = Policy(
    mode="api",
    terms_url="https://docs.openverse.org/terms_of_service.html",
    terms_reviewed_on=date(2026, 11, 1),
    ml_allowed=True,
    redistribute_allowed=True,
    says="API only; no evading of limits with several machines; each image under its own licence",
    locked=False,
)


class OpenverseSettings(SourceSettings):
    """How Openverse is asked. With a client's id and secret in the environment, as a registered client."""

    page_size: ClassVar[int] = ANONYMOUS_PAGE
    key_variables: ClassVar[tuple[str, ...]] = (CLIENT_ID, CLIENT_SECRET)

    enabled: Annotated[bool, SettingScope.GROWTH] = True
    base_url: Annotated[str, Field(pattern="^https?://"), SettingScope.GROWTH] = "https://api.openverse.org/v1"
    """Where the interface lies."""
    licences: Annotated[tuple[str, ...], SettingScope.GROWTH] = ("cc0", "pdm", "by", "by-sa")
    """Licences that are asked for, by Openverse's short names; what its answers state is held against them too, but
    images whose licence they leave unstated or unclear enter, for the private shards."""
    results_per_query: Annotated[int, Field(ge=1, le=ANONYMOUS_PAGE * DEEPEST_PAGE), SettingScope.GROWTH] = 100
    limits: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ()
    """Empty: what the site allows an anonymous or a registered client, whichever this is."""

    @field_validator("licences")
    @classmethod
    def _known_licences(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in LICENCES:
                raise ValueError(f"{name!r} is no licence of Openverse; legal: {', '.join(LICENCES)}")
        return names

    def lets_in(self, found: Found) -> bool:
        """True for the licences that were asked for, and for unknown ones."""
        return is_accepted(find_licence(found.licence, found.licence_url), (*self.licences, UNKNOWN_NAME))

    def parse_limits(self) -> tuple[Limit, ...]:
        """The limits, read."""
        by_kind = REGISTERED_LIMITS if is_registered(os.environ) else ANONYMOUS_LIMITS
        return tuple(map(parse_limit, self.limits or by_kind))

    def requests_per_query(self) -> int:
        """Requests that a query answered in full takes."""
        return -(-self.results_per_query // (REGISTERED_PAGE if is_registered(os.environ) else ANONYMOUS_PAGE))


def is_registered(keys: Mapping[str, object]) -> bool:
    """True when both halves of a client's credentials are there."""
    return bool(keys.get(CLIENT_ID) and keys.get(CLIENT_SECRET))


@dataclass(frozen=True)
class Openverse:
    """The adapter."""

    settings: OpenverseSettings
    keys: Mapping[str, SecretStr] = field(default_factory=dict)
    name: str = "openverse"
    policy: Policy = POLICY

    def search(self, query: Query, web: WebClient) -> Iterator[Found]:
        """Pages of 20 (100 for a registered client) until enough images or the last page."""
        return ask_pages(query.results, DEEPEST_PAGE, lambda page: self._page(query, web, page))

    def _page(self, query: Query, web: WebClient, page: int) -> tuple[Sequence[Found | None], bool]:
        url, asked = f"{self.settings.base_url}/images/", self._parameters(query, page)
        reply = web.get_json_page(url, asked, page=page, source=self.name, headers=self._headers(web))
        if reply is None:
            return [], False
        records = records_of(url, reply.json, "results")
        pages = as_whole(reply.json.get("page_count"))
        more = page < pages if pages is not None else len(records) >= int(asked["page_size"])
        return [_found(record, reply.day) for record in records], more

    def _parameters(self, query: Query, page: int) -> dict[str, str | int]:
        return {
            "q": query.phrase,
            "license": ",".join(self.settings.licences),
            "page": page,
            "page_size": REGISTERED_PAGE if is_registered(self.keys) else ANONYMOUS_PAGE,
        }

    def _headers(self, web: WebClient) -> dict[str, str]:
        if not is_registered(self.keys):
            return {}
        client = key(self.keys, CLIENT_ID, self.name)
        token, ends = _TOKENS.get(client, ("", 0.0))
        if time.monotonic() >= ends:
            form = {
                "client_id": client,
                "client_secret": key(self.keys, CLIENT_SECRET, self.name),
                "grant_type": "client_credentials",
            }
            url = f"{self.settings.base_url}/auth_tokens/token/"
            reply = web.post_form(url, form, source=self.name)
            if not isinstance(reply, dict) or not isinstance(reply.get("access_token"), str):
                raise ServiceError(f"{url} answered without a token")
            token = reply["access_token"]
            # a minute early: a token must not end between here and the site
            _TOKENS[client] = token, time.monotonic() + float(reply.get("expires_in") or 3600) - 60
        return {"Authorization": f"Bearer {token}"}


def _found(record: Mapping[str, Any], day: str) -> Found | None:
    """None for a record without an identifier or an address, which could never be fetched or credited."""
    name, address = as_identifier(record.get("id")), as_address(record.get("url"))
    if not name or not address:
        return None
    tags = record.get("tags")
    words = [tag.get("name") if isinstance(tag, dict) else tag for tag in tags] if isinstance(tags, list) else tags
    title, licence = as_text(record.get("title")), as_text(record.get("license"))
    return Found(
        source_id=name,
        url=address,
        landing_url=as_address(record.get("foreign_landing_url")),
        title=title,
        alt_text=as_text(words) or title,
        creator=as_text(record.get("creator")),
        creator_url=as_address(record.get("creator_url")),
        licence=" ".join(filter(None, (licence, as_text(record.get("license_version"))))) or None,
        licence_url=as_address(record.get("license_url")),
        width=as_pixels(record.get("width")),
        height=as_pixels(record.get("height")),
        mature=as_flag(record.get("mature")),
        retrieved_on=day,
    )
