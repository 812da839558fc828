"""Writes plain TIFFs of any sample, byte order and sense, which no library at hand does."""

import struct
import zlib
from typing import Any

import numpy.typing as npt

_FORMATS = {"u": 1, "i": 2, "f": 3}


def write_tiff(samples: npt.NDArray[Any], *, big_endian: bool, photometric: int = 1, deflate: bool = False) -> bytes:
    """[height, width] or [height, width, channels] in one strip, with TIFF 6.0's tags and no others."""
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    order = ">" if big_endian else "<"
    strip = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    strip = zlib.compress(strip) if deflate else strip
    bits = 8 * samples.dtype.itemsize
    shorts = [
        (256, [width]), (257, [height]), (258, [bits] * channels), (259, [8 if deflate else 1]), (262, [photometric]),
        (273, [8]), (277, [channels]), (278, [height]), (279, [len(strip)]),
        (339, [_FORMATS[samples.dtype.kind]] * channels),
    ]  # fmt: skip
    begin = 8 + len(strip) + len(strip) % 2
    entries, extra, extra_at = b"", b"", begin + 2 + 12 * len(shorts) + 4
    for tag, values in shorts:
        kind = "I" if tag in (273, 279) else "H"
        content = struct.pack(f"{order}{len(values)}{kind}", *values)
        if len(content) > 4:
            extra, content = extra + content, struct.pack(order + "I", extra_at + len(extra))
        entries += struct.pack(order + "HHI", tag, 4 if kind == "I" else 3, len(values)) + content.ljust(4, b"\0")
    head = (b"MM" if big_endian else b"II") + struct.pack(order + "HI", 42, begin)
    index = struct.pack(order + "H", len(shorts)) + entries + bytes(4)
    return head + strip + bytes(len(strip) % 2) + index + extra
