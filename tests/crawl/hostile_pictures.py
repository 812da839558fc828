"""Files that are no picture, pretend to be another, or were made to cost memory or time; and what each must end in."""

import struct
import zlib
from collections.abc import Mapping

from tests.making import encoded, textured

_JPEG = encoded(textured(300, 200))
_PNG = encoded(textured(300, 200), "PNG")
_GIF = encoded(textured(300, 200), "GIF")
_WEBP = encoded(textured(300, 200), "WEBP")


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_header_of(width: int, height: int) -> bytes:
    """A small PNG that announces so many pixels, all of one colour: about a thousandth of them in bytes."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def scan_bomb() -> bytes:
    """A progressive JPEG whose last scan comes a thousand times."""
    whole = encoded(textured(2000, 1500), progressive=True)
    return whole[:-2] + whole[whole.rindex(b"\xff\xda") : -2] * 1000 + whole[-2:]


def _unpacking(name: bytes, before: bytes) -> bytes:
    """A PNG with a chunk of 200 MB behind 200 KB."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    return _PNG[:33] + png_chunk(name, before + packed) + _PNG[33:]


def _jpeg_of(width: int, height: int) -> bytes:
    at = _JPEG.index(b"\xff\xc0")
    return _JPEG[: at + 5] + struct.pack(">HH", height, width) + _JPEG[at + 9 :]


def _tiff(*tags: tuple[int, int, int], following: int = 0) -> bytes:
    entries = b"".join(struct.pack("<HHII", tag, 4, count, value) for tag, count, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", following)


HOSTILE_PICTURES: Mapping[str, tuple[bytes, str]] = {
    "/bomb.png": (png_header_of(30_000, 30_000), "too_many_pixels"),
    "/bomb.gif": (_GIF[:6] + struct.pack("<HH", 65535, 65535) + _GIF[10:], "too_many_pixels"),
    "/bomb.jpg": (_jpeg_of(65_500, 65_500), "too_many_pixels"),
    "/bomb.bmp": (
        b"BM" + bytes(8) + struct.pack("<IIiiHH", 54, 40, 99_999, 99_999, 1, 24) + bytes(24), "too_many_pixels"
    ),
    "/bomb.tif": (
        _tiff((256, 1, 90_000), (257, 1, 90_000), (258, 1, 8), (259, 1, 1), (262, 1, 1), (273, 1, 8), (279, 1, 9)),
        "too_many_pixels",
    ),
    "/bomb.webp": (b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\x00\xff\xff\x00" + bytes(8), "corrupt_image"),
    "/scan-bomb.jpg": (scan_bomb(), "too_many_scans"),
    "/loop.tif": (_tiff((256, 1, 0xFFFFFFFF), following=8), "not_an_image"),
    "/huge-tag.tif": (_tiff((256, 1, 300), (257, 1, 200), (700, 0xFFFFFFF0, 8)), "not_an_image"),
    "/lying-size.jpg": (_jpeg_of(3_000, 3_000), "truncated"),
    "/cut.png": (_PNG[:5000], "truncated"),
    "/cut.webp": (_WEBP[:3000], "corrupt_image"),
    "/cut.gif": (_GIF[:3000], "truncated"),
    "/zeros.jpg": (_JPEG[:2] + bytes(5000), "not_an_image"),
    "/web-page-first.jpg": (b"<html><!--" + _JPEG, "not_an_image"),
    "/drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///x"/></svg>', "not_an_image"),
    "/text.pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "not_an_image"),
    "/print.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 200 200\n", "not_an_image"),
    "/packed.zip": (b"PK\x03\x04" + bytes(30) + _JPEG, "not_an_image"),
    "/film.mp4": (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(2000), "not_an_image"),
    "/program": (b"\x7fELF\x02\x01\x01" + bytes(2000), "not_an_image"),
    "/icon.ico": (b"\0\0\1\0\1\0\0\0\0\0\1\0\x20\0\x04\0\0\0\x16\0\0\0" + bytes(64), "not_an_image"),
    "/strip.png": (encoded(textured(4000, 3), "PNG"), "too_small"),
    "/dot.gif": (encoded(textured(1, 1), "GIF"), "too_small"),
}  # fmt: skip
"""Path → (what is served as image/jpeg, the kind of error that the row must end in)."""

PADDED_PICTURES: Mapping[str, bytes] = {
    "/text-bomb.png": _unpacking(b"zTXt", b"k\0\0"),
    "/international-text-bomb.png": _unpacking(b"iTXt", b"k\0\1\0\0\0"),
    "/profile-bomb.png": _unpacking(b"iCCP", b"k\0\0"),
}
"""Path → a sound picture with something else in it that unpacks without measure; the picture is taken."""
