"""A site's sitemaps: which pages it has, and which pictures they show, as far as the sitemaps say."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from crawl.http.search_client import WebClient
from moodarchive.errors import ServiceError

LOGGER = logging.getLogger("moodarchive.sitemap")
MOST_FILES, MOST_PAGES = 100, 500_000
PAGES_PER_FILE = 50_000
"""What sitemaps.org allows in one file."""


@dataclass(frozen=True, kw_only=True)
class SitePage:
    """One page; what is known of its picture comes from Google's image extension, and may be nothing."""

    address: str
    image: str | None = None
    title: str | None = None
    caption: str | None = None
    licence_url: str | None = None


def read_sitemaps(web: WebClient, origin: str, source: str) -> tuple[list[SitePage], str]:
    """The pages that the site lists, and the day on which it did.

    Sitemaps are those that robots.txt names, else /sitemap.xml. Only pages and sitemaps of the site's own host count;
    indexes are followed one level deep. A sitemap that cannot be read is left out; ServiceError when none can be.
    """
    host = urlsplit(origin).netloc
    waiting = [(address, 0) for address in web.sitemaps(origin) or [f"{origin}/sitemap.xml"]]
    seen: set[str] = set()
    found: dict[str, SitePage] = {}
    day, why = "", "it is not there"
    while waiting and len(seen) < MOST_FILES and len(found) < MOST_PAGES:
        address, depth = waiting.pop(0)
        if address in seen or urlsplit(address).netloc != host:
            continue
        seen.add(address)
        answer = web.get_page(address, {}, source=source, is_list=True)
        if answer is None:
            continue
        try:
            root = fromstring(answer.html.encode(), forbid_dtd=True)
        except (ParseError, DefusedXmlException, ValueError) as error:
            why = f"{type(error).__name__}: {error}"
            LOGGER.warning("%s is no sitemap: %s", address, why)
            continue
        day = day or answer.day
        if _name(root) == "sitemapindex":
            waiting += [(urljoin(address, place), 1) for place in _places(root, "sitemap") if depth == 0]
        for page in _pages(root, address):
            if urlsplit(page.address).netloc == host and len(found) < MOST_PAGES:
                found.setdefault(page.address, page)
    if not day:
        raise ServiceError(f"{origin} has no sitemap that can be read: {why}")
    return list(found.values()), day


def _pages(root: Element, address: str) -> Iterator[SitePage]:
    if _name(root) != "urlset":
        return
    for entry in [child for child in root if _name(child) == "url"][:PAGES_PER_FILE]:
        place = _text(entry, "loc")
        if place is None:
            continue
        image = next((child for child in entry if _name(child) == "image"), None)
        said = {
            name: _text(image, name) if image is not None else None for name in ("loc", "title", "caption", "license")
        }
        yield SitePage(
            address=urljoin(address, place),
            image=urljoin(address, said["loc"]) if said["loc"] else None,
            title=said["title"],
            caption=said["caption"],
            licence_url=said["license"],
        )


def _places(root: Element, kind: str) -> list[str]:
    return [place for child in root if _name(child) == kind and (place := _text(child, "loc"))]


def _name(element: Element) -> str:
    """The tag without its namespace: sites misspell those."""
    return str(element.tag).rpartition("}")[2]


def _text(element: Element, name: str) -> str | None:
    said = ((child.text or "").strip() for child in element if _name(child) == name)
    return next(filter(None, said), None)
