"""Finds the pictures on a page of search results: links to landing pages that hold an image, and what JSON-LD adds."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin

from selectolax.lexbor import LexborHTMLParser, LexborNode

from crawl.politeness.robots import opt_out_of


@dataclass(frozen=True, kw_only=True)
class GalleryPicture:
    """One picture of the page; addresses are absolute."""

    landing_url: str
    url: str
    alt_text: str | None
    title: str | None = None
    creator: str | None = None
    creator_url: str | None = None
    licence_url: str | None = None


def read_gallery(html: str, address: str, links: str, agent: str) -> list[GalleryPicture]:
    """The pictures whose links match the CSS selector ``links``, in the page's order, none twice.

    Empty when the page's robots meta tags opt out.
    """
    page = LexborHTMLParser(html)
    if _opts_out(page, agent):
        return []
    objects = {item["url"]: item for item in _iter_image_objects(page, address)}
    pictures: dict[str, GalleryPicture] = {}
    for link in page.css(links):
        picture = _read_link(link, address)
        if picture and picture.landing_url not in pictures:
            pictures[picture.landing_url] = _complete(picture, objects.get(picture.landing_url, {}))
    return list(pictures.values())


def read_landing_page(html: str, address: str, agent: str) -> GalleryPicture | None:
    """The picture that a landing page shows, as JSON-LD or Open Graph tell; None when it opts out or has none."""
    page = LexborHTMLParser(html)
    if _opts_out(page, agent):
        return None
    image = page.css_first('meta[property="og:image"]')
    title = page.css_first('meta[property="og:title"]')
    described = _first_with_content(page, address)
    source = (image.attributes.get("content") or "").strip() if image else ""
    if not source and not described:
        return None
    title_text = (title.attributes.get("content") or "").strip() if title else ""
    picture = GalleryPicture(landing_url=address, url=urljoin(address, source), alt_text=title_text or None)
    return _complete(picture, described)


def has_next(html: str) -> bool:
    """True when the page links to a next one."""
    page = LexborHTMLParser(html)
    return page.css_first('a[rel~="next"], link[rel~="next"], a.next') is not None


def _opts_out(page: LexborHTMLParser, agent: str) -> bool:
    for meta in page.css('meta[name="robots" i], meta[name="tdm-reservation" i]'):
        content = (meta.attributes.get("content") or "").strip()
        name = (meta.attributes.get("name") or "").lower()
        if (name == "tdm-reservation" and content == "1") or opt_out_of(content, agent) not in (None, "noindex"):
            return True
    return False


def _read_link(link: LexborNode, address: str) -> GalleryPicture | None:
    image, landing = link.css_first("img"), link.attributes.get("href")
    if image is None or not landing:
        return None
    attributes = image.attributes
    srcset = attributes.get("srcset") or attributes.get("data-srcset")
    source = _widest_source(srcset) or attributes.get("data-src") or attributes.get("src")
    if not source or source.startswith("data:"):
        return None
    alt = (attributes.get("alt") or "").strip()
    return GalleryPicture(landing_url=urljoin(address, landing), url=urljoin(address, source), alt_text=alt or None)


def _widest_source(srcset: str | None) -> str | None:
    """The widest address of a srcset."""
    widest, best = 0.0, None
    for choice in (srcset or "").split(", "):
        source, _, width = choice.strip().partition(" ")
        try:
            size = float(width.strip().rstrip("wx") or 1)
        except ValueError:
            continue
        if source and size > widest:
            widest, best = size, source
    return best


def _first_with_content(page: LexborHTMLParser, address: str) -> dict[str, Any]:
    objects = _iter_image_objects(page, address)
    return next((item for item in objects if isinstance(item.get("contentUrl"), str)), {})


def _iter_image_objects(page: LexborHTMLParser, address: str) -> Iterator[dict[str, Any]]:
    """schema.org's ImageObjects, by the absolute address of their page."""
    for script in page.css('script[type="application/ld+json"]'):
        try:
            waiting = [json.loads(script.text())]
        except ValueError:
            continue
        while waiting:
            item = waiting.pop()
            if isinstance(item, list):
                waiting += item
            elif isinstance(item, dict):
                waiting += [value for value in item.values() if isinstance(value, dict | list)]
                page_address = item.get("url") or item.get("acquireLicensePage")
                if item.get("@type") in ("ImageObject", "Photograph") and isinstance(page_address, str):
                    yield {**item, "url": urljoin(address, page_address)}


def _complete(picture: GalleryPicture, item: dict[str, Any]) -> GalleryPicture:
    creator = item.get("creator") or item.get("author") or {}
    creator = creator if isinstance(creator, dict) else {"name": creator}
    text = {
        name: value for name, value in {**item, "creator_url": creator.get("url")}.items() if isinstance(value, str)
    }
    return replace(
        picture,
        url=text.get("contentUrl", picture.url),
        title=text.get("name"),
        alt_text=picture.alt_text or text.get("caption") or text.get("description"),
        creator=creator.get("name") if isinstance(creator.get("name"), str) else text.get("creditText"),
        creator_url=text.get("creator_url"),
        licence_url=text.get("license"),
    )
