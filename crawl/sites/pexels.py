"""Pexels, through its API."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, ClassVar

from pydantic import Field, SecretStr

from crawl.http.search_client import WebClient
from crawl.sites.keys import key
from crawl.sites.pages import as_address, as_identifier, as_pixels, as_record, as_text, ask_pages, records_of
from crawl.source import Found, Policy, Query, SourceSettings
from moodarchive.settings import SettingScope

KEY = "PEXELS_API_KEY"
POLICY = Policy(
    mode="api",
    terms_url="https://www.pexels.com/api/documentation/",
    terms_reviewed_on=date(2026, 11, 1),
    ml_allowed=False,
    redistribute_allowed=False,
    says="the API may not be used to build datasets or to train models without permission",
)


class PexelsSettings(SourceSettings):
    """How Pexels is asked."""

    page_size: ClassVar[int] = 80
    key_variables: ClassVar[tuple[str, ...]] = (KEY,)
    needs_key: ClassVar[bool] = True

    base_url: Annotated[str, Field(pattern="^https?://"), SettingScope.GROWTH] = "https://api.pexels.com"
    """Where the interface lies."""
    limits: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ("2/s", "200/h", "20000/month")


@dataclass(frozen=True)
class Pexels:
    """The adapter."""

    settings: PexelsSettings
    keys: Mapping[str, SecretStr] = field(default_factory=dict)
    name: str = "pexels"
    policy: Policy = POLICY

    def search(self, query: Query, web: WebClient) -> Iterator[Found]:
        """Pages of 80 until enough images or no next page."""
        return ask_pages(query.results, 100, lambda page: self._page(query, web, page))

    def _page(self, query: Query, web: WebClient, page: int) -> tuple[Sequence[Found | None], bool]:
        url = f"{self.settings.base_url}/v1/search"
        headers = {"Authorization": key(self.keys, KEY, self.name)}
        params: dict[str, str | int] = {"query": query.phrase, "page": page, "per_page": self.settings.page_size}
        reply = web.get_json_page(url, params, page=page, source=self.name, headers=headers)
        if reply is None:
            return [], False
        records = records_of(url, reply.json, "photos")
        return [_found(record, reply.day) for record in records], bool(reply.json.get("next_page"))


def _found(record: Mapping[str, Any], day: str) -> Found | None:
    src = as_record(record.get("src"))
    address = next(filter(None, (as_address(src.get(size)) for size in ("large2x", "large", "original"))), None)
    name = as_identifier(record.get("id"))
    if not name or not address:
        return None
    return Found(
        source_id=name,
        url=address,
        landing_url=as_address(record.get("url")),
        alt_text=as_text(record.get("alt")),
        creator=as_text(record.get("photographer")),
        creator_url=as_address(record.get("photographer_url")),
        licence="pexels",
        licence_url="https://www.pexels.com/license/",
        width=as_pixels(record.get("width")),
        height=as_pixels(record.get("height")),
        retrieved_on=day,
    )
