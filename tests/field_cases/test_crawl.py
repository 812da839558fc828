"""What hosts send, as in the field cases: robots.txt, opt-outs, encodings, addresses, redirects, dead names."""

import asyncio
import gzip
from collections.abc import Mapping
from typing import Any

import pytest
from multidict import CIMultiDict

from crawl.http.images import Fetcher, FetchLimits
from crawl.http.search_client import WebClient
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import Limit
from crawl.sites.sitemap import read_sitemaps
from moodarchive.archive.takedown import creator_digest, url_digest
from moodarchive.errors import RowError, ServiceError, TakedownListError
from moodarchive.running.loop_thread import LoopThread
from moodarchive.storage.store import Store
from moodarchive.tables.keys import normalise_url
from pipelines.change.takedown_list import read_list
from tests.field_cases.cases import case, entries, ids, needs_cases, rows
from tests.making import HOST, encoded, giving, serving, textured

pytestmark = needs_cases

AGENT = "MoodArchive/0.1 (mailto:someone@example.org)"
PICTURE = encoded(textured(80, 60))
ROBOTS = entries("crawl/robots/answers.json")
OPT_OUTS = entries("crawl/opt_outs/answers.json")
OPT_OUTS = OPT_OUTS["answers"] if OPT_OUTS else []
ENCODINGS = entries("crawl/encodings/answers.json")
ENCODINGS = ENCODINGS["answers"] if ENCODINGS else []
DEAD = rows("crawl/dead/hosts.csv")
WIRE = [*rows("crawl/wire/unchanged.csv"), *rows("crawl/wire/to_be_encoded.csv")]
REDIRECTS = entries("crawl/wire/redirects.json")
PAIRS = rows("takedown/equivalent_addresses.csv")


def _download(store: Store, url: str, hosts: Mapping[str, str], *, polite: bool = True) -> str | bytes:
    """What the download takes, or the kind of its refusal."""

    async def fetch() -> str | bytes:
        limits = RateLimitClient(store=store, host_limit=Limit(500, 0.1)) if polite else None
        async with Fetcher(FetchLimits(max_bytes=1 << 20, deadline_s=10), AGENT, hosts, rate_limits=limits) as fetcher:
            try:
                return await fetcher.fetch(url)
            except RowError as error:
                return error.kind

    return asyncio.run(fetch())


@pytest.mark.parametrize("answer", ROBOTS, ids=ids(ROBOTS, "body"))
def test_robots_txt(answer: dict[str, Any], store: Store) -> None:
    served = giving(
        case(f"crawl/robots/{answer['body']}").read_bytes(), answer["status"], CIMultiDict(answer["headers"])
    )
    if answer["asked"].endswith("as a sitemap"):
        listing = b"<urlset><url><loc>http://stock.test/photos/a</loc></url></urlset>"
        with serving({"/robots.txt": served, "/sm.xml": giving(listing)}) as site:
            hosts = {**site.hosts, "site.test": site.hosts[HOST]}
            read_sitemaps(WebClient(user_agent=AGENT, loopback_hosts=hosts, retries=0), "http://site.test", "x")
            assert "/sm.xml" in site.paths()
        return
    handlers = {"/robots.txt": served, "/a.jpg": giving(PICTURE)}
    with serving(handlers) as site:
        assert _download(store, answer["asked"], site.hosts) == answer["right"]
        with pytest.raises(ServiceError, match="disallows it"):
            WebClient(user_agent=AGENT, loopback_hosts=site.hosts, retries=0).get_page(answer["asked"], {})


@pytest.mark.parametrize("answer", OPT_OUTS, ids=ids(OPT_OUTS, "name"))
def test_opt_outs(answer: dict[str, Any], store: Store) -> None:
    with serving({"/x": giving(b"page", headers=CIMultiDict(answer["headers"]))}) as site:
        taken = _download(store, f"http://{HOST}/x", site.hosts, polite=False)
        web_client = WebClient(user_agent=AGENT, loopback_hosts=site.hosts)
        if answer["right"].startswith("fetched"):
            assert taken == b"page"
            assert web_client.get_page(f"http://{HOST}/x", {}) is not None
            return
        with pytest.raises(ServiceError):
            web_client.get_page(f"http://{HOST}/x", {})
    assert isinstance(taken, str)
    assert taken == answer["right"] or (answer["right"].startswith("refused") and taken.startswith("opt_out_"))


@pytest.mark.parametrize("answer", ENCODINGS, ids=ids(ENCODINGS, "headers"))
def test_encodings(answer: dict[str, Any], store: Store) -> None:
    body = gzip.compress(PICTURE) if answer["compressed"] else PICTURE
    with serving({"/x": giving(body, headers=CIMultiDict(answer["headers"]))}) as site:
        assert _download(store, f"http://{HOST}/x", site.hosts, polite=False) == PICTURE


@pytest.mark.parametrize("address", DEAD, ids=ids(DEAD, "address"))
def test_dead_hosts(address: dict[str, str], store: Store) -> None:
    assert _download(store, address["address"], {}) in address["right_kind"].split(" or ")


class Recorder:
    """Notes the request lines as they come and redirects once, with a Location of any bytes."""

    def __init__(self, location: bytes | None = None) -> None:
        self.targets: list[str] = []
        self._location = location

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.targets.append(head.split(b" HTTP/1.1", 1)[0].partition(b" ")[2].decode("latin-1"))
        if self._location is not None and len(self.targets) == 1:
            writer.write(b"HTTP/1.1 302 x\r\nContent-Length: 0\r\nLocation: " + self._location + b"\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    def fetch(self, store: Store, url: str) -> list[str]:
        with LoopThread() as loop:
            server = loop.run(asyncio.start_server(self.converse, "127.0.0.1", 0))
            address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            assert _download(store, url, {HOST: address}, polite=False) == b"ok"
        return self.targets


@pytest.mark.parametrize("address", WIRE, ids=ids(WIRE, "what"))
def test_addresses_go_out_as_they_are(address: dict[str, str], store: Store) -> None:
    assert Recorder().fetch(store, address["address"]) == [address["right_target"]]


@pytest.mark.parametrize("redirect", REDIRECTS, ids=ids(REDIRECTS, "what"))
def test_redirects_are_followed_as_they_are(redirect: dict[str, str], store: Store) -> None:
    targets = Recorder(bytes.fromhex(redirect["location_hex"])).fetch(store, redirect["asked"])
    assert targets == ["/r", redirect["right_target"]]


@pytest.mark.parametrize("pair", PAIRS, ids=ids(PAIRS, "what"))
def test_equivalent_addresses(pair: dict[str, str]) -> None:
    same = normalise_url(pair["archived_as"]) == normalise_url(pair["asked_as"])
    assert same == (pair["same"] == "yes")


def test_takedown_lists() -> None:
    one = url_digest("http://stock.test/1.jpg")
    read = {path.name: path for path in sorted(case("takedown").glob("list_*"))}
    for name in ("list_bom.csv", "list_semicolon.csv", "list_sep_line.csv"):
        named = read_list(str(read.pop(name))).identifiers
        assert named.urls == {one}
        assert named.creators == (frozenset() if name == "list_bom.csv" else {creator_digest("Name One")})
    spaced = read_list(str(read.pop("list_space_in_address.txt"))).identifiers.urls
    assert spaced == {url_digest("https://stock.test/1,2.jpg"), url_digest("https://stock.test/a%20b.jpg")}
    bare = read_list(str(read.pop("list_without_scheme.txt"))).identifiers.urls
    assert bare == {url_digest("http://www.stock.test/1.jpg"), url_digest("http://stock.test/2.jpg")}
    for name, words in (("list_latin1.csv", "line 2.*UTF-8"), ("list_nul.csv", "line 2")):
        with pytest.raises(TakedownListError, match=words):
            read_list(str(read.pop(name)))
    assert not read
