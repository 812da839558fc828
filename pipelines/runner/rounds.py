"""Which rounds a run works on: those that the archive has, then new ones until every wanted query has been asked."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from crawl.catalogues.catalogue import Catalogue
from crawl.phrases.descriptors import gather_phrases, make_queries
from crawl.rounds.rounds import Round, open_round, read_rounds
from crawl.source import Query
from moodarchive.errors import ServiceError
from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from pipelines.runner.sources import affordable_queries, enabled_sources
from pipelines.settings import ArchiveSettings


def open_rounds(store: Store, settings: ArchiveSettings, console: Console) -> Iterator[Round]:
    """The archive's rounds, then new ones; a locked source is named before anything is asked of anybody."""
    enabled_sources(settings.sources)
    yield from read_rounds(store)
    wanted = wanted_queries(store, settings, console)
    results = max((query.results for query in wanted if not query.release), default=1)
    most = max(1, settings.search.round_images // results)
    while rest := _askable_queries(store, settings, wanted, rounds := read_rounds(store), console):
        record = open_round(store, rounds, rest, settings.of_kind(SettingScope.GROWTH), most)
        if record is None:
            return
        yield record


def require_lists(settings: ArchiveSettings) -> None:
    """ConfigError names a locked source, or a list of an enabled catalogue that is not there."""
    for source in enabled_sources(settings.sources):
        if isinstance(source, Catalogue):
            _ = source.files  # looking for them is what raises


def wanted_queries(store: Store, settings: ArchiveSettings, console: Console) -> list[Query]:
    """Every phrase, asked of every enabled source; phrases that a model is to write are written now."""
    descriptors = settings.descriptors
    phrases = gather_phrases(store, descriptors)
    if descriptors.writer.model:
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in sorted(phrases.dropped.items())) or "nothing"
        short = len(phrases.short(descriptors.phrases_per_cell))
        console.print(
            f"descriptors: {phrases.written:,} phrases by {descriptors.writer.model} ({phrases.answers_asked:,} "
            f"answers asked for now; dropped: {dropped}); {short} of {len(phrases.phrases)} cells have fewer than "
            f"{descriptors.phrases_per_cell:,}",
            highlight=False,
            soft_wrap=True,
        )
    return [
        query
        for source in enabled_sources(settings.sources)
        for query in make_queries(
            phrases.phrases,
            source.name,
            source.settings.results_per_query,
            source.release if isinstance(source, Catalogue) else "",
        )
    ]


def _askable_queries(
    store: Store, settings: ArchiveSettings, wanted: list[Query], rounds: Sequence[Round], console: Console
) -> list[Query]:
    """What no round has asked and the quotas allow today. ServiceError when they allow nothing of a first round."""
    asked = {query for earlier in rounds for query in earlier.queries}
    rest = affordable_queries(store, settings.sources, wanted, asked)
    if not rest and any(query not in asked for query in wanted):
        if not rounds:
            raise ServiceError("the sources' quotas are spent; remedy: run again tomorrow, see moodarchive sources")
        console.print("the quotas of today are spent; run again tomorrow for the next round")
    return rest
