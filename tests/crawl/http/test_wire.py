"""What goes over the wire: targets byte for byte, encodings as servers name them, long header lines."""

import asyncio
import gzip
import zlib
from collections.abc import Mapping, Sequence
from random import Random

import pyarrow as pa
import pytest
from multidict import CIMultiDict

from crawl.http.addresses import vet_url
from crawl.http.images import Fetcher, FetchLimits
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import Limit
from moodarchive.errors import RowError
from moodarchive.running.loop_thread import LoopThread
from moodarchive.storage.store import Store
from tests.making import HOST, encoded, giving, serving, textured

PICTURE = encoded(textured(80, 60))
UNRESERVED = "abcXYZ0189-._~"
DELIMITERS = "!$&'()*+,;=:@/?"


def _fetch(url: str, hosts: Mapping[str, str], max_bytes: int = 1 << 20) -> bytes:
    async def fetch() -> bytes:
        async with Fetcher(FetchLimits(max_bytes=max_bytes, deadline_s=10), "Test/1 (a@b.example)", hosts) as fetcher:
            return await fetcher.fetch(url)

    return asyncio.run(fetch())


class Recorder:
    """A server that notes the request lines as they come; ``locations`` are the answers' Location, byte for byte."""

    def __init__(self, *locations: bytes) -> None:
        self.targets: list[str] = []
        self._locations = list(locations)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.targets.append(head.split(b" HTTP/1.1", 1)[0].partition(b" ")[2].decode("latin-1"))
        if self._locations:
            writer.write(b"HTTP/1.1 302 x\r\nContent-Length: 0\r\nLocation: " + self._locations.pop(0) + b"\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    def fetch(self, url: str) -> list[str]:
        async def serve() -> asyncio.Server:
            return await asyncio.start_server(self.converse, "127.0.0.1", 0)

        with LoopThread() as loop:
            server = loop.run(serve())
            address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            assert _fetch(url, {HOST: address}) == b"ok"
        return self.targets


SIGNED = (
    "/joe%27s%20house.jpg?s=0123abcd",
    "/photo%20%281%29.jpg?s=1",
    "/a%2Cb%3Ac.jpg",
    "/t/http%3A%2F%2Fcdn.example%2Fa",
    "/%7Euser/%41.jpg",
    "/x%2Fy.jpg",
    "/i.jpg?d=inline%3B%20filename%3D%22a.jpg%22&s=1",
    "/i.jpg?m=a%40b.example&at=1%3A3",
    "/i.jpg?q=a'b(c)&s=0",
    "/s.jpg?Signature=qZ%2BPP2g%3D&Expires=1",
    "/a+b.jpg?q=a+b&r=a%20b",
    "/%FC.jpg",
    "/%c3%a9.jpg",
    "/a?b?c=/d",
    "/a;v=1,2/b:c@d!$&*=",
    "/?",
    "/100%.jpg",
    "/a|b[1].jpg?x[]=1",
)


@pytest.mark.parametrize("target", SIGNED)
@pytest.mark.parametrize("redirected", [False, True])
def test_what_is_valid_goes_out_byte_for_byte(target: str, redirected: bool) -> None:
    right = target if target != "/?" else "/"
    if redirected:
        assert Recorder(target.encode()).fetch(f"http://{HOST}/r") == ["/r", right]
        assert Recorder(f"http://{HOST}{target}".encode()).fetch(f"http://{HOST}/r") == ["/r", right]
    else:
        assert Recorder().fetch(f"http://{HOST}{target}") == [right]


@pytest.mark.parametrize(
    ("address", "right"),
    [
        ("/a b.jpg", "/a%20b.jpg"), ("/ü.jpg", "/%C3%BC.jpg"), ("/a.jpg#part", "/a.jpg"), ("?x=1", "/?x=1"), ("", "/"),
        ("/a.jpg ", "/a.jpg"), ("/a.jpg\n", "/a.jpg"), ("/a\tb.jpg", "/ab.jpg"),
        ('/"<>`{}^\\', "/%22%3C%3E%60%7B%7D%5E%5C"),
        ("/x?q=ü b", "/x?q=%C3%BC%20b"), ("/a\x00\x7fb", "/a%00%7Fb"), ("/a.jpg?#x", "/a.jpg"),
    ],
)  # fmt: skip
def test_what_is_not_valid_is_escaped_once(address: str, right: str) -> None:
    assert Recorder().fetch(f"http://{HOST}{address}") == [right]


@pytest.mark.parametrize(
    ("location", "right"),
    [(b"/\xfc.jpg", "/%FC.jpg"), ("/ü b.jpg".encode(), "/%C3%BC%20b.jpg"), (b"joe%27s.jpg?s=1", "/d/joe%27s.jpg?s=1"),
     (b"?s=%27", "/d/r?s=%27"), (b" /a.jpg ", "/a.jpg")],
)  # fmt: skip
def test_a_location_is_followed_as_it_is_written(location: bytes, right: str) -> None:
    assert Recorder(location).fetch(f"http://{HOST}/d/r") == ["/d/r", right]


def test_no_valid_target_is_changed() -> None:
    random = Random(4)
    for _ in range(5000):
        letters = [*UNRESERVED, *DELIMITERS, *(f"%{random.randrange(256):02{x}}" for x in "xX")]
        target = "/" + "".join(random.choices(letters, k=random.randrange(20)))
        right = target.removesuffix("?") if target.count("?") == 1 else target  # an empty query is none
        assert vet_url(f"https://a.example{target}", {}).raw_path_qs == right


BROTLI, ZSTD = (pa.compress(PICTURE, codec=name, asbytes=True) for name in ("brotli", "zstd"))
ENCODINGS: Sequence[tuple[Sequence[str], bytes]] = [
    *(([name], PICTURE) for name in ("", "aws-chunked", "UTF-8", "binary", "none", "identity", "image/jpeg")),
    *(([name], PICTURE) for name in ("gzip", "deflate", "br", "zstd")),
    (["identity, identity"], PICTURE),
    (["identity", "identity"], PICTURE),
    (["gzip"], gzip.compress(PICTURE)),
    (["GZIP"], gzip.compress(PICTURE)),
    (["aws-chunked,gzip"], gzip.compress(PICTURE)),
    (["aws-chunked", "x-gzip"], gzip.compress(PICTURE)),
    (["deflate"], zlib.compress(PICTURE)),
    (["br"], BROTLI),
    (["zstd"], ZSTD),
    (["gzip, gzip"], gzip.compress(gzip.compress(PICTURE))),
]


@pytest.mark.parametrize(("names", "body"), ENCODINGS)
def test_a_picture_is_taken_whatever_its_envelope_is_called(names: Sequence[str], body: bytes) -> None:
    headers = CIMultiDict(("Content-Encoding", name) for name in names)
    with serving({"/x": giving(body, headers=headers)}) as site:
        assert _fetch(f"http://{HOST}/x", site.hosts) == PICTURE
    assert site.requests[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("body", "kind"),
    [(gzip.compress(PICTURE)[:-9], "encoded_body"), (gzip.compress(PICTURE)[:12] + b"\xff" * 99, "encoded_body"),
     (gzip.compress(bytes(9 << 20)), "too_many_bytes")],
)  # fmt: skip
def test_an_envelope_that_cannot_be_opened_within_the_limit_has_its_kind(body: bytes, kind: str) -> None:
    with serving({"/x": giving(body, headers={"Content-Encoding": "gzip"})}) as site, pytest.raises(RowError) as caught:
        _fetch(f"http://{HOST}/x", site.hosts)
    assert caught.value.kind == kind


def test_a_long_header_line_does_not_count_against_the_host(store: Store) -> None:
    async def fetch(hosts: Mapping[str, str]) -> list[bytes]:
        rate_limits = RateLimitClient(store=store, host_limit=Limit(500, 0.1))
        limits = FetchLimits(max_bytes=1 << 20, deadline_s=10)
        async with Fetcher(limits, "Test/1 (a@b.example)", hosts, rate_limits=rate_limits) as fetcher:
            return [await fetcher.fetch(f"http://{HOST}/x") for _ in range(12)]

    with serving({"/x": giving(PICTURE, headers={"Content-Security-Policy": "x" * 40_000})}) as site:
        assert asyncio.run(fetch(site.hosts)) == [PICTURE] * 12
