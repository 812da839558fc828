"""Every source fills candidates from a loopback server that speaks its interface, as its recorded replies show it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web
from pydantic import SecretStr

from crawl.http.search_client import WebClient
from crawl.sites.html_sites import (
    BurstSettings,
    EnvatoSettings,
    FoodiesfeedSettings,
    FreenaturestockSettings,
    make_html_site,
)
from crawl.sites.openverse import CLIENT_ID, CLIENT_SECRET, Openverse, OpenverseSettings
from crawl.sites.pexels import KEY as PEXELS_KEY
from crawl.sites.pexels import Pexels, PexelsSettings
from crawl.sites.pixabay import KEY as PIXABAY_KEY
from crawl.sites.pixabay import Pixabay, PixabaySettings
from crawl.sites.stocksnap import Stocksnap, StocksnapSettings
from crawl.sites.unsplash import KEY as UNSPLASH_KEY
from crawl.sites.unsplash import Unsplash, UnsplashSettings
from crawl.sites.unsplash_dataset import UnsplashDataset, UnsplashDatasetSettings
from crawl.sites.urls import Urls, UrlsSettings
from crawl.source import Found, Query, Source
from moodarchive.errors import ConfigError, ServiceError
from tests.making import HOST, Site, serving

AGENT = "MoodArchive-test/0.1 (mailto:someone@a.example)"
BASE = f"http://{HOST}"
SECRET = "hush-hush-1"  # noqa: S105


def _query(results: int, phrase: str = "red flower") -> Query:
    return Query(source="any", emotion="joy", context="natural_scenery", phrase=phrase, results=results)


def _searched(site: Site, source: Source, results: int = 100, phrase: str = "red flower") -> list[Found]:
    client = WebClient(user_agent=AGENT, timeout_s=2, retries=1, loopback_hosts=site.hosts)
    return list(source.search(_query(results, phrase), client))


@contextmanager
def _json_site(path: str, answer: Callable[[web.Request], Any], limited: bool = False) -> Iterator[Site]:
    """A site that answers with JSON and states its limit; the first answer is a plea for patience when ``limited``."""
    busy = [limited]

    async def handler(request: web.Request) -> web.Response:
        if busy.pop() if busy else False:
            return web.Response(status=429, headers={"Retry-After": "0", "X-Ratelimit-Remaining": "0"})
        body = answer(request)
        headers = {"Date": "Thu, 01 Jan 2026 10:00:00 GMT", "X-Ratelimit-Limit": "50", "X-Ratelimit-Remaining": "49"}
        return body if isinstance(body, web.Response) else web.json_response(body, headers=headers)

    with serving({path: handler, path.replace("/desc/1", "/desc/2"): handler}) as site:
        yield site


def _unsplash(number: int) -> dict[str, Any]:
    return {
        "id": f"u{number}", "width": 3000, "height": 2000, "description": "boots",
        "alt_description": "a person in boots",
        "urls": {"regular": f"https://images.unsplash.example/{number}?w=1080", "raw": "https://x.example/raw"},
        "links": {"html": f"https://unsplash.com/photos/u{number}"},
        "user": {"name": "Ana Ü.", "links": {"html": "https://unsplash.com/@ana"}},
    }  # fmt: skip


def test_unsplash() -> None:
    def answer(request: web.Request) -> Any:
        if request.headers["Authorization"] != f"Client-ID {SECRET}" or request.headers["Accept-Version"] != "v1":
            return web.Response(status=401)
        page, size = int(request.query["page"]), int(request.query["per_page"])
        assert size <= 30 and request.query["query"] == "red flower"
        shown = range((page - 1) * size, min(page * size, 70))
        return {"total": 70, "total_pages": 3, "results": [_unsplash(n) for n in shown]}

    source = Unsplash(UnsplashSettings(base_url=BASE), {UNSPLASH_KEY: SecretStr(SECRET)})
    with _json_site("/search/photos", answer, limited=True) as site:
        found = _searched(site, source)
        assert [image.source_id for image in found] == [f"u{n}" for n in range(70)]
        assert len(site.requests) == 4
    first = found[0]
    assert (first.creator, first.creator_url) == ("Ana Ü.", "https://unsplash.com/@ana")
    assert (first.licence, first.licence_url) == ("unsplash", "https://unsplash.com/license")
    assert (first.landing_url, first.alt_text) == ("https://unsplash.com/photos/u0", "a person in boots")
    assert (first.width, first.height, first.retrieved_on) == (3000, 2000, "2026-01-01")
    assert SECRET not in repr(source)


def test_pexels() -> None:
    def answer(request: web.Request) -> Any:
        if request.headers["Authorization"] != SECRET:
            return web.Response(status=401)
        page, size = int(request.query["page"]), int(request.query["per_page"])
        photos = [
            {"id": n + 1, "width": 5184, "height": 3456, "url": f"https://www.pexels.com/photo/a-{n}/",
             "alt": "Red petals",
             "photographer": "Tinthia", "photographer_url": "https://www.pexels.com/@tinthia",
             "src": {"original": f"https://i.example/{n}.jpeg", "large2x": f"https://i.example/{n}.jpeg?w=940&dpr=2"}}
            for n in range((page - 1) * size, min(page * size, 100))
        ]  # fmt: skip
        return {"total_results": 100, "page": page, "photos": photos, **({"next_page": "x"} if page == 1 else {})}

    with _json_site("/v1/search", answer, limited=True) as site:
        found = _searched(site, Pexels(PexelsSettings(base_url=BASE), {PEXELS_KEY: SecretStr(SECRET)}), 1000)
        assert len(found) == 100 and len(site.requests) == 3
    assert found[7].url == "https://i.example/7.jpeg?w=940&dpr=2"
    assert (found[7].creator, found[7].landing_url) == ("Tinthia", "https://www.pexels.com/photo/a-7/")
    assert (found[7].licence, found[7].alt_text) == ("pexels", "Red petals")


def test_pixabay() -> None:
    def answer(request: web.Request) -> Any:
        if request.query["key"] != SECRET:
            return web.Response(status=400)
        assert len(request.query["q"]) <= 100 and request.query["safesearch"] == "true"
        page, size = int(request.query["page"]), int(request.query["per_page"])
        hits = [
            {"id": n + 1, "pageURL": f"https://pixabay.com/photos/a-{n}/", "tags": "daffodils, spring",
             "user": "Meatle", "user_id": 9,
             "largeImageURL": f"https://pixabay.example/{n}_1280.jpg", "imageWidth": 4320,
             "imageHeight": 2880} for n in range((page - 1) * size, min(page * size, 500))
        ]  # fmt: skip
        return {"total": 1421, "totalHits": 500, "hits": hits}

    source = Pixabay(PixabaySettings(base_url=BASE), {PIXABAY_KEY: SecretStr(SECRET)})
    with _json_site("/api/", answer, limited=True) as site:
        found = _searched(site, source, 500, "x" * 150)
        assert len(found) == 500 and len(site.requests) == 4
    assert (found[3].creator, found[3].creator_url) == ("Meatle", "https://pixabay.com/users/Meatle-9/")
    assert (found[3].alt_text, found[3].licence, found[3].width) == ("daffodils, spring", "pixabay", 4320)


def test_stocksnap() -> None:
    def answer(request: web.Request) -> Any:
        page = int(request.path.rsplit("/", 1)[1])
        results = [
            {"img_id": f"S{page}{n}", "tags": "tree bark", "keywords": ["tree", "bark"], "img_width": 4000,
             "img_height": 6000, "author_name": "Tim", "author_website": "https://tim.example"} for n in range(40)
        ]  # fmt: skip
        return {"results": results, "nextPage": 2 if page == 1 else False, "count": 80}

    settings = StocksnapSettings(base_url=BASE, files_url="https://cdn.example")
    with _json_site("/api/search-photos/red flower/relevance/desc/1", answer, limited=True) as site:
        found = _searched(site, Stocksnap(settings))
    assert len(found) == 80
    assert found[0].url == "https://cdn.example/img-thumbs/960w/S10.jpg"
    assert (found[0].landing_url, found[0].creator) == (f"{BASE}/photo/S10", "Tim")
    assert (found[0].licence, found[0].alt_text) == ("cc0 1.0", "tree, bark")


def test_a_registered_openverse_client_takes_a_token_and_larger_pages() -> None:
    async def token(request: web.Request) -> web.Response:
        form = await request.post()
        assert form["client_secret"] == SECRET and form["grant_type"] == "client_credentials"
        return web.json_response({"access_token": "hush-token", "expires_in": 36_000, "token_type": "Bearer"})

    async def images(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer hush-token"
        size = int(request.query["page_size"])
        results = [{"id": str(n), "url": f"https://x.example/{n}.jpg", "license": "by"} for n in range(size)]
        return web.json_response({"page_count": 1, "results": results})

    keys = {CLIENT_ID: SecretStr(f"client-{id(token)}"), CLIENT_SECRET: SecretStr(SECRET)}
    with serving({"/v1/images/": images, "/v1/auth_tokens/token/": token}) as site:
        assert len(_searched(site, Openverse(OpenverseSettings(base_url=f"{BASE}/v1"), keys))) == 100
        _searched(site, Openverse(OpenverseSettings(base_url=f"{BASE}/v1"), keys))
        assert [request.method for request in site.requests] == ["POST", "GET", "GET"]


@pytest.mark.parametrize("source", [Unsplash(UnsplashSettings()), Pexels(PexelsSettings()), Pixabay(PixabaySettings())])
def test_a_missing_key_is_named_before_anything_is_asked(source: Source) -> None:
    with pytest.raises(ConfigError, match=source.settings.key_variables[0]):
        list(source.search(_query(1), WebClient(user_agent=AGENT)))


def _gallery(page: int, links: str) -> str:
    cards = "".join(
        f'<article><a href="{links.format(n=page * 10 + n)}"><img data-src="/small-{n}.jpg" alt="A red flower {n}" '
        f'srcset="/{n}-300.jpg 300w, /{n}-925.jpg 925w"></a></article>' for n in range(3)
    )  # fmt: skip
    described = {
        "@context": "https://schema.org", "@type": "ImageObject", "url": BASE + links.format(n=page * 10),
        "creator": {"@type": "Person", "name": "Ana", "url": "https://ana.example"}, "license": "https://l.example/cc0",
    }  # fmt: skip
    follows = '<a class="next" rel="next" href="?page=2">Next</a>' if page == 1 else ""
    return (
        f"<!doctype html><title>x</title><a href='/about'>no picture</a>{cards}{follows}"
        f'<script type="application/ld+json">{json.dumps(described)}</script>'
    )


HTML_SITES = [
    (
        make_html_site("envato", EnvatoSettings(base_url=BASE)),
        ("/photos/red+flower", "/photos/red+flower/pg-2"),
        "/a-photo-{n}",
    ),
    (make_html_site("burst", BurstSettings(base_url=BASE)), ("/photos/search", "/photos/search"), "/photos/red-{n}"),
    (make_html_site("foodiesfeed", FoodiesfeedSettings(base_url=BASE)), ("/", "/page/2/"), "/free-food-photo/red-{n}/"),
    (make_html_site("freenaturestock", FreenaturestockSettings(base_url=BASE)), ("/", "/page/2/"), "/photo/red-{n}/"),
]


def _paths(paths: tuple[str, str], page: Callable[[int], web.Response]) -> dict[str, Any]:
    async def first(request: web.Request) -> web.Response:
        return page(int(request.query.get("page", "1")))

    async def second(_: web.Request) -> web.Response:
        return page(2)

    return {paths[1]: second, paths[0]: first}


@pytest.mark.parametrize(("source", "paths", "links"), HTML_SITES, ids=lambda value: getattr(value, "name", ""))
def test_html_sites(source: Source, paths: tuple[str, str], links: str) -> None:
    def page(number: int) -> web.Response:
        return web.Response(text=_gallery(number, links), content_type="text/html")

    with serving(_paths(paths, page)) as site:
        found = _searched(site, source)
        assert site.requests[0].path == "/robots.txt"
        assert len(site.requests) == 3
    assert [image.landing_url for image in found] == [BASE + links.format(n=n) for n in (10, 11, 12, 20, 21, 22)]
    assert found[0].url == f"{BASE}/0-925.jpg"
    assert (found[0].alt_text, found[0].creator, found[0].creator_url) == (
        "A red flower 0",
        "Ana",
        "https://ana.example",
    )
    assert found[0].licence_url == "https://l.example/cc0"
    assert found[1].licence_url and found[1].licence


@pytest.mark.parametrize(("source", "paths", "links"), HTML_SITES, ids=lambda value: getattr(value, "name", ""))
def test_html_sites_that_do_not_want_it_are_not_read(source: Source, paths: tuple[str, str], links: str) -> None:
    async def robots(_: web.Request) -> web.Response:
        return web.Response(text="User-agent: *\nDisallow: /\n")

    with serving({"/robots.txt": robots}) as site, pytest.raises(ServiceError, match="disallows"):
        _searched(site, source)
    opting_out = f'<meta name="robots" content="noai">{_gallery(1, links)}'
    with serving(_paths(paths, lambda _: web.Response(text=opting_out, content_type="text/html"))) as site:
        assert _searched(site, source) == []


def test_the_unsplash_dataset(tmp_path: Path) -> None:
    (tmp_path / "photos.tsv000").write_text(
        "photo_id\tphoto_url\tphoto_image_url\tphoto_width\tphoto_height\tphoto_description\tphotographer_username\t"
        "photographer_first_name\tphotographer_last_name\tai_description\n"
        'a\thttps://unsplash.com/photos/a\thttps://images.example/a\t4000\t3000\tMy "best"\tana\tAna\tÜ.\tred flower\n'
        "b\thttps://unsplash.com/photos/b\thttps://images.example/b\t4000\t3000\t\tbo\tBo\t\t\n"
    )
    (tmp_path / "keywords.tsv000").write_text("photo_id\tkeyword\nb\tflowers\nb\tred\na\tmeadow\n")
    source = UnsplashDataset(UnsplashDatasetSettings(folder=str(tmp_path)))
    found = {image.source_id: image for image in source.search(_query(10), WebClient(user_agent=AGENT))}
    assert set(found) == {"a", "b"}
    assert (found["a"].creator, found["a"].creator_url) == ("Ana Ü.", "https://unsplash.com/@ana")
    assert (found["a"].alt_text, found["b"].alt_text) == ("red flower", "flowers, red")
    assert (found["b"].licence, found["b"].landing_url, found["b"].width) == (
        "unsplash", "https://unsplash.com/photos/b", 4000,
    )  # fmt: skip
    assert not list(source.search(_query(10, "glaring eyes"), WebClient(user_agent=AGENT)))


def test_your_own_lists_and_folder(tmp_path: Path) -> None:
    import io
    import tarfile

    pq.write_table(
        pa.table(
            {"URL": ["https://a.example/1.jpg"], "TEXT": ["two red flowers"], "license": ["by 4.0"], "WIDTH": [640]}
        ),
        tmp_path / "a.parquet",
    )
    (tmp_path / "b.csv").write_text(
        "url,caption,author,page_url\nhttps://a.example/2.jpg,a red flower,Ana,https://a.example/2\n"
        "folder:../secret.jpg,red flower,Eve,\n"
    )
    with tarfile.open(tmp_path / "c.tar", "w") as tar:
        sample = {"url": "https://a.example/3.jpg", "caption": "flower, red", "license_url": "https://l.example"}
        member = tarfile.TarInfo("000.json")
        member.size = len(json.dumps(sample))
        tar.addfile(member, io.BytesIO(json.dumps(sample).encode()))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "red_flower-4.jpg").write_bytes(b"x")
    lists = tuple(str(tmp_path / name) for name in ("a.parquet", "b.csv", "c.tar"))
    source = Urls(UrlsSettings(lists=lists, folder=str(tmp_path / "own")))
    found = {image.url: image for image in source.search(_query(10), WebClient(user_agent=AGENT))}
    assert set(found) == {*(f"https://a.example/{n}.jpg" for n in (1, 2, 3)), "folder:red_flower-4.jpg"}
    assert (found["https://a.example/1.jpg"].licence, found["https://a.example/1.jpg"].width) == ("by 4.0", 640)
    assert found["https://a.example/2.jpg"].creator == "Ana"
    assert found["https://a.example/3.jpg"].licence_url == "https://l.example"
