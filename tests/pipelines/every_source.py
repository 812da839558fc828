"""A loopback internet on which every source has two pictures, and the settings that search them all."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from aiohttp import web

from moodarchive.emotions.lexicon import load_lexicon
from moodarchive.emotions.taxonomy import Cell
from tests.making import Handler, encoded, giving, textured

PHRASE, LATER_PHRASE = load_lexicon()[Cell("joy", "natural_scenery")][:2]
CDN = "http://cdn.test"
KEYS = {"UNSPLASH_ACCESS_KEY": "hush-1", "PEXELS_API_KEY": "hush-2", "PIXABAY_API_KEY": "hush-3"}
HTML_SITES = ("envato", "burst", "foodiesfeed", "freenaturestock")
NETWORKED = ("openverse", "unsplash", "pexels", "pixabay", "stocksnap", *HTML_SITES)
PICTURES = (
    *(f"{source}{n}" for source in (*NETWORKED, "dataset") for n in (1, 2)),
    "parquet",
    "csv",
    "tar",
    "openverse3",
)
CC0 = "https://creativecommons.org/publicdomain/zero/1.0/"


def _picture(name: str) -> str:
    return f"{CDN}/pic/{name}.jpg"


def _page(source: str) -> str:
    return f"http://{source}.test"


def _json(body: Any) -> Handler:
    return giving(json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def _openverse(n: int) -> dict[str, Any]:
    return {
        "id": f"o{n}", "url": _picture(f"openverse{n}"), "title": PHRASE, "foreign_landing_url": f"http://flickr.test/o{n}",
        "creator": "Olga", "creator_url": "http://flickr.test/olga", "license": "by", "license_version": "4.0",
        "license_url": "https://creativecommons.org/licenses/by/4.0/",
    }  # fmt: skip


def _unsplash(n: int) -> dict[str, Any]:
    return {
        "id": f"u{n}", "urls": {"regular": _picture(f"unsplash{n}")}, "links": {"html": f"http://unsplash.test/photos/u{n}"},
        "user": {"name": "Uma", "links": {"html": "http://unsplash.test/@uma"}}, "alt_description": PHRASE,
    }  # fmt: skip


def _pexels(n: int) -> dict[str, Any]:
    return {
        "id": n, "url": f"http://pexels.test/photo/{n}/", "alt": PHRASE, "photographer": "Pia",
        "photographer_url": "http://pexels.test/@pia", "src": {"large2x": _picture(f"pexels{n}")},
    }  # fmt: skip


def _pixabay(n: int) -> dict[str, Any]:
    return {
        "id": n, "pageURL": f"http://pixabay.test/photos/{n}/", "tags": PHRASE, "user": "Paz", "user_id": 9,
        "largeImageURL": _picture(f"pixabay{n}"),
    }  # fmt: skip


def _stocksnap(n: int) -> dict[str, Any]:
    return {"img_id": f"stocksnap{n}", "tags": PHRASE, "author_name": "Sam", "author_website": "http://sam.test"}


def _gallery(source: str, link: str) -> str:
    cards = "".join(
        f'<article><a href="{link}{n}"><img src="{_picture(f"{source}{n}")}" alt="{PHRASE}"></a></article>'
        for n in (1, 2)
    )
    described = [
        {
            "@type": "ImageObject",
            "url": f"{_page(source)}{link}{n}",
            "creator": {"name": "Hedy", "url": "http://hedy.test"},
        }
        for n in (1, 2)
    ]
    return f'<!doctype html>{cards}<script type="application/ld+json">{json.dumps(described)}</script>'


LINKS = {"envato": "/a-photo-", "burst": "/photos/p", "foodiesfeed": "/free-food-photo/", "freenaturestock": "/photo/"}


def handlers() -> dict[str, Handler]:
    """Path → who answers; sites that share a path are told apart by the Host header."""
    pages = {f"{source}.test": _gallery(source, LINKS[source]) for source in HTML_SITES}

    async def search_page(request: web.Request) -> web.Response:
        return web.Response(text=pages[request.host], content_type="text/html")

    async def openverse(request: web.Request) -> web.Response:
        numbers = (2, 3) if request.query["q"] == LATER_PHRASE else (1, 2)
        return web.json_response({"page_count": 1, "results": [_openverse(n) for n in numbers]})

    snapped = _json({"results": [_stocksnap(n) for n in (1, 2)]})
    phrases = (PHRASE, LATER_PHRASE)
    pictures = {f"/pic/{name}.jpg": giving(encoded(textured(200, 150, 10 + i))) for i, name in enumerate(PICTURES)}
    snaps = {f"/img-thumbs/960w/stocksnap{n}.jpg": pictures[f"/pic/stocksnap{n}.jpg"] for n in (1, 2)}
    return {
        "/v1/images/": openverse,
        "/search/photos": _json({"total_pages": 1, "results": [_unsplash(n) for n in (1, 2)]}),
        **{f"/photos/u{n}/download": _json({"url": _picture(f"unsplash{n}")}) for n in (1, 2)},
        "/v1/search": _json({"photos": [_pexels(n) for n in (1, 2)]}),
        "/api/": _json({"totalHits": 2, "hits": [_pixabay(n) for n in (1, 2)]}),
        **{f"/api/search-photos/{phrase}/relevance/desc/1": snapped for phrase in phrases},
        "/": search_page,
        "/photos/search": search_page,
        **{f"/photos/{phrase.replace(' ', '+')}": search_page for phrase in phrases},
        **pictures,
        **snaps,
    }  # fmt: skip


def write_lists(folder: Path) -> dict[str, Any]:
    """The Unsplash Dataset, lists of three kinds and a folder of one picture; the settings that name them."""
    dataset, own = folder / "dataset", folder / "own"
    dataset.mkdir()
    own.mkdir()
    columns = "photo_id photo_url photo_image_url photo_width photo_height photo_description photographer_username"
    columns += " photographer_first_name photographer_last_name ai_description"
    rows = [
        f"d{n}\thttp://unsplash.test/photos/d{n}\t{_picture(f'dataset{n}')}\t9\t9\t\tdora\tDora\tD.\t{PHRASE}"
        for n in (1, 2)
    ]
    (dataset / "photos.tsv000").write_text("\n".join([columns.replace(" ", "\t"), *rows]) + "\n")
    (dataset / "keywords.tsv000").write_text(f"photo_id\tkeyword\nd1\t{PHRASE}\n")
    fields = {"caption": PHRASE, "license": "by 4.0", "author": "Lea", "page_url": "http://lea.test"}
    pq.write_table(pa.Table.from_pylist([{"url": _picture("parquet"), **fields}]), folder / "a.parquet")
    (folder / "b.csv").write_text(f"url,{','.join(fields)}\n{_picture('csv')},{','.join(fields.values())}\n")
    with tarfile.open(folder / "c.tar", "w") as tar:
        sample = json.dumps({"url": _picture("tar"), **fields}).encode()
        member = tarfile.TarInfo("000.json")
        member.size = len(sample)
        tar.addfile(member, io.BytesIO(sample))
    (own / f"{PHRASE.replace(' ', '_')}.jpg").write_bytes(encoded(textured(200, 150, 99)))
    lists = [str(folder / name) for name in ("a.parquet", "b.csv", "c.tar")]
    return {"unsplash_dataset": {"folder": str(dataset)}, "urls": {"lists": lists, "folder": str(own)}}


def expected() -> dict[str, tuple[str, str | None, str | None, str | None]]:
    """Source and identifier → landing page, creator, licence and licence's page."""
    sites = {source: f"{_page(source)}{LINKS[source]}" for source in HTML_SITES}
    unsplash, lists = ("unsplash", "https://unsplash.com/license"), ("http://lea.test", "Lea", "by 4.0", None)
    rows: dict[str, tuple[str, str | None, str | None, str | None]] = {}
    for n in (1, 2):
        rows |= {
            f"openverse o{n}": (f"http://flickr.test/o{n}", "Olga", "by 4.0", "https://creativecommons.org/licenses/by/4.0/"),
            f"unsplash u{n}": (f"http://unsplash.test/photos/u{n}", "Uma", *unsplash),
            f"unsplash_dataset d{n}": (f"http://unsplash.test/photos/d{n}", "Dora D.", *unsplash),
            f"pexels {n}": (f"http://pexels.test/photo/{n}/", "Pia", "pexels", "https://www.pexels.com/license/"),
            f"pixabay {n}": (
                f"http://pixabay.test/photos/{n}/", "Paz", "pixabay", "https://pixabay.com/service/license-summary/"
            ),
            f"stocksnap stocksnap{n}": (f"http://stocksnap.test/photo/stocksnap{n}", "Sam", "cc0 1.0", CC0),
            **{f"{source} {(LINKS[source] + str(n)).strip('/')}": (f"{sites[source]}{n}", "Hedy", *_of_html(source))
               for source in HTML_SITES},
        }  # fmt: skip
    return {**rows, "urls parquet": lists, "urls csv": lists, "urls tar": lists}


def _of_html(source: str) -> tuple[str, str]:
    return {
        "envato": ("envato-elements", "https://elements.envato.com/license-terms"),
        "burst": ("burst", "https://burst.shopify.com/licenses/shopify-some-rights-reserved"),
    }.get(source, ("cc0 1.0", CC0))


def settings(address: str, captions: str, checkpoint: str, lists: Mapping[str, Any]) -> dict[str, Any]:
    """Every source enabled, with a permission, at a pace that loopback bears."""
    fast = {"enabled": True, "permission": "the test's own", "results_per_query": 5, "limits": ["50/s"]}
    bases = {source: {**fast, "base_url": _page(source)} for source in NETWORKED}
    bases["openverse"] = {**bases["openverse"], "base_url": f"{_page('openverse')}/v1"}
    bases["stocksnap"]["files_url"] = CDN
    hosts = {f"{name}.test": address for name in (*NETWORKED, "cdn")}
    return {
        "descriptors": {"emotions": ["joy"], "contexts": ["natural_scenery"], "phrases_per_cell": 1},
        "sources": {**bases, **{name: {**fast, "limits": [], **own} for name, own in lists.items()}},
        "search": {"user_agent": "MoodArchive-test/0.1 (a@b.example)", "loopback_hosts": hosts},
        "download": {"host_limit": "100/s"},
        "caption": {"model": "moodarchive-demo-measurements-v1", "servers": [captions]},
        "score": {"model": f"local-dir:{checkpoint}", "pretrained": ""},
        "cut": {"percentile": 0, "heldout": 0, "validation": 0},
    }  # fmt: skip
