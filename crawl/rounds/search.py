"""Queries become candidates: one part asks about a hundred queries of one source."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Annotated

import pyarrow as pa
from pydantic import Field

from crawl.catalogues.answers import forget_matches
from crawl.http.search_cache import Answers, forget_answers
from crawl.http.search_client import WebClient
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.rounds.rounds import Round, query_groups, read_round
from crawl.source import Found, Query, Source
from moodarchive.archive.takedown import ERASED_PROVENANCE, Identifiers, bound_by
from moodarchive.errors import ConfigError
from moodarchive.running.part_log import LOGGER, forget_logs
from moodarchive.running.stage import Readers, Resources, Stage
from moodarchive.settings import Settings, SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.forgetting import forget_rows, parts_holding
from moodarchive.tables.keys import canonical_json, digest, image_key
from moodarchive.tables.schemas import CANDIDATES, as_batch


class SearchSettings(Settings):
    """How searching is paced and how large a round may grow."""

    user_agent: Annotated[str, Field(min_length=8), SettingScope.EXECUTION] = "MoodArchive/0.1"
    """How every request names us: a name, and a contact that a site's operator can reach."""
    round_images: Annotated[int, Field(ge=1), SettingScope.GROWTH] = 200_000
    """Images after which a round of the sites closes; a catalogue gives all of its own to one round."""
    timeout_s: Annotated[float, Field(gt=0), SettingScope.EXECUTION] = 30.0
    """Seconds that one search request may take."""
    workers: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 1
    """Worker processes of the stage, on the whole cluster."""
    longest_wait_s: Annotated[float, Field(ge=0), SettingScope.EXECUTION] = 4000.0
    """How long a search waits for a quota before the run ends with what it has."""
    loopback_hosts: Annotated[dict[str, str], SettingScope.EXECUTION] = Field(default_factory=dict)
    """Host name → loopback address:port. The only way to a loopback address; for demos and tests."""


@dataclass(frozen=True)
class Searcher:
    """Asks the queries of a part; every image of every answer is a row."""

    sources: Mapping[str, Source]
    store: Store
    round_number: int
    web: WebClient

    @cached_property
    def _groups(self) -> dict[int, tuple[Query, ...]]:
        # read here and not carried: a round's queries may be megabytes, and every restart of a worker would carry them
        record = read_round(self.store, self.round_number)
        return dict(zip(record.candidates_parts, query_groups(record.queries), strict=True))

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        for query in self._groups[part]:
            source = self.sources[query.source]
            answer = list(source.search(query, self.web))
            images = [found for found in answer if source.settings.lets_in(found)]
            LOGGER.getChild("search").info("%s %r: %d images", query.source, query.phrase, len(images))
            if len(images) < len(answer):
                left_out = len(answer) - len(images)
                LOGGER.getChild("search").info(
                    "%d more under licences that %s.%s.licences does not name",
                    left_out,
                    source.settings.section,
                    query.source,
                )
            if images:
                yield as_batch(CANDIDATES, [self._row(query, found, i) for i, found in enumerate(images)])

    @cached_property
    def _bound(self) -> Identifiers:
        return bound_by(self.store)

    def _row(self, query: Query, found: Found, rank: int) -> dict[str, object]:
        key = image_key(query.source, found.source_id)
        description: dict[str, object] = dict(vars(found))
        if self._bound.binds(key, (found.url, found.landing_url), (found.creator, found.creator_url)):
            description |= dict.fromkeys(ERASED_PROVENANCE)
        return {
            "key": key,
            "source": query.source,
            **description,
            "emotion": query.emotion,
            "context": query.context,
            "phrase": query.phrase,
            "rank": rank,
            "round": self.round_number,
        }


def _identity(query: Query) -> dict[str, object]:
    """What makes an answer: who wrote the phrase does not; a site has no release."""
    unnamed = ("origin",) if query.release else ("origin", "release")
    return {name: value for name, value in asdict(query).items() if name not in unnamed}


def refuse_anonymous(user_agent: str) -> None:
    """ConfigError unless the User-Agent holds a mail address or a page through which its operator can be reached."""
    if not re.search(r"[\w.+-]+@[\w-]+\.[\w.]+|https?://[\w-]+\.\w", user_agent):
        raise ConfigError(
            f"search.user_agent = {user_agent!r} names nobody whom a site could reach; remedy: put a mail address or a "
            'page of yours into it, such as "MoodArchive/0.1 (+https://example.org/contact; crawl@example.org)"'
        )


def web_client(settings: SearchSettings, store: Store, rate_limits: RateLimitClient | None) -> WebClient:
    """Who asks the sites; with ``rate_limits``, paced and with a day's memory."""
    return WebClient(
        user_agent=settings.user_agent,
        timeout_s=settings.timeout_s,
        loopback_hosts=settings.loopback_hosts,
        rate_limits=rate_limits,
        answers=Answers(store) if rate_limits else None,
    )


def search_stage(
    settings: SearchSettings,
    sources: Mapping[str, Source],
    store: Store,
    record: Round,
    rate_limits: RateLimitClient | None = None,
) -> Stage:
    """The stage that fills the round's candidates parts; with ``rate_limits``, paced and remembered for a day."""
    web = web_client(settings, store, rate_limits)
    return Stage(
        name="search",
        reads=(),
        writes=CANDIDATES,
        make_worker=partial(Searcher, dict(sources), store, record.number, web),
        resources=Resources(cpus=0, min_workers=1, max_workers=settings.workers),
        settings=digest(canonical_json([_identity(query) for query in record.queries])),
    )


def forget(store: Store, keys: frozenset[str]) -> dict[str, str]:
    """Erases what candidates/ says of the keys, the logs of their parts, and every cached answer.

    Returns the sha256 of each part written anew, by ``table/NNNNN``; repeated after a kill, it ends the same.
    """
    forget_answers(store)
    forget_matches(store)
    forget_logs(store, "search", parts_holding(store, CANDIDATES, keys))
    return forget_rows(store, CANDIDATES, keys, ERASED_PROVENANCE)
