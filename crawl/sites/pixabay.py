"""Pixabay, through its API."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, ClassVar

from pydantic import Field, SecretStr

from crawl.http.search_client import WebClient
from crawl.sites.keys import key
from crawl.sites.pages import ask_pages, records_of, text, whole
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
        reply = web.get_json(url, params, source=self.name, secret_params={"key": key(self.keys, KEY, self.name)})
        records = records_of(url, reply.json, "hits")
        return [_found(record, reply.day) for record in records], page * size < int(reply.json.get("totalHits") or 0)


def _found(record: Mapping[str, Any], day: str) -> Found | None:
    address = record.get("largeImageURL") or record.get("webformatURL")
    if not record.get("id") or not address:
        return None
    user, number = text(record.get("user")), record.get("user_id")
    return Found(
        source_id=str(record["id"]),
        url=address,
        landing_url=record.get("pageURL"),
        alt_text=text(record.get("tags")),
        creator=user,
        creator_url=f"https://pixabay.com/users/{user}-{number}/" if user and number else None,
        licence="pixabay",
        licence_url="https://pixabay.com/service/license-summary/",
        width=whole(record.get("imageWidth")),
        height=whole(record.get("imageHeight")),
        retrieved_on=day,
    )
