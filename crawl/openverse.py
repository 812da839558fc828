"""Openverse: openly licensed images of many collections, through its search API."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from pydantic import Field, field_validator

from crawl.query import Found, Query
from crawl.source import Policy
from crawl.web import WebClient
from moodarchive.errors import ServiceError
from moodarchive.settings import Kind, Settings

LICENCES = ("cc0", "pdm", "by", "by-sa", "by-nc", "by-nd", "by-nc-sa", "by-nc-nd")
ANONYMOUS_PAGE = 20
DEEPEST_PAGE = 20


POLICY = Policy(
    mode="api",
    terms_url="https://docs.openverse.org/terms_of_service.html",
    terms_reviewed_on=date(2026, 11, 1),
    ml_allowed=True,
    redistribute_allowed=True,
    says="API only; no evading of limits with several machines; each image under its own licence",
)


class OpenverseSettings(Settings):
    """How Openverse is asked."""

    enabled: Annotated[bool, Kind.GROWTH] = True
    base_url: Annotated[str, Field(pattern="^https?://"), Kind.GROWTH] = "https://api.openverse.org/v1"
    licences: Annotated[tuple[str, ...], Kind.GROWTH] = ("cc0", "pdm", "by", "by-sa")
    results_per_query: Annotated[int, Field(ge=1, le=ANONYMOUS_PAGE * DEEPEST_PAGE), Kind.GROWTH] = 100

    @field_validator("licences")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in LICENCES:
                raise ValueError(f"{name!r} is no licence of Openverse; legal: {', '.join(LICENCES)}")
        return names


@dataclass(frozen=True)
class Openverse:
    """The adapter."""

    settings: OpenverseSettings
    name: str = "openverse"
    policy: Policy = POLICY

    def search(self, query: Query, web: WebClient) -> Iterator[Found]:
        """Pages of 20, as anonymous use allows, until enough images or the last page."""
        url = f"{self.settings.base_url}/images/"
        given = 0
        for page in range(1, DEEPEST_PAGE + 1):
            reply = web.get_json(url, self._parameters(query, page))
            records, pages = _page(url, reply.json)
            for record in records:
                if found := _found(record, reply.day):
                    given += 1
                    yield found
                if given >= query.results:
                    return
            if page >= pages:
                return

    def _parameters(self, query: Query, page: int) -> dict[str, str | int]:
        return {
            "q": query.phrase,
            "license": ",".join(self.settings.licences),
            "page": page,
            "page_size": ANONYMOUS_PAGE,
        }


def _page(url: str, reply: Any) -> tuple[list[dict[str, Any]], int]:
    """The records of one page, and how many pages there are; ServiceError for an answer of another form."""
    records = reply.get("results") if isinstance(reply, dict) else None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ServiceError(f"{url} answered without a list of results")
    pages = reply.get("page_count")
    if not isinstance(pages, int):
        raise ServiceError(f"{url} answered without page_count, a number")
    return records, pages


def _found(record: Mapping[str, Any], day: str) -> Found | None:
    """None for a record without an identifier or an address, which could never be fetched or credited."""
    if not record.get("id") or not record.get("url"):
        return None
    tags = [tag["name"] for tag in record.get("tags") or [] if tag.get("name")]
    return Found(
        source_id=str(record["id"]),
        url=str(record["url"]),
        landing_url=record.get("foreign_landing_url"),
        title=record.get("title"),
        alt_text=", ".join(tags) or record.get("title"),
        creator=record.get("creator"),
        creator_url=record.get("creator_url"),
        licence=" ".join(filter(None, (record.get("license"), record.get("license_version")))) or None,
        licence_url=record.get("license_url"),
        width=record.get("width"),
        height=record.get("height"),
        mature=bool(record.get("mature")),
        retrieved_on=day,
    )
