"""Asks a site page by page until a query has enough images or the pages end."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from crawl.source import Found
from moodarchive.errors import ServiceError


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
    """The list of records called ``name``; ServiceError for an answer of another form."""
    records = reply.get(name) if isinstance(reply, dict) else None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ServiceError(f"{url} answered without a list of {name}")
    return records


def whole(value: Any) -> int | None:
    """A number of pixels, or None for anything else."""
    return value if isinstance(value, int) and 0 < value < 1 << 31 else None


def text(value: Any) -> str | None:
    """A text that says something, or None."""
    return value.strip() or None if isinstance(value, str) else None
