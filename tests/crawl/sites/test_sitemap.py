"""The sitemaps of HTML sites: what they list is found by its words, and what they hide in their XML does no harm."""

import gzip
import logging
from collections.abc import Mapping

import pytest
from aiohttp import web

from crawl.http.search_client import WebClient
from crawl.sites import sitemap
from crawl.sites.html_sites import BurstSettings, FoodiesfeedSettings, make_html_site
from crawl.source import Found, Query
from moodarchive.errors import ServiceError
from tests.making import HOST, Handler, Site, giving, serving

BASE = f"http://{HOST}"
IMAGE = 'xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'
ROBOTS = giving(f"User-agent: *\nDisallow: /private\nSitemap: {BASE}/index.xml\n".encode())
BOMB = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))


def _urlset(*entries: str) -> bytes:
    return (
        f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/s" {IMAGE}>{"".join(entries)}</urlset>'.encode()
    )


def _entry(path: str, image: str = "", title: str = "") -> str:
    shown = (
        f"<image:image><image:loc>{image}</image:loc><image:title>{title}</image:title></image:image>" if image else ""
    )
    return f"<url><loc>{path}</loc>{shown}</url>"


def _index(*places: str) -> bytes:
    return (
        f"<sitemapindex>{''.join(f'<sitemap><loc>{place}</loc></sitemap>' for place in places)}</sitemapindex>".encode()
    )


def _search(site: Site, phrase: str = "red flower", results: int = 10) -> list[Found]:
    client = WebClient(user_agent="T/1 (a@b.example)", timeout_s=2, retries=0, loopback_hosts=site.hosts)
    source = make_html_site("burst", BurstSettings(base_url=BASE, route="sitemap"))
    query = Query(source="burst", emotion="joy", context="natural_scenery", phrase=phrase, results=results)
    return list(source.search(query, client))


def _found(handlers: Mapping[str, Handler]) -> tuple[list[Found], list[str]]:
    with serving({"/robots.txt": ROBOTS, **handlers}) as site:
        return _search(site), site.paths()


def test_an_index_of_compressed_sitemaps_is_searched_by_names_and_titles() -> None:
    photos = _urlset(
        _entry(f"{BASE}/photos/red-flowers-in-a-field", "https://cdn.example/1.jpg", "In the field"),
        _entry(f"{BASE}/photos/p2", "https://cdn.example/2.jpg", "A red &amp; wild flower"),
        _entry(f"{BASE}/photos/blue-sky", "https://cdn.example/3.jpg", "Sky"),
        _entry(f"{BASE}/blog/red-flower", "https://cdn.example/4.jpg", "Red flower, but no photo's page"),
    )
    noindex = {"X-Robots-Tag": "noindex, follow", "Date": "Thu, 01 Jan 2026 10:00:00 GMT"}
    found, asked = _found(
        {
            "/index.xml": giving(_index("/photos.xml.gz", "http://other.example/sitemap.xml"), headers=noindex),
            "/photos.xml.gz": giving(gzip.compress(photos), headers=noindex),
        }
    )
    assert {image.url: image.landing_url for image in found} == {
        "https://cdn.example/1.jpg": f"{BASE}/photos/red-flowers-in-a-field",
        "https://cdn.example/2.jpg": f"{BASE}/photos/p2",
    }
    by_url = {image.url: image for image in found}
    assert by_url["https://cdn.example/2.jpg"].title == "A red & wild flower"
    assert {(image.licence, image.source_id.split("/")[0], image.retrieved_on) for image in found} == {
        ("burst", "photos", "2026-01-01")
    }
    assert asked == ["/robots.txt", "/index.xml", "/photos.xml.gz"]


def test_a_page_whose_picture_is_not_listed_is_read_unless_it_opts_out() -> None:
    shown = '<meta property="og:image" content="/big.jpg"><meta property="og:title" content="A red flower"><p>x'
    described = shown + (
        '<script type="application/ld+json">{"@type": "ImageObject", "url": "/photos/red-flower-2", '
        '"contentUrl": "https://cdn.example/2.jpg", "creator": {"name": "Ana"}, "license": "https://l.example"}</script>'
    )
    pages = {"1": shown, "2": described, "3": f'<meta name="robots" content="noai">{shown}', "4": "<p>no picture"}
    found, asked = _found(
        {
            "/index.xml": giving(_urlset(*(_entry(f"/photos/red-flower-{n}") for n in pages))),
            **{f"/photos/red-flower-{n}": giving(html.encode()) for n, html in pages.items()},
        }
    )
    assert {(image.source_id, image.url) for image in found} == {
        ("photos/red-flower-1", f"{BASE}/big.jpg"), ("photos/red-flower-2", "https://cdn.example/2.jpg"),
    }  # fmt: skip
    creators = {image.source_id: (image.creator, image.licence_url) for image in found}
    assert creators["photos/red-flower-2"] == ("Ana", "https://l.example")
    assert len(asked) == 6


def test_a_site_that_names_no_sitemap_is_asked_for_the_usual_one_once() -> None:
    handlers = {"/sitemap.xml": giving(_urlset(_entry(f"{BASE}/free-food-photo/red-flower/", "/1.jpg", "x")))}
    with serving(handlers) as site:
        source = make_html_site("foodiesfeed", FoodiesfeedSettings(base_url=BASE, route="sitemap"))
        client = WebClient(user_agent="T/1 (a@b.example)", loopback_hosts=site.hosts)
        for phrase, count in (("red flower", 1), ("flowers", 1), ("glaring eyes", 0)):
            query = Query(source="f", emotion="joy", context="natural_scenery", phrase=phrase, results=9)
            assert len(list(source.search(query, client))) == count
        assert site.paths() == ["/robots.txt", "/sitemap.xml"]


@pytest.mark.parametrize(
    "hostile",
    [
        f'<!DOCTYPE x [<!ENTITY a0 "ha">{BOMB}]><urlset><url><loc>&a9;</loc></url></urlset>'.encode(),
        f'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><urlset><url><loc>{BASE}/photos/&a;</loc></url></urlset>'.encode(),
        b"<urlset><url>",
        b"<html>sign in</html",
        gzip.compress(b"<urlset>" + bytes(64 << 20)),
        b"\x1f\x8bno gzip at all",
    ],
    ids=["entity bomb", "external entity", "cut off", "no XML", "gzip bomb", "no gzip"],
)
def test_a_hostile_sitemap_is_an_error_that_names_the_site(hostile: bytes) -> None:
    with serving({"/robots.txt": ROBOTS, "/index.xml": giving(hostile)}) as site, pytest.raises(ServiceError) as caught:
        _search(site)
    assert BASE in str(caught.value)


def test_one_bad_sitemap_among_good_ones_is_left_out() -> None:
    good = giving(_urlset(_entry(f"{BASE}/photos/red-flower", "/1.jpg", "x")))
    index = giving(_index("/bad.xml", "/absent.xml", "/good.xml"))
    found, _ = _found({"/index.xml": index, "/bad.xml": giving(b"<!DOCTYPE x><urlset/>"), "/good.xml": good})
    assert [image.url for image in found] == [f"{BASE}/1.jpg"]


def test_indexes_without_end_and_foreign_pages_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemap, "MOST_FILES", 5)
    served: list[str] = []

    async def endless(request: web.Request) -> web.Response:
        served.append(request.path)
        return web.Response(body=_index(*(f"/more-{n}.xml" for n in range(50))))

    handlers = {f"/more-{n}.xml": endless for n in range(50)}
    found, _ = _found({"/index.xml": endless, **handlers})
    assert found == [] and len(served) == 5
    foreign = _urlset(_entry("http://other.example/photos/red-flower", "https://cdn.example/1.jpg", "red flower"))
    assert _found({"/index.xml": giving(foreign)})[0] == []
    private = giving(_index("/private/photos.xml"))
    with pytest.raises(ServiceError, match="disallows"):
        _found({"/index.xml": private})


GOOD = giving(_urlset(_entry(f"{BASE}/photos/red-flower", "/1.jpg", "x")))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429, 451, 500, 502, 503])
def test_a_child_that_is_refused_is_named_and_the_others_are_read(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    index = giving(_index("/b.xml", "/good.xml"))
    found, _ = _found({"/index.xml": index, "/b.xml": giving(b"x", status=status), "/good.xml": GOOD})
    assert [image.url for image in found] == [f"{BASE}/1.jpg"]
    assert "/b.xml" in caplog.text


def test_a_child_that_is_too_large_is_named_and_the_others_are_read(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    large = giving(_urlset(*(_entry(f"{BASE}/photos/red-flower-{n}{'x' * 400}") for n in range(42_000))))
    found, _ = _found({"/index.xml": giving(_index("/b.xml", "/good.xml")), "/b.xml": large, "/good.xml": GOOD})
    assert [image.url for image in found] == [f"{BASE}/1.jpg"]
    assert "/b.xml" in caplog.text and "limit" in caplog.text


def test_a_site_whose_every_child_fails_says_why() -> None:
    index = giving(_index("/b.xml", "/c.xml"))
    page = giving(b"<html><body>sign in</body></html>")
    with pytest.raises(ServiceError, match=r"(?s)/b\.xml.*410.*/c\.xml.*html"):
        _found({"/index.xml": index, "/b.xml": giving(b"x", status=410), "/c.xml": page})


def test_indexes_within_indexes_and_the_sites_other_name_are_followed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    inner, outer = giving(_index("/good.xml")), giving(_index("/inner.xml", "http://elsewhere.example/s.xml"))
    found, _ = _found(
        {"/index.xml": giving(_index("/outer.xml")), "/outer.xml": outer, "/inner.xml": inner, "/good.xml": GOOD}
    )
    assert [image.url for image in found] == [f"{BASE}/1.jpg"]
    assert "elsewhere.example" in caplog.text
    with serving(
        {"/robots.txt": ROBOTS, "/index.xml": giving(_index(f"http://www.{HOST}/good.xml")), "/good.xml": GOOD}
    ) as site:
        hosts = {**site.hosts, f"www.{HOST}": site.hosts[HOST]}
        client = WebClient(user_agent="T/1 (a@b.example)", timeout_s=2, retries=0, loopback_hosts=hosts)
        pages, _ = sitemap.read_sitemaps(client, BASE, "burst")
    assert [page.address for page in pages] == [f"{BASE}/photos/red-flower"]


WHOLE = _urlset(
    _entry(f"{BASE}/photos/red-flower?x=1&amp;y=2", "/1.jpg", "Gr\u00fcn & caf\u00e9".replace("&", "&amp;"))
).decode()


def _declared(encoding: str) -> str:
    return WHOLE.replace('version="1.0"', f'version="1.0" encoding="{encoding}"')


@pytest.mark.parametrize(
    "served",
    [
        WHOLE.encode(),
        _declared("UTF-8").encode("utf-8-sig"),
        _declared("UTF-16").encode("utf-16"),
        b"\xfe\xff" + _declared("utf-16").encode("utf-16-be"),
        _declared("ISO-8859-1").encode("latin-1"),
        _declared("windows-1252").encode("cp1252"),
        _declared("no-such-code").encode(),
        _declared("utf-16").encode(),
        _declared("UTF-32").encode("utf-8-sig"),
        b"\n\n  " + _declared("UTF-8").encode(),
        b"<br />\n<b>Warning</b>: session_start() in <b>/x.php</b><br />\n" + _declared("UTF-8").encode(),
        b"Notice: x\n" + WHOLE.encode(),
        WHOLE.replace("&amp;", "&").encode(),
        WHOLE.replace("</url>", "\x0b</url>").encode(),
        WHOLE.replace("<url>", "<url>&nbsp;").encode(),
        gzip.compress(WHOLE.encode()),
    ],
    ids=[
        "plain", "mark", "UTF-16", "UTF-16 BE", "Latin-1", "cp1252", "unknown code", "utf-16 in vain",
        "utf-32 in vain", "empty lines", "warning", "notice",
        "bare ampersand", "control character", "entity", "gzip",
    ],
)  # fmt: skip
def test_sitemaps_are_read_in_whatever_form_they_come(served: bytes) -> None:
    with serving({"/robots.txt": ROBOTS, "/index.xml": giving(served)}) as site:
        client = WebClient(user_agent="T/1 (a@b.example)", timeout_s=2, retries=0, loopback_hosts=site.hosts)
        ((page,), _) = sitemap.read_sitemaps(client, BASE, "burst")
    assert (page.address, page.title) == (f"{BASE}/photos/red-flower?x=1&y=2", "Gr\u00fcn & caf\u00e9")


@pytest.mark.parametrize(
    "served",
    [
        f"{BASE}/photos/a\n{BASE}/photos/b\n".encode(),
        f"\ufeff{BASE}/photos/a\r\n\r\n  {BASE}/photos/b  \r\n# end".encode(),
        b"<rss><channel><item><link>/photos/a</link></item><item><link>/photos/b</link></item></channel></rss>",
        b'<feed><entry><link href="/photos/a"/></entry><entry><link href="/photos/b"/></entry></feed>',
    ],
    ids=["text", "text with mark", "RSS", "Atom"],
)  # fmt: skip
def test_plain_texts_and_feeds_are_sitemaps_too(served: bytes) -> None:
    with serving({"/robots.txt": ROBOTS, "/index.xml": giving(served)}) as site:
        client = WebClient(user_agent="T/1 (a@b.example)", timeout_s=2, retries=0, loopback_hosts=site.hosts)
        pages, _ = sitemap.read_sitemaps(client, BASE, "burst")
    assert [page.address for page in pages] == [f"{BASE}/photos/a", f"{BASE}/photos/b"]
