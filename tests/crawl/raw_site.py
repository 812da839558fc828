"""A server that breaks HTTP itself: what it says is written byte by byte, one path a way to misbehave."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from moodarchive.running.loop_thread import LoopThread
from tests.crawl.hostile_site import GOOD

RAW_HOST, TLS_HOST, MUTE_HOST, CLOSED_HOST = "raw.test", "plain-behind-tls.test", "mute-tls.test", "closed.test"
Misbehaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]
_OK = b"HTTP/1.1 200 OK\r\n"


def _saying(*parts: bytes, every_s: float = 0.0, for_ever: bytes = b"", stays: bool = False) -> Misbehaviour:
    """Says the parts, then the last one again and again; or stays silent with the line open."""

    async def speak(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(every_s)
        while for_ever:
            writer.write(for_ever)
            await writer.drain()
            await asyncio.sleep(every_s)
        if stays:
            await asyncio.sleep(60)

    return speak


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_LONG = _OK + b"Content-Length: 100000\r\n\r\n"
MISBEHAVIOURS: Mapping[str, tuple[Misbehaviour, str]] = {
    "/mute": (_saying(stays=True), "deadline"),
    "/slow-status": (_saying(*(b"%c" % c for c in _OK * 9), every_s=0.1), "deadline"),
    "/slow-headers": (_saying(_OK, for_ever=b"X: y\r\n", every_s=0.1), "deadline"),
    "/slow-body": (_saying(_LONG, for_ever=b"\xff", every_s=0.1), "deadline"),
    "/slow-chunks": (_saying(_CHUNKED, for_ever=_chunk(b"\xff"), every_s=0.1), "deadline"),
    "/stalled-body": (_saying(_LONG, GOOD[:50], stays=True), "deadline"),
    "/never-closed": (_saying(_OK + b"\r\n", GOOD, stays=True), "deadline"),
    "/endless-patience": (_saying(for_ever=b"HTTP/1.1 100 Continue\r\n\r\n", every_s=0.02), "deadline"),
    "/endless-header": (_saying(_OK + b"X: ", for_ever=b"y" * 4096), "bad_answer"),
    "/endless-headers": (_saying(_OK, for_ever=b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 50), "bad_answer"),
    "/endless-status": (_saying(b"HTTP/1.1 200 ", for_ever=b"y" * 4096), "bad_answer"),
    "/slow-trailer": (_saying(_CHUNKED, _chunk(GOOD), b"0\r\n", for_ever=b"X: y\r\n", every_s=0.1), "deadline"),
    "/endless-chunk-size": (_saying(_CHUNKED, for_ever=b"0" * 4096), "deadline"),
    "/endless-body": (_saying(_OK + b"\r\n", for_ever=bytes(1 << 16)), "too_many_bytes"),
    "/endless-small-chunks": (_saying(_CHUNKED, for_ever=_chunk(b"x" * 16) * 500), "too_many_bytes"),
    "/announces-exabytes": (_saying(_OK + b"Content-Length: 9999999999999999999\r\n\r\n"), "too_many_bytes"),
    "/negative-length": (_saying(_OK + b"Content-Length: -1\r\n\r\n", GOOD), "bad_answer"),
    "/two-lengths": (_saying(_OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", GOOD), "bad_answer"),
    "/length-and-chunks": (
        _saying(_OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + _chunk(GOOD)), "bad_answer"
    ),
    "/bad-chunk-size": (_saying(_CHUNKED, b"zz\r\nwhat\r\n"), "bad_answer"),
    "/cut-chunks": (_saying(_CHUNKED, _chunk(GOOD)[:-40]), "truncated"),
    "/short": (_saying(_OK + b"Content-Length: %d\r\n\r\n" % (len(GOOD) + 9), GOOD), "truncated"),
    "/no-http": (_saying(b"SSH-2.0-OpenSSH_9.2\r\n"), "bad_answer"),
    "/http-09": (_saying(GOOD), "bad_answer"),
    "/nul-in-header": (_saying(_OK + b"X: a\0b\r\nContent-Length: 0\r\n\r\n"), "bad_answer"),
    "/status-0": (_saying(b"HTTP/1.1 0 What\r\nContent-Length: 0\r\n\r\n"), "bad_answer"),
    "/gzip-bomb": (_saying(_OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b", for_ever=bytes(1 << 16)), "too_many_bytes"),
    "/long-location": (_saying(b"HTTP/1.1 302 x\r\nLocation: /" + b"y" * 90_000 + b"\r\n\r\n"), "bad_answer"),
    "/endless-redirect-body": (
        _saying(b"HTTP/1.1 302 x\r\nLocation: /short\r\n\r\n", for_ever=bytes(1 << 16)), "truncated"
    ),
}  # fmt: skip
"""Path → (what is said, the kind of error that the row must end in)."""

OTHER_HOSTS: Mapping[str, str] = {
    f"https://{TLS_HOST}/x": "tls_failed",
    f"https://{MUTE_HOST}/x": "deadline",
    f"http://{CLOSED_HOST}/x": "unreachable",
}
"""URL → the kind of error, where nobody gets as far as HTTP."""


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        path = head.split()[1].decode(errors="replace")
        if path in MISBEHAVIOURS:
            await MISBEHAVIOURS[path][0](writer)
    writer.close()


async def _plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def _mute(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while await reader.read(1 << 16):
            pass
    await asyncio.sleep(60)


@contextmanager
def misbehaving() -> Iterator[dict[str, str]]:
    """Host name → address: the breaker of HTTP, two that do not know TLS, and nobody."""
    hosts: dict[str, str] = {}

    async def serve() -> None:
        for behave, name in ((_converse, RAW_HOST), (_plain, TLS_HOST), (_mute, MUTE_HOST), (_mute, CLOSED_HOST)):
            server = await asyncio.start_server(behave, "127.0.0.1", 0)
            hosts[name] = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()  # the last one: its port is taken by nobody

    with LoopThread() as loop:
        loop.run(serve())
        yield hosts
