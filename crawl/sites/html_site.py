"""A stock site without an interface for machines: its search pages are read as robots.txt allows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote_plus, urlsplit

from crawl.query import Found, Query
from crawl.sites.gallery import GalleryPicture, has_next, pictures_on
from crawl.sites.pages import paged
from crawl.source import Policy, SourceSettings
from crawl.web import WebClient

DEEPEST_PAGE = 50


class HtmlSiteSettings(SourceSettings):
    """How an HTML site is asked: slowly."""

    @property
    def site_url(self) -> str:
        """Where the site lies."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class HtmlSite:
    """The adapter. ``path`` takes {phrase} and {page}; ``first_path`` is page 1; ``links`` selects the pictures."""

    settings: HtmlSiteSettings
    name: str
    policy: Policy
    path: str
    first_path: str
    links: str
    licence: str
    licence_url: str

    def search(self, query: Query, web: WebClient) -> Iterator[Found]:
        """Search pages until enough images, or a page without pictures or without a link to the next."""
        return paged(query.results, DEEPEST_PAGE, lambda page: self._page(query, web, page))

    def _page(self, query: Query, web: WebClient, page: int) -> tuple[Sequence[Found | None], bool]:
        form = self.first_path if page == 1 else self.path
        url = self.settings.site_url + form.format(phrase=quote_plus(query.phrase), page=page)
        answer = web.get_page(url, {}, source=self.name)
        if answer is None:
            return [], False
        pictures = pictures_on(answer.html, url, self.links, web.user_agent)
        return [self._found(picture, answer.day) for picture in pictures], has_next(answer.html)

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
