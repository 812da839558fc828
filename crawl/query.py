"""One question to one stock site, and one image of its answer."""

from dataclasses import dataclass, field


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
