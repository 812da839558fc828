"""Counts the tokens of CLIP's vocabulary, without loading a model or torch."""

from collections.abc import Callable
from functools import lru_cache
from html import unescape
from itertools import pairwise

from moodarchive.errors import MissingExtraError
from moodarchive.models.clip_vocabulary import byte_units, merges

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
    ranks = {pair: rank for rank, pair in enumerate(merges())}
    units = byte_units()
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
