"""The bytes and answers of planted faults."""

import asyncio
import io
import struct
import zlib
from functools import cache

from aiohttp import web
from PIL import Image

BOMB_SIDE = 30_000


def jpeg(image: Image.Image, quality: int = 92) -> bytes:
    """The picture as a JPEG."""
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=quality)
    return sink.getvalue()


def corrupt(picture: bytes) -> bytes:
    """A JPEG whose headers promise a picture and whose tables are gone: no decoder can go on."""
    start_of_frame = picture.index(b"\xff\xc0")
    return picture[: start_of_frame + 4] + b"\x00" * 64 + picture[start_of_frame + 68 :]


def truncate(picture: bytes) -> bytes:
    """The first two fifths of a JPEG."""
    return picture[: len(picture) * 2 // 5]


def reencode(picture: bytes) -> bytes:
    """The same picture, a little smaller and stronger compressed: other bytes, the same look."""
    with Image.open(io.BytesIO(picture)) as image:
        return jpeg(image.resize((image.width * 9 // 10, image.height * 9 // 10)), quality=80)


@cache
def bomb() -> bytes:
    """A PNG of 30,000 x 30,000 black pixels in about 110 kB."""
    packer = zlib.compressobj(9)
    row = bytes(1 + BOMB_SIDE // 8)
    data = b"".join(packer.compress(row) for _ in range(BOMB_SIDE)) + packer.flush()
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


async def send_endlessly(request: web.Request) -> web.StreamResponse:
    """A picture that never ends: one byte at a time, until the client leaves."""
    answer = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
    await answer.prepare(request)
    while True:
        try:
            await answer.write(b"\xff")
            await asyncio.sleep(0.2)
        except (ConnectionError, asyncio.CancelledError):
            return answer
