"""The one plug-in point: what a stock site's adapter must offer."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from crawl.query import Found, Query
from crawl.web import WebClient


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a site's terms allow, as read on a date.

    ``ml_allowed`` and ``redistribute_allowed`` say what holds without a permission of the operator's own.
    """

    mode: str
    terms_url: str
    terms_reviewed_on: date
    ml_allowed: bool
    redistribute_allowed: bool
    says: str


class Source(Protocol):
    """A stock site: how it is asked, and under which terms."""

    @property
    def name(self) -> str:
        """The site's name in settings and tables."""
        ...

    @property
    def policy(self) -> Policy:
        """The terms that hold."""
        ...

    def search(self, query: Query, web: WebClient) -> Iterator[Found]:
        """At most ``query.results`` images in the site's order; raises ServiceError when the site fails."""
        ...
