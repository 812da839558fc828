"""StockSnap, through the JSON that its own pages use."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import Field

from crawl.http.search_client import WebClient
from crawl.sites.pages import as_address, as_identifier, as_pixels, as_text, ask_pages, records_of
from crawl.source import Found, Policy, Query, SourceSettings
from moodarchive.settings import SettingScope

POLICY = Policy(
    mode="api",
    terms_url="https://stocksnap.io/terms",
    terms_reviewed_on=None,
    ml_allowed=False,
    redistribute_allowed=True,
    says="all photos are CC0, but the site's own terms were not read",
)


class StocksnapSettings(SourceSettings):
    """How StockSnap is asked."""

    page_size: ClassVar[int] = 40

    base_url: Annotated[str, Field(pattern="^https?://"), SettingScope.GROWTH] = "https://stocksnap.io"
    """Where the site lies."""
    files_url: Annotated[str, Field(pattern="^https?://"), SettingScope.GROWTH] = "https://cdn.stocksnap.io"
    """Where its image files lie."""
    limits: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ("1/s",)


@dataclass(frozen=True)
class Stocksnap:
    """The adapter."""

    settings: StocksnapSettings
    name: str = "stocksnap"
    policy: Policy = POLICY

    def search(self, query: Query, web: WebClient) -> Iterator[Found]:
        """Pages by relevance until enough images or no next page."""
        return ask_pages(query.results, 50, lambda page: self._page(query, web, page))

    def _page(self, query: Query, web: WebClient, page: int) -> tuple[Sequence[Found | None], bool]:
        url = f"{self.settings.base_url}/api/search-photos/{quote(query.phrase, safe='')}/relevance/desc/{page}"
        reply = web.get_json_page(url, {}, page=page, source=self.name)
        if reply is None:
            return [], False
        records = records_of(url, reply.json, "results")
        return [self._found(record, reply.day) for record in records], bool(reply.json.get("nextPage"))

    def _found(self, record: Mapping[str, Any], day: str) -> Found | None:
        name = as_identifier(record.get("img_id"))
        if not name:
            return None
        keywords = as_text(record.get("keywords")) or as_text(record.get("tags"))
        return Found(
            source_id=name,
            url=f"{self.settings.files_url}/img-thumbs/960w/{name}.jpg",
            landing_url=f"{self.settings.base_url}/photo/{name}",
            title=as_text(record.get("tags")),
            alt_text=keywords,
            creator=as_text(record.get("author_name")),
            creator_url=as_address(record.get("author_profile")) or as_address(record.get("author_website")),
            licence="cc0 1.0",
            licence_url="https://creativecommons.org/publicdomain/zero/1.0/",
            width=as_pixels(record.get("img_width")),
            height=as_pixels(record.get("img_height")),
            retrieved_on=day,
        )
