"""A number that names the keys of a batch in any order, added up over ranks."""

from collections.abc import Sequence

_HALF = 1 << 32


def key_halves(keys: Sequence[str]) -> tuple[int, int]:
    """The sum of hexadecimal keys in two halves, which the ranks can add up without overflow."""
    values = [int(key, 16) for key in keys]
    return sum(value % _HALF for value in values), sum(value // _HALF for value in values)


def fingerprint(low: int, high: int) -> int:
    """64 bits, of all ranks' halves added up."""
    return (low + high * _HALF) % (1 << 64)
