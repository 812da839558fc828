"""A site on loopback that misbehaves in every way that downloads must survive, one path each."""

import asyncio
import gzip
from collections.abc import Mapping
from contextlib import suppress

from aiohttp import web

from tests.making import HOST, Handler, encoded, giving, textured

GOOD = encoded(textured(300, 200))
LARGE = bytes(300_000)
MAX_BYTES = 200_000


def redirecting(to: str, status: int = 302) -> Handler:
    return giving(b"", status, {"Location": to})


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with suppress(ConnectionError):
        while True:
            await response.write(b"\xff\xd8")
            await asyncio.sleep(0.02)
    return response


async def _silent(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(20)
    return web.Response()


async def _unannounced(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for at in range(0, len(LARGE), 10_000):
        await response.write(LARGE[at : at + 10_000])
    return response


async def _dropped(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(GOOD))})
    await response.prepare(request)
    await response.write(GOOD[: len(GOOD) // 2])
    assert request.transport is not None
    request.transport.close()
    return response


async def _hung_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


HANDLERS: Mapping[str, Handler] = {
    "/good": giving(GOOD),
    "/moved": redirecting("/good", 301),
    "/moved-away": redirecting(f"//{HOST}/good", 307),
    "/html": giving(b"<!doctype html><title>Sign in</title>", headers={"Content-Type": "image/jpeg"}),
    "/empty": giving(b""),
    "/half": giving(GOOD[: len(GOOD) // 2]),
    "/broken": giving(encoded(textured(300, 200), "PNG").replace(b"IDAT", b"IDAT\0\0\0", 1)),
    "/tiny": giving(encoded(textured(20, 20))),
    "/to-port": redirecting("http://127.0.0.1:1/inside"),
    "/to-file": redirecting("file:///etc/passwd"),
    "/to-metadata": redirecting("http://169.254.169.254/latest/meta-data/"),
    "/to-ipv6": redirecting("http://[::1]:1/"),
    "/to-decimal": redirecting("http://2130706433:1/"),
    "/to-localhost": redirecting("http://localhost:1/"),
    "/to-nonsense": redirecting("http://[::bad/"),
    "/loop": redirecting("/loop"),
    "/forbidden": giving(b"", 403),
    "/gone": giving(b"", 410),
    "/unchanged": giving(b"", 304),
    "/error": giving(b"", 500),
    "/busy": giving(b"", 429, {"Retry-After": "0"}),
    "/away": giving(b"", 503, {"Retry-After": "nonsense"}),
    "/endless": _endless,
    "/silent": _silent,
    "/announced": giving(LARGE),
    "/unannounced": _unannounced,
    "/gzip": giving(gzip.compress(GOOD)[:-20], headers={"Content-Encoding": "gzip"}),
    "/gzip-bomb": giving(gzip.compress(bytes(50 * MAX_BYTES)), headers={"Content-Encoding": "gzip"}),
    "/dropped": _dropped,
    "/hung-up": _hung_up,
}
"""Path → how the site answers; every other path is 404."""

SITE = f"http://{HOST}"
FAILURES: Mapping[str, str] = {
    f"{SITE}/html": "not_an_image",
    f"{SITE}/empty": "not_an_image",
    f"{SITE}/half": "truncated",
    f"{SITE}/broken": "corrupt_image",
    f"{SITE}/tiny": "too_small",
    f"{SITE}/to-port": "forbidden_address",
    f"{SITE}/to-file": "forbidden_scheme",
    f"{SITE}/to-metadata": "forbidden_address",
    f"{SITE}/to-ipv6": "forbidden_address",
    f"{SITE}/to-decimal": "forbidden_address",
    f"{SITE}/to-localhost": "forbidden_address",
    f"{SITE}/to-nonsense": "bad_url",
    f"{SITE}/loop": "too_many_redirects",
    f"{SITE}/absent": "http_404",
    f"{SITE}/forbidden": "http_403",
    f"{SITE}/gone": "http_410",
    f"{SITE}/unchanged": "http_304",
    f"{SITE}/error": "http_500",
    f"{SITE}/busy": "throttled",
    f"{SITE}/away": "throttled",
    f"{SITE}/endless": "deadline",
    f"{SITE}/silent": "deadline",
    f"{SITE}/announced": "too_many_bytes",
    f"{SITE}/unannounced": "too_many_bytes",
    f"{SITE}/gzip": "encoded_body",
    f"{SITE}/gzip-bomb": "too_many_bytes",
    f"{SITE}/dropped": "truncated",
    f"{SITE}/hung-up": "unreachable",
    "http://nowhere.invalid/x.jpg": "unknown_host",
    "http://127.1/x.jpg": "forbidden_address",
    "ftp://a.example/x.jpg": "forbidden_scheme",
    "data:image/png;base64,iVBORw0KGgo=": "forbidden_scheme",
    "http://a.example:99999/x.jpg": "bad_url",
    "http://exa mple/x.jpg": "unknown_host",
    "http:///x.jpg": "bad_url",
    "": "forbidden_scheme",
}
"""URL → the kind of error that its row must end in."""
