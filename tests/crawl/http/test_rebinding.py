"""A name that first leads to a public address and then inwards never leads a download inwards."""

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from crawl.http import addresses
from crawl.http.images import Fetcher, FetchLimits
from moodarchive.errors import RowError

NAME, PUBLIC, STAND_IN = "rebinding.example", "93.184.216.34", "127.0.0.2"
LIMITS = FetchLimits(max_bytes=1000, deadline_s=5)
_CONNECTS: list[tuple[str, int]] = []
_WATCHING: list[bool] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Notes where every socket of this process is connected to; what would leave the machine is refused."""
    if _WATCHING and event == "socket.connect" and isinstance(arguments[1], tuple):
        _CONNECTS.append(arguments[1][:2])
        if not str(arguments[1][0]).startswith("127."):
            raise ConnectionRefusedError("no packet leaves a test")


sys.addaudithook(_watch)


@pytest.fixture
def connects() -> Iterator[list[tuple[str, int]]]:
    _CONNECTS.clear()
    _WATCHING.append(True)
    yield _CONNECTS
    _WATCHING.clear()


def _resolver(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """The name's answers in turn, the last one for ever; the list notes who was asked for."""
    asked: list[str] = []

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        assert host == NAME, host
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


@asynccontextmanager
async def _servers(outside_says: bytes) -> Any:
    """Two servers on one port: the outside at the stand-in for a public address, the inside at 127.0.0.1."""
    inside_saw: list[bytes] = []
    lines: list[int] = []

    async def outside(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(1)
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            writer.write(outside_says)
            if b"close" in outside_says:
                break
        writer.close()

    async def inside(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside_saw.append(await reader.readline())
        writer.close()

    async with await asyncio.start_server(outside, STAND_IN, 0) as out:
        port = out.sockets[0].getsockname()[1]
        async with await asyncio.start_server(inside, "127.0.0.1", port):
            yield port, inside_saw, lines


@pytest.fixture
def stand_in_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets 127.0.0.2 pass for a public address; every other address is judged as ever."""
    judge = addresses.refuse_unless_public
    monkeypatch.setattr(addresses, "refuse_unless_public", lambda a: None if a == STAND_IN else judge(a))


def _ended(run: Any) -> str:
    with pytest.raises(RowError) as caught:
        asyncio.run(run)
    return caught.value.kind


async def _fetch(url: str) -> bytes:
    async with Fetcher(LIMITS, "agent") as fetcher:
        return await fetcher.fetch(url)


async def _is_refused(fetcher: Fetcher, port: int) -> None:
    with pytest.raises(RowError) as caught:
        await fetcher.fetch(f"http://{NAME}:{port}/x")
    assert caught.value.kind == "forbidden_address"


@pytest.mark.parametrize("inwards", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "0.0.0.0"])
def test_a_retry_that_resolves_inwards_is_refused(
    monkeypatch: pytest.MonkeyPatch, connects: list[tuple[str, int]], inwards: str
) -> None:
    asked = _resolver(monkeypatch, [PUBLIC], [inwards])
    assert _ended(_fetch(f"http://{NAME}:8080/x.jpg")) == "forbidden_address"
    assert len(asked) == 2
    assert connects == [(PUBLIC, 8080)]


def test_an_answer_that_mixes_inwards_with_public_is_refused_whole(
    monkeypatch: pytest.MonkeyPatch, connects: list[tuple[str, int]]
) -> None:
    _resolver(monkeypatch, [PUBLIC, "127.0.0.1"])
    assert _ended(_fetch(f"http://{NAME}/x.jpg")) == "forbidden_address"
    assert connects == []


@pytest.mark.usefixtures("stand_in_is_public")
def test_the_connection_goes_to_the_address_that_was_vetted_and_is_reused(
    monkeypatch: pytest.MonkeyPatch, connects: list[tuple[str, int]]
) -> None:
    async def run() -> None:
        async with _servers(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood") as (port, inside_saw, lines):
            asked = _resolver(monkeypatch, [STAND_IN], ["127.0.0.1"])
            async with Fetcher(LIMITS, "agent") as fetcher:
                for number in range(5):
                    assert await fetcher.fetch(f"http://{NAME}:{port}/{number}") == b"good"
            assert (len(asked), len(lines), inside_saw) == (1, 1, [])
            assert connects == [(STAND_IN, port)]

    asyncio.run(run())


@pytest.mark.usefixtures("stand_in_is_public")
def test_a_closed_connection_is_not_reopened_inwards(
    monkeypatch: pytest.MonkeyPatch, connects: list[tuple[str, int]]
) -> None:
    async def run() -> None:
        says = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ngood"
        async with _servers(says) as (port, inside_saw, _):
            _resolver(monkeypatch, [STAND_IN], ["127.0.0.1"])
            async with Fetcher(LIMITS, "agent") as fetcher:
                assert await fetcher.fetch(f"http://{NAME}:{port}/x") == b"good"
                await _is_refused(fetcher, port)
            assert inside_saw == []
            assert connects == [(STAND_IN, port)]

    asyncio.run(run())


@pytest.mark.usefixtures("stand_in_is_public")
def test_a_redirect_to_its_own_name_is_resolved_and_vetted_anew(
    monkeypatch: pytest.MonkeyPatch, connects: list[tuple[str, int]]
) -> None:
    async def run() -> None:
        says = b"HTTP/1.1 302 Go\r\nConnection: close\r\nLocation: /inside\r\nContent-Length: 0\r\n\r\n"
        async with _servers(says) as (port, inside_saw, _):
            _resolver(monkeypatch, [STAND_IN], ["127.0.0.1"])
            async with Fetcher(LIMITS, "agent") as fetcher:
                await _is_refused(fetcher, port)
            assert inside_saw == []
            assert connects == [(STAND_IN, port)]

    asyncio.run(run())
