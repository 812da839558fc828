"""Unsplash, through its search API."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import Field, SecretStr

from crawl.http.search_client import WebClient
from crawl.sites.keys import key
from crawl.sites.pages import as_address, as_identifier, as_pixels, as_record, as_text, as_whole, ask_pages, records_of
from crawl.source import Found, Policy, Query, SourceSettings
from moodarchive.settings import SettingScope

KEY = "UNSPLASH_ACCESS_KEY"
LICENCE, LICENCE_URL = "unsplash", "https://unsplash.com/license"
POLICY = Policy(
    mode="api",
    terms_url="https://unsplash.com/api-terms",
    terms_reviewed_on=date(2026, 11, 1),
    ml_allowed=False,
    redistribute_allowed=False,
    says="the API guidelines rule out data mining and the training of AI models",
)


class UnsplashSettings(SourceSettings):
    """How Unsplash is asked."""

    page_size: ClassVar[int] = 30
    key_variables: ClassVar[tuple[str, ...]] = (KEY,)
    needs_key: ClassVar[bool] = True

    base_url: Annotated[str, Field(pattern="^https?://"), SettingScope.GROWTH] = "https://api.unsplash.com"
    """Where the interface lies."""
    limits: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ("2/s", "50/h")
    """50/h is what a demonstration key may; an approved one may ask more."""


@dataclass(frozen=True)
class Unsplash:
    """The adapter."""

    settings: UnsplashSettings
    keys: Mapping[str, SecretStr] = field(default_factory=dict)
    name: str = "unsplash"
    policy: Policy = POLICY

    def search(self, query: Query, web: WebClient) -> Iterator[Found]:
        """Pages of 30 until enough images or the last page."""
        return ask_pages(query.results, 200, lambda page: self._page(query, web, page))

    def _page(self, query: Query, web: WebClient, page: int) -> tuple[Sequence[Found | None], bool]:
        url = f"{self.settings.base_url}/search/photos"
        params: dict[str, str | int] = {"query": query.phrase, "page": page, "per_page": self.settings.page_size}
        reply = web.get_json_page(url, params, page=page, source=self.name, headers=self._headers())
        if reply is None:
            return [], False
        records = records_of(url, reply.json, "results")
        return [_found(record, reply.day) for record in records], page < (as_whole(reply.json.get("total_pages")) or 0)

    def report_use(self, source_id: str, web: WebClient) -> None:
        """Asks for the photo's download_location, as the API's guidelines want it for every photo that is used."""
        url = f"{self.settings.base_url}/photos/{quote(source_id, safe='')}/download"
        web.get_json(url, {}, source=self.name, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Client-ID {key(self.keys, KEY, self.name)}", "Accept-Version": "v1"}


def _found(record: Mapping[str, Any], day: str) -> Found | None:
    urls, links, user = (as_record(record.get(name)) for name in ("urls", "links", "user"))
    name, address = as_identifier(record.get("id")), as_address(urls.get("regular"))
    if not name or not address:
        return None
    return Found(
        source_id=name,
        url=address,
        landing_url=as_address(links.get("html")),
        title=as_text(record.get("description")),
        alt_text=as_text(record.get("alt_description")) or as_text(record.get("description")),
        creator=as_text(user.get("name")),
        creator_url=as_address(as_record(user.get("links")).get("html")),
        licence=LICENCE,
        licence_url=LICENCE_URL,
        width=as_pixels(record.get("width")),
        height=as_pixels(record.get("height")),
        retrieved_on=day,
    )
