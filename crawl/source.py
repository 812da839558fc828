"""The one plug-in point: what a stock site's adapter must offer, and the terms under which it may be used."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, ClassVar, Protocol

from pydantic import Field, field_validator

from crawl.http.search_client import WebClient
from crawl.politeness.rate_limits import Limit, parse_limit
from moodarchive.archive.licences import find_licence, is_accepted, require_known_names
from moodarchive.errors import SourceLockedError
from moodarchive.settings import Settings, SettingScope


@dataclass(frozen=True, kw_only=True)
class Query:
    """A phrase of one cell, asked of one source, for at most ``results`` images.

    ``origin`` says who wrote the phrase; a query is the same whoever did.
    """

    source: str
    emotion: str
    context: str
    phrase: str
    results: int
    release: str = ""
    """Which state of a catalogue's files is asked: another one is another question. Empty for a site."""
    origin: str = field(default="lexicon", compare=False)


@dataclass(frozen=True, kw_only=True)
class Found:
    """One image as a site describes it; the fields are columns of candidates/ and mean the same there."""

    source_id: str
    url: str
    landing_url: str | None = None
    title: str | None = None
    alt_text: str | None = None
    creator: str | None = None
    creator_url: str | None = None
    licence: str | None = None
    licence_url: str | None = None
    width: int | None = None
    height: int | None = None
    mature: bool = False
    retrieved_on: str


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a site's terms allow, as read on a date (None: not read).

    ``ml_allowed`` and ``redistribute_allowed`` say what holds without a permission of the operator's own; a ``locked``
    source is used only when the settings record such a permission.
    """

    mode: str
    terms_url: str
    terms_reviewed_on: date | None
    ml_allowed: bool
    redistribute_allowed: bool
    says: str
    locked: bool = True


class SourceSettings(Settings):
    """What every stock site's settings hold; a site's own class changes the defaults."""

    section: ClassVar[str] = "sources"
    """Where in the settings the source's own section lies."""
    page_size: ClassVar[int] = 20
    key_variables: ClassVar[tuple[str, ...]] = ()
    needs_key: ClassVar[bool] = False

    enabled: Annotated[bool, SettingScope.GROWTH] = False
    """Whether the source is searched; a locked one needs a permission too."""
    permission: Annotated[str, SettingScope.GROWTH] = ""
    """Who allowed the use, when and for what; empty leaves a locked source locked."""
    redistribution: Annotated[bool, SettingScope.WHOLE_TABLE] = False
    """True when the recorded permission covers passing the images on, those of unknown licence too; never those that
    state NC or ND. Without it, what the terms or a row's licence do not let pass on goes into the private shards."""
    licences: Annotated[tuple[str, ...], SettingScope.GROWTH] = ()
    """Licences whose images may enter: ``cc0``, ``by``, ``by-sa 4.0``, ``unsplash``, ``unknown``, …; empty: all."""
    results_per_query: Annotated[int, Field(ge=1, le=2000), SettingScope.GROWTH] = 100
    """Images taken from each query's answer at the most."""
    limits: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ("1/s",)
    """How often the site may be asked, such as ``1/s`` and ``200/h``; all hold."""

    @field_validator("limits")
    @classmethod
    def _legal_limits(cls, limits: tuple[str, ...]) -> tuple[str, ...]:
        for text in limits:
            parse_limit(text)
        return limits

    @field_validator("licences")
    @classmethod
    def _known_licences(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return require_known_names(names)

    def parse_limits(self) -> tuple[Limit, ...]:
        """The limits, read."""
        return tuple(map(parse_limit, self.limits))

    def lets_in(self, found: Found) -> bool:
        """True when the image's licence is one of those that may enter."""
        return not self.licences or is_accepted(find_licence(found.licence, found.licence_url), self.licences)

    def requests_per_query(self) -> int:
        """Requests that a query answered in full takes."""
        return -(-self.results_per_query // self.page_size)


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

    @property
    def settings(self) -> SourceSettings:
        """How the site is asked."""
        ...

    def search(self, query: Query, web: WebClient) -> Iterator[Found]:
        """At most ``query.results`` images in the site's order; raises ServiceError when the site fails."""
        ...


def is_locked(source: Source) -> bool:
    """True when the terms forbid the use and no permission is recorded."""
    return source.policy.locked and not source.settings.permission.strip()


def is_permitted(source: Source) -> bool:
    """True when a permission is recorded, and covers passing the images on."""
    return source.settings.redistribution and bool(source.settings.permission.strip())


def is_private(source: Source) -> bool:
    """True when the site's terms let nobody pass the images on, whatever licence a row states."""
    return not (source.policy.redistribute_allowed or is_permitted(source))


def how_to_unlock(source: Source) -> str:
    """The term, the page, and the exact lines for the settings."""
    policy = source.policy
    read = f"read on {policy.terms_reviewed_on}" if policy.terms_reviewed_on else "not read yet"
    return (
        f"{source.name} is locked: {policy.says} ({policy.terms_url}, {read}); remedy: with a permission, add\n"
        f"    [{source.settings.section}.{source.name}]\n    enabled = true\n"
        '    permission = "who allowed it, when, and for what"'
    )


def refuse_locked(sources: list[Source]) -> None:
    """SourceLockedError that names every locked source; nothing has been requested by then."""
    if locked := [how_to_unlock(source) for source in sources if is_locked(source)]:
        raise SourceLockedError("\n".join(locked))
