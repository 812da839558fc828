"""Reads a PNG's chunks: what it says about its colours, and a copy without texts that unpack without measure."""

import contextlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moodarchive.images.icc import Chromaticities

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_TEXT_BYTES = 1 << 20
"""Of one text, unpacked; a longer one is left out."""
MOST_TEXTS_BYTES = 4 << 20
"""Of all texts; those after it are left out."""
MOST_CHUNKS = 200_000
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")


@dataclass(frozen=True, kw_only=True)
class PngColour:
    """What the chunks before the pixels say; None for what they do not say or say illegibly."""

    cicp: tuple[int, int] | None = None
    profile: bytes | None = None
    is_srgb: bool = False
    gamma: float | None = None
    chromaticities: Chromaticities | None = None


def read_png(served: bytes, most_profile_bytes: int) -> tuple[bytes, PngColour]:
    """The file without what it says about its colours and without long texts, and what it says about its colours.

    The decoder would refuse the whole picture for a text of more than a megabyte. A file whose chunks cannot be
    followed is handed on as it is, for the decoder to judge.
    """
    pieces, texts, pixels_begun = [SIGNATURE], 0, False
    colour: dict[str, Any] = {}
    for number, (name, begin, end) in enumerate(_chunks(served)):
        if number > MOST_CHUNKS:
            return served, PngColour()
        content = served[begin + 8 : end - 4] if name in _HEEDED else b""
        pixels_begun = pixels_begun or name == b"IDAT"
        if name in _TEXTS:
            size = _text_bytes(name, content)
            texts += size
            if size > MOST_TEXT_BYTES or texts > MOST_TEXTS_BYTES:
                continue
        if name == b"iCCP":
            if not pixels_begun:
                colour.setdefault("profile", _profile(content, most_profile_bytes))
            continue
        if name in _READERS:
            field, read = _READERS[name]
            with contextlib.suppress(struct.error, IndexError):  # says nothing legible
                if not pixels_begun:
                    colour.setdefault(field, read(content))
            continue
        pieces.append(served[begin:end])
    return b"".join(pieces), PngColour(**colour)


def _chunks(served: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, begin, end) of each chunk with its length and checksum; the last one may be whatever is left."""
    at = len(SIGNATURE)
    while at < len(served):
        end = at + 12 + int.from_bytes(served[at : at + 4], "big")
        name = served[at + 4 : at + 8]
        yield name, at, min(end, len(served))
        at = end if name != b"IEND" else len(served)


def _text_bytes(name: bytes, content: bytes) -> int:
    """How many bytes the text unpacks to; MOST_TEXT_BYTES + 1 for any more."""
    _, _, rest = content.partition(b"\0")
    if name == b"zTXt":
        return _unpacked(rest[1:])
    if name == b"iTXt" and rest[:1] == b"\1":
        parts = rest[2:].split(b"\0", 2)
        return _unpacked(parts[2]) if len(parts) == 3 else 0
    return len(content)


def _unpacked(packed: bytes) -> int:
    try:
        return len(zlib.decompressobj().decompress(packed, MOST_TEXT_BYTES + 1))
    except zlib.error:
        return 0


def _profile(content: bytes, most: int) -> bytes | None:
    _, _, rest = content.partition(b"\0")
    try:
        profile = zlib.decompressobj().decompress(rest[1:], most + 1) if rest[:1] == b"\0" else b""
    except zlib.error:
        return None
    return profile if 0 < len(profile) <= most else None


def _read_cicp(content: bytes) -> tuple[int, int]:
    return content[0], content[1]


def _read_chromaticities(content: bytes) -> Chromaticities:
    white_x, white_y, *rest = (value / 100_000 for value in struct.unpack(">8I", content[:32]))
    red_x, red_y, green_x, green_y, blue_x, blue_y = rest
    return white_x, white_y, red_x, red_y, green_x, green_y, blue_x, blue_y


_READERS = {
    b"cICP": ("cicp", _read_cicp),
    b"sRGB": ("is_srgb", lambda content: content[0] <= 3),
    b"gAMA": ("gamma", lambda content: struct.unpack(">I", content[:4])[0] / 100_000),
    b"cHRM": ("chromaticities", _read_chromaticities),
}
_HEEDED = {*_TEXTS, *_READERS, b"iCCP"}
