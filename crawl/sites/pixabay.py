"""Pixabay, through its API."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, ClassVar

from pydantic import Field, SecretStr

from crawl.http.search_client import WebClient
from crawl.sites.keys import key
from crawl.sites.pages import as_address, as_identifier, as_pixels, as_text, as_whole, ask_pages, records_of
from crawl.source import Found, Policy, Query, SourceSettings
from moodarchive.settings import SettingScope

KEY = "PIXABAY_API_KEY"
LONGEST_PHRASE = 100
POLICY = Policy(
    mode="api",
    terms_url="https://pixabay.com/api/docs/",
    terms_reviewed_on=date(2026, 11, 1),
    ml_allowed=False,
    redistribute_allowed=False,
    says="systematic mass downloads are forbidden",
)


class PixabaySettings(SourceSettings):
    """How Pixabay is asked."""

    page_size: ClassVar[int] = 200
    key_variables: ClassVar[tuple[str, ...]] = (KEY,)
    needs_key: ClassVar[bool] = True

    base_url: Annotated[str, Field(pattern="^https?://"), SettingScope.GROWTH] = "https://pixabay.com"
    """Where the interface lies."""
    results_per_query: Annotated[int, Field(ge=1, le=500), SettingScope.GROWTH] = 200
    limits: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ("5/s", "100/min")


@dataclass(frozen=True)
class Pixabay:
    """The adapter."""

    settings: PixabaySettings
    keys: Mapping[str, SecretStr] = field(default_factory=dict)
    name: str = "pixabay"
    policy: Policy = POLICY

    def search(self, query: Query, web: WebClient) -> Iterator[Found]:
        """Pages of 200 until enough images or the end of what the site shows of a query."""
        return ask_pages(query.results, 3, lambda page: self._page(query, web, page))

    def _page(self, query: Query, web: WebClient, page: int) -> tuple[Sequence[Found | None], bool]:
        url, size = f"{self.settings.base_url}/api/", self.settings.page_size
        params: dict[str, str | int] = {
            "q": query.phrase[:LONGEST_PHRASE],
            "image_type": "photo",
            "safesearch": "true",
            "page": page,
            "per_page": size,
        }
        secret = {"key": key(self.keys, KEY, self.name)}
        reply = web.get_json_page(url, params, page=page, source=self.name, secret_params=secret)
        if reply is None:
            return [], False
        records = records_of(url, reply.json, "hits")
        total = as_whole(reply.json.get("totalHits")) or 0
        return [_found(record, reply.day) for record in records], page * size < total


def _found(record: Mapping[str, Any], day: str) -> Found | None:
    address = as_address(record.get("largeImageURL")) or as_address(record.get("webformatURL"))
    name = as_identifier(record.get("id"))
    if not name or not address:
        return None
    user, number = as_text(record.get("user")), as_identifier(record.get("user_id"))
    return Found(
        source_id=name,
        url=address,
        landing_url=as_address(record.get("pageURL")),
        alt_text=as_text(record.get("tags")),
        creator=user,
        creator_url=f"https://pixabay.com/users/{user}-{number}/" if user and number else None,
        licence="pixabay",
        licence_url="https://pixabay.com/service/license-summary/",
        width=as_pixels(record.get("imageWidth")),
        height=as_pixels(record.get("imageHeight")),
        retrieved_on=day,
    )
