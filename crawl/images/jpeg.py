"""Reads a JPEG's segments, and copies the picture without what does not belong to it; no pixel is decoded here."""

import re
from collections.abc import Iterator

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
MOST_SCANS = 100
"""An encoder writes about ten; each costs a pass over the whole picture, in a file of a few bytes a scan."""
_BASELINE, _PROGRESSIVE, _SOS = 0xC0, 0xC2, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TABLES = (0xC4, 0xDB, 0xDD)  # Huffman, quantisation, restart interval
_ADOBE, _COMMENT = 0xEE, 0xFE
_MOST_TABLE_BYTES = 4096  # real tables take about 1,000; what is replaced before it is used could hide anything
_JFIF = bytes.fromhex("ffe000104a46494600010100000100010000")
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")


def has_too_many_scans(served: bytes) -> bool:
    """True for more than MOST_SCANS scans; a file that cannot be read to its end counts those met before."""
    if served.count(b"\xff\xda") <= MOST_SCANS:  # a thumbnail or a profile may hold these bytes too: only then look
        return False
    scans = 0
    try:
        for marker, _, _ in _segments(served):
            scans += marker == _SOS
    except ValueError:
        pass
    return scans > MOST_SCANS


def copy_plain(served: bytes) -> bytes | None:
    """The same coefficients, bit for bit, with tables and scans only; None when the file is not plain enough.

    Plain is one frame, baseline or progressive, 8 bits, three components in YCbCr. Metadata, comments, profiles,
    thumbnails, further pictures and every byte after the end are left out.
    """
    chunks, frames, tables, adobe = [SOI, _JFIF], [], 0, None
    jfif = False
    try:
        for marker, begin, end in _segments(served):
            body = served[begin + 2 : end]
            if marker in _FRAMES:
                frames.append((marker, body))
            elif marker in _TABLES:
                tables += len(body)
            elif marker == _ADOBE and body.startswith(b"Adobe") and len(body) >= 12:
                adobe = body[11]
            elif marker == 0xE0 and body.startswith(b"JFIF\0"):
                jfif = True
            elif marker != _SOS and not (0xE0 <= marker <= 0xEF or marker == _COMMENT):
                return None
            if marker in _FRAMES or marker in _TABLES or marker == _SOS:
                chunks.append(b"\xff%c" % marker + served[begin:end])
    except ValueError:
        return None
    if len(frames) != 1 or tables > _MOST_TABLE_BYTES or not _is_plain(*frames[0], jfif=jfif, adobe=adobe):
        return None
    return b"".join([*chunks, EOI])


def _is_plain(marker: int, frame: bytes, *, jfif: bool, adobe: int | None) -> bool:
    if marker not in (_BASELINE, _PROGRESSIVE) or len(frame) != 15 or frame[0] != 8 or frame[5] != 3:
        return False
    if adobe is not None:
        return adobe == 1
    return jfif or bytes(frame[6::3]) != b"RGB"  # without a word on colours, decoders go by the components' names


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, begin of its length, end) up to the end of the picture; a scan's data belong to it. ValueError."""
    at = len(SOI)
    while True:
        match = _MARKER.match(data, at)
        if match is None:
            raise ValueError(f"no marker at byte {at}")
        if match[0].endswith(EOI):
            return
        begin = match.end()
        end = begin + int.from_bytes(data[begin : begin + 2], "big")
        if not begin + 2 <= end <= len(data):
            raise ValueError(f"a segment at byte {begin} has no legal length")
        if match[1][0] == _SOS:
            after = _MARKER.search(data, end)
            if after is None:
                raise ValueError("the picture has no end")
            end = after.start()
        yield match[1][0], begin, end
        at = end
