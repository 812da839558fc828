"""CLIP's byte-pair vocabulary, read from open_clip's file without loading a model or torch."""

import gzip
from importlib.util import find_spec
from pathlib import Path

from moodarchive.errors import MissingExtraError

_FILE = "bpe_simple_vocab_16e6.txt.gz"
_MERGES = 49152 - 256 - 2
"""The file lists more merges than CLIP's 49,408 entries hold: the 512 byte units and two marks take the rest."""


def merges() -> list[tuple[str, str]]:
    """Pairs of symbols that are joined, the one learnt first first."""
    package = find_spec("open_clip")
    if package is None or package.origin is None:
        raise MissingExtraError("open_clip", "clip")
    lines = gzip.decompress(Path(package.origin).with_name(_FILE).read_bytes()).decode().split("\n")
    pairs = [line.split() for line in lines[1 : _MERGES + 1]]  # the first line is the file's version
    return [(first, second) for first, second in pairs]


def byte_units() -> dict[int, str]:
    """Every byte as one visible character, as the vocabulary file writes it: itself, or one from 256 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


def symbols() -> list[str]:
    """All symbols but the two marks, in the order of their numbers: bytes, bytes that end a word, merges."""
    units = list(byte_units().values())
    return [*units, *(f"{unit}</w>" for unit in units), *(first + second for first, second in merges())]
