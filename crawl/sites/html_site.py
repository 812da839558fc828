"""A stock site without an interface for machines: its search pages, or its sitemaps, are read as robots.txt allows."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal
from urllib.parse import quote_plus, urlsplit

import duckdb
import pyarrow as pa
from pydantic import Field

from crawl.http.search_client import WebClient
from crawl.sites.gallery import GalleryPicture, has_next, read_gallery, read_landing_page
from crawl.sites.listed import KINDS, build_index, open_database, search_index
from crawl.sites.pages import ask_pages
from crawl.sites.sitemap import SitePage, read_sitemaps
from crawl.source import Found, Policy, Query, SourceSettings
from moodarchive.settings import SettingScope

DEEPEST_PAGE = 50
_LISTED = pa.schema(
    [(name, {"INTEGER": pa.int32(), "BOOLEAN": pa.bool_()}.get(kind, pa.string())) for name, kind in KINDS.items()]
)


class HtmlSiteSettings(SourceSettings):
    """How an HTML site is asked: slowly."""

    route: Annotated[Literal["search", "sitemap"], SettingScope.GROWTH] = "search"
    """``sitemap`` reads the site's list of its pages once a day, and searches the words of their names and titles."""
    base_url: Annotated[str, Field(pattern="^https?://"), SettingScope.GROWTH]
    """Where the site lies."""
    limits: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ("1/3s",)
    """How often the site may be asked; all hold."""


@dataclass(frozen=True, kw_only=True)
class HtmlSite:
    """The adapter. ``path`` takes {phrase} and {page}; ``first_path`` is page 1; ``links`` selects the pictures.

    ``photo_page`` is a pattern in the path of a page that shows one picture, for sitemaps.
    """

    settings: HtmlSiteSettings
    name: str
    policy: Policy
    path: str
    first_path: str
    links: str
    photo_page: str
    licence: str
    licence_url: str
    _index: "dict[str, tuple[duckdb.DuckDBPyConnection, str]]" = field(default_factory=dict, repr=False, compare=False)

    def search(self, query: Query, web: WebClient) -> Iterator[Found]:
        """Search pages until enough images or the last page; or what the sitemaps list."""
        if self.settings.route == "sitemap":
            return self._listed(query, web)
        return ask_pages(query.results, DEEPEST_PAGE, lambda page: self._page(query, web, page))

    def _page(self, query: Query, web: WebClient, page: int) -> tuple[Sequence[Found | None], bool]:
        form = self.first_path if page == 1 else self.path
        url = self.settings.base_url + form.format(phrase=quote_plus(query.phrase), page=page)
        answer = web.get_page(url, {}, source=self.name)
        if answer is None:
            return [], False
        pictures = read_gallery(answer.html, url, self.links, web.user_agent)
        return [self._found(picture, answer.day) for picture in pictures], has_next(answer.html)

    def _listed(self, query: Query, web: WebClient) -> Iterator[Found]:
        """Pages whose names and titles hold the phrase's words; one whose picture the sitemap does not name is read."""
        if not self._index:
            site = urlsplit(self.settings.base_url)
            pages, day = read_sitemaps(web, f"{site.scheme}://{site.netloc}", self.name)
            self._index[self.name] = build_index(self._connected(pages)), day
        connection, day = self._index[self.name]
        for found in search_index(connection, query, day):
            if found.url:
                yield found
            elif read := self._read(found, web):
                yield read

    def _connected(self, pages: Sequence[SitePage]) -> duckdb.DuckDBPyConnection:
        rows = [
            {
                "source_id": (path := urlsplit(page.address).path).strip("/"),
                "url": page.image or "",
                "landing_url": page.address,
                "mature": False,
                "title": page.title,
                "alt_text": page.caption or page.title,
                "licence": self.licence,
                "licence_url": page.licence_url or self.licence_url,
                "searched": re.sub(r"[^A-Za-z0-9]+", " ", path),
            }
            for page in pages
            if re.search(self.photo_page, urlsplit(page.address).path)
        ]
        connection = open_database()
        connection.register("rows", pa.Table.from_pylist(rows, _LISTED))
        connection.execute("CREATE TEMP TABLE listed AS FROM rows")
        return connection

    def _read(self, listed: Found, web: WebClient) -> Found | None:
        assert listed.landing_url
        answer = web.get_page(listed.landing_url, {}, source=self.name)
        picture = read_landing_page(answer.html, listed.landing_url, web.user_agent) if answer else None
        return replace(self._found(picture, answer.day), source_id=listed.source_id) if picture and answer else None

    def _found(self, picture: GalleryPicture, day: str) -> Found:
        return Found(
            source_id=urlsplit(picture.landing_url).path.strip("/"),
            url=picture.url,
            landing_url=picture.landing_url,
            title=picture.title,
            alt_text=picture.alt_text,
            creator=picture.creator,
            creator_url=picture.creator_url,
            licence=self.licence,
            licence_url=picture.licence_url or self.licence_url,
            retrieved_on=day,
        )
