"""Writes a profile of printing inks, a table of 2^4 colours, as no library at hand does."""

import struct
from itertools import product


def write_cmyk_profile() -> bytes:
    """An output profile with an A2B0 table of eight bits (lut8Type) to Lab; magenta is a dull violet."""
    table = bytearray()
    for inks in product((0, 1), repeat=4):
        cyan, magenta, yellow, black = inks
        light = max(0, 100 - 40 * cyan - 55 * magenta - 5 * yellow - 90 * black)
        table += bytes(
            (round(light * 2.55), 128 - 30 * cyan + 40 * magenta, 128 - 40 * cyan - 50 * magenta + 70 * yellow)
        )
    identity = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut += identity * 4 + bytes(table) + identity * 3
    description = b"desc" + bytes(4) + struct.pack(">I", 5) + b"inks\0" + bytes(79)
    tags = {b"A2B0": lut, b"cprt": b"text" + bytes(4) + b"none\0", b"desc": description}
    tags[b"wtpt"] = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    begin = 132 + 12 * len(tags)
    index, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        index += name + struct.pack(">II", begin + len(body), len(padded))
        body += padded
    head = struct.pack(">I4sI4s4s4s", begin + len(body), bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    profile = head.ljust(128, b"\0") + index + body
    return profile
