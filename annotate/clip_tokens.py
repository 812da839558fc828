"""Counts the tokens of CLIP's vocabulary, without loading a model or torch."""

import gzip
from collections.abc import Callable
from functools import lru_cache
from html import unescape
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from moodarchive.errors import MissingExtraError

_VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
_MERGES = 49152 - 256 - 2
"""The file lists more merges than CLIP's 49,408 entries hold: the 512 byte units and two marks take the rest."""
_PIECES = r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"


def token_counter() -> Callable[[str], int]:
    """A function from a text to its number of CLIP tokens, the start and end marks not counted.

    It follows open_clip's tokenizer, whose vocabulary file it reads; importing open_clip itself would load torch and
    torchvision into every worker that only counts. Source: byte-pair encoding, Sennrich et al. 2016.
    """
    try:
        import ftfy
        import regex  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError(error.name or "ftfy", "clip") from error
    ranks = _merge_ranks()
    units = _byte_units()
    pieces = regex.compile(_PIECES, regex.IGNORECASE)

    @lru_cache(maxsize=65536)
    def of_word(word: str) -> int:
        if word in ("<start_of_text>", "<end_of_text>"):
            return 1
        symbols = [units[byte] for byte in word.encode()]
        symbols[-1] += "</w>"
        return _merged_length(symbols, ranks)

    def count(text: str) -> int:
        clean = " ".join(unescape(unescape(ftfy.fix_text(text))).split()).lower()
        return sum(of_word(word) for word in pieces.findall(clean))

    return count


def _merged_length(symbols: list[str], ranks: dict[tuple[str, str], int]) -> int:
    """How many symbols are left when no known pair remains; the pair learnt first is merged first."""
    unknown = len(ranks)
    while len(symbols) > 1:
        rank, at = min((ranks.get(pair, unknown), i) for i, pair in enumerate(pairwise(symbols)))
        if rank == unknown:
            break
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
    return len(symbols)


def _merge_ranks() -> dict[tuple[str, str], int]:
    found = find_spec("open_clip")
    if found is None or found.origin is None:
        raise MissingExtraError("open_clip", "clip")
    lines = gzip.decompress(Path(found.origin).with_name(_VOCABULARY).read_bytes()).decode().split("\n")
    pairs = [line.split() for line in lines[1 : _MERGES + 1]]  # the first line is the file's version
    return {(first, second): rank for rank, (first, second) in enumerate(pairs)}


def _byte_units() -> dict[int, str]:
    """Every byte as one visible character, as the vocabulary file writes it: itself, or one from 256 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}
