"""A site's sitemaps: which pages it has, and which pictures they show, as far as the sitemaps say."""

import logging
import re
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
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_NO_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What XML 1.0 allows nowhere."""
_BARE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});)")
_BEGINNINGS = ("<?xml", "<!DOCTYPE", "<urlset", "<sitemapindex", "<rss", "<feed")
_MOST_BEFORE = 10_000
"""Characters before the XML, such as a warning of the site's own program, that are passed over."""


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

    Sitemaps are those that robots.txt names, else /sitemap.xml; XML, feeds or plain text, indexes within indexes too.
    Only pages and sitemaps of the site's own host count, with or without www. A sitemap that cannot be had or read is
    left out and named in the log; ServiceError when that leaves no page.
    """
    waiting = web.sitemaps(origin) or [f"{origin}/sitemap.xml"]
    known: set[str] = set()
    pages: dict[str, SitePage] = {}
    day, failures = "", []
    while waiting and len(known) < MOST_FILES and len(pages) < MOST_PAGES:
        address = waiting.pop(0)
        if address in known:
            continue
        if not _is_same_site(address, origin):
            LOGGER.warning("%s lists %s, which is another site's: left out", origin, address)
            continue
        known.add(address)
        try:
            answer = web.get_page(address, {}, source=source, is_list=True)
            if answer is None:
                raise ServiceError(f"{address} is not there")
            children, listed = _read(answer.html, address)
        except (ServiceError, ParseError, DefusedXmlException, ValueError) as error:
            failures.append(str(error) if isinstance(error, ServiceError) else f"{address} is no sitemap: {error!r}")
            LOGGER.warning("%s: left out", failures[-1])
            continue
        day = day or answer.day
        waiting += children
        for page in listed:
            if _is_same_site(page.address, origin) and len(pages) < MOST_PAGES:
                pages.setdefault(page.address, page)
    if not day or (failures and not pages):
        why = "; ".join(failures[:3]) or "it names none of its own"
        raise ServiceError(f"{origin} has no sitemap that can be read: {why}")
    return list(pages.values()), day


def _is_same_site(address: str, origin: str) -> bool:
    return urlsplit(address).netloc.removeprefix("www.") == urlsplit(origin).netloc.removeprefix("www.")


def _read(text: str, address: str) -> tuple[list[str], list[SitePage]]:
    """The sitemaps and the pages that a sitemap lists. ValueError or ParseError for what is none."""
    begin = text.lstrip("\ufeff \t\r\n")
    if not begin.startswith("<"):
        lines = [line.strip() for line in begin.splitlines()]
        addresses = [line for line in lines if line.lower().startswith(("http://", "https://"))]
        if addresses and begin.lower().startswith("http"):
            return [], [SitePage(address=place) for place in addresses[:PAGES_PER_FILE]]
    root = _parse(begin)
    if _name(root) == "sitemapindex":
        return [urljoin(address, place) for place in _places(root, "sitemap")], []
    if _name(root) in ("rss", "RDF", "feed"):
        return [], [SitePage(address=urljoin(address, place)) for place in _places_of_feed(root)]
    if _name(root) != "urlset":
        raise ValueError(f"its root is {_name(root)[:40]}")
    return [], list(_pages(root, address))


def _parse(text: str) -> Element:
    """The XML, mended where that changes no meaning: what stands before it, bare ampersands, forbidden characters."""
    start = min((at for mark in _BEGINNINGS if (at := text.find(mark, 0, _MOST_BEFORE)) >= 0), default=0)
    bare = _DECLARATION.sub("", text[start:])  # it names the encoding of bytes that are text by now
    try:
        return fromstring(bare.encode(errors="replace"), forbid_dtd=True)
    except ParseError:
        mended = _BARE_AMPERSAND.sub("&amp;", _NO_CHARACTER.sub("", bare))
        return fromstring(mended.encode(errors="replace"), forbid_dtd=True)


def _pages(root: Element, address: str) -> Iterator[SitePage]:
    for entry in [child for child in root if _name(child) == "url"][:PAGES_PER_FILE]:
        place = _text(entry, "loc")
        if place is None:
            continue
        image = next((child for child in entry if _name(child) == "image"), None)
        texts = {
            name: _text(image, name) if image is not None else None for name in ("loc", "title", "caption", "license")
        }
        yield SitePage(
            address=urljoin(address, place),
            image=urljoin(address, texts["loc"]) if texts["loc"] else None,
            title=texts["title"],
            caption=texts["caption"],
            licence_url=texts["license"],
        )


def _places_of_feed(root: Element) -> list[str]:
    """The addresses of an RSS or Atom feed's entries."""
    entries = [element for element in root.iter() if _name(element) in ("item", "entry")][:PAGES_PER_FILE]
    links = [next((child for child in entry if _name(child) == "link"), None) for entry in entries]
    return [place for link in links if link is not None and (place := (link.get("href") or link.text or "").strip())]


def _places(root: Element, kind: str) -> list[str]:
    return [place for child in root if _name(child) == kind and (place := _text(child, "loc"))]


def _name(element: Element) -> str:
    """The tag without its namespace: sites misspell those."""
    return str(element.tag).rpartition("}")[2]


def _text(element: Element, name: str) -> str | None:
    texts = ((child.text or "").strip() for child in element if _name(child) == name)
    return next(filter(None, texts), None)
