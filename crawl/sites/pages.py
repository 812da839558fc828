"""Asks a site page by page until a query has enough images, and reads records whose values may be odd."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from crawl.source import Found
from moodarchive.errors import ServiceError

LARGEST_SIZE = (1 << 31) - 1
_MOST_DIGITS, _LARGEST_WRITTEN = 15, 10**15


def ask_pages(
    results: int, deepest: int, page: Callable[[int], tuple[Sequence[Found | None], bool]]
) -> Iterator[Found]:
    """At most ``results`` images; ``page`` gives a page's images (None: unusable) and whether another one follows."""
    given = 0
    for number in range(1, deepest + 1):
        images, more = page(number)
        for image in images:
            if image is not None:
                given += 1
                yield image
            if given >= results:
                return
        if not more or not images:
            return


def records_of(url: str, reply: Any, name: str) -> list[dict[str, Any]]:
    """The records of the list called ``name``; what is none is left out. ServiceError for an answer of another form."""
    records = reply.get(name) if isinstance(reply, dict) else None
    kept = [record for record in records if isinstance(record, dict)] if isinstance(records, list) else []
    if not isinstance(records, list) or (records and not kept):
        raise ServiceError(f"{url} answered without a list of {name}")
    return kept


def as_whole(value: Any) -> int | None:
    """A number, also one written as text or with a point, as a whole number from 0; None for anything else."""
    if isinstance(value, str) and len(value) <= _MOST_DIGITS:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # not a number and infinity are no whole numbers
    return int(value) if value >= 0 and value == value // 1 else None


def as_pixels(value: Any) -> int | None:
    """A number of pixels that the tables can hold, or None for anything else."""
    whole = as_whole(value)
    return whole if whole is not None and 0 < whole <= LARGEST_SIZE else None


def as_text(value: Any) -> str | None:
    """A text that says something: numbers are written out, the texts of a list joined; None for anything else."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value) if abs(value) < _LARGEST_WRITTEN else None
    if isinstance(value, list):
        return ", ".join(text for text in map(as_text, value) if text) or None
    return None


def as_identifier(value: Any) -> str | None:
    """The name of a record, a text or a whole number; None for anything else."""
    if isinstance(value, str):
        return value.strip() or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def as_address(value: Any) -> str | None:
    """A web address, or None for anything else."""
    text = value.strip() if isinstance(value, str) else ""
    return text if text.lower().startswith(("http://", "https://")) else None


def as_flag(value: Any) -> bool:
    """Whether a flag is set, also one written as text or number; a word that is neither yes nor no sets it."""
    if isinstance(value, str):
        return value.strip().lower() not in ("", "false", "no", "n", "f", "0", "none", "null", "off")
    return bool(value) and value == value  # noqa: PLR0124  not a number is no flag


def as_record(value: Any) -> Mapping[str, Any]:
    """A record within a record; an empty one for anything else."""
    return value if isinstance(value, dict) else {}
