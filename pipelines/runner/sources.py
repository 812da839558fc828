"""Every source there is, made from the settings and the keys at hand."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace

from crawl.catalogues.catalogue import Catalogue
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import parse_limit, quota_left
from crawl.rounds.search import web_client
from crawl.rounds.usage_reports import report_uses
from crawl.sites.html_sites import make_html_site
from crawl.sites.keys import keys_of, load_env_file
from crawl.sites.openverse import Openverse
from crawl.sites.pexels import Pexels
from crawl.sites.pixabay import Pixabay
from crawl.sites.stocksnap import Stocksnap
from crawl.sites.unsplash import Unsplash
from crawl.sites.unsplash_dataset import UnsplashDataset
from crawl.sites.urls import Urls
from crawl.source import Query, Source, is_locked, is_permitted, is_private, refuse_locked
from moodarchive.errors import ConfigError
from moodarchive.storage.store import Store
from pipelines.settings import ArchiveSettings, SourcesSettings
from shards.pack import ShardSettings

DAY_S = 86_400.0
_LONGEST_WAIT_FOR_REPORTS_S = 60.0


def all_sources(chosen: SourcesSettings) -> tuple[Source, ...]:
    """Enabled or not; keys come from the environment or .env."""
    load_env_file()
    return (
        Openverse(chosen.openverse, keys_of(chosen.openverse.key_variables)),
        Unsplash(chosen.unsplash, keys_of(chosen.unsplash.key_variables)),
        UnsplashDataset(chosen.unsplash_dataset),
        Pexels(chosen.pexels, keys_of(chosen.pexels.key_variables)),
        Pixabay(chosen.pixabay, keys_of(chosen.pixabay.key_variables)),
        make_html_site("envato", chosen.envato),
        make_html_site("burst", chosen.burst),
        Stocksnap(chosen.stocksnap),
        make_html_site("foodiesfeed", chosen.foodiesfeed),
        make_html_site("freenaturestock", chosen.freenaturestock),
        Urls(chosen.urls),
        *make_catalogues(chosen).values(),
    )


def make_catalogues(chosen: SourcesSettings) -> dict[str, Catalogue]:
    """The catalogues by their names, enabled or not."""
    return {name: Catalogue(name, chosen.catalogues[name]) for name in sorted(chosen.catalogues)}


def enabled_sources(chosen: SourcesSettings) -> tuple[Source, ...]:
    """The sources to search. SourceLockedError names every enabled one whose terms stand against it."""
    enabled = [source for source in all_sources(chosen) if source.settings.enabled]
    if not enabled:
        raise ConfigError("no source is enabled; remedy: set sources.openverse.enabled = true")
    refuse_locked(enabled)
    for source in enabled:
        missing = missing_keys(source)
        if missing and source.settings.needs_key:
            raise ConfigError(f"{source.name} needs a key; remedy: set {missing[0]} in the environment or in .env")
    return tuple(enabled)


def missing_keys(source: Source) -> list[str]:
    """The variables of the source's keys that are not set."""
    present = keys_of(source.settings.key_variables)
    return [name for name in source.settings.key_variables if name not in present]


def private_names(chosen: SourcesSettings) -> tuple[str, ...]:
    """Sources whose images go into the private shards, enabled or not: a later one must not change earlier shards."""
    return tuple(sorted(source.name for source in all_sources(chosen) if is_private(source)))


def permitted_names(chosen: SourcesSettings) -> tuple[str, ...]:
    """Sources whose recorded permission covers passing on what states no clear licence, enabled or not."""
    return tuple(sorted(source.name for source in all_sources(chosen) if is_permitted(source)))


def locked_names(chosen: SourcesSettings) -> list[str]:
    """Sources that a permission would unlock."""
    return [source.name for source in all_sources(chosen) if is_locked(source)]


def affordable_queries(store: Store, chosen: SourcesSettings, queries: list[Query], asked: set[Query]) -> list[Query]:
    """The queries that the sources' quotas can answer within a day, so that a round closes when they are spent."""
    askable: list[Query] = []
    for source in enabled_sources(chosen):
        most = requests_left(store, source) / max(1, source.settings.requests_per_query())
        fresh = [query for query in queries if query.source == source.name and query not in asked]
        askable += fresh if math.isinf(most) else fresh[: int(most)]
    kept = set(askable)
    return [query for query in queries if query in kept]


def requests_left(store: Store, source: Source) -> float:
    """Requests that the source takes within a day from now; infinite when nothing limits them."""
    now, left = time.time(), math.inf
    for limit in source.settings.parse_limits():
        if limit.per_s >= DAY_S:
            left = min(left, quota_left(store, source.name, limit, now))
        else:
            left = min(left, limit.requests * DAY_S / limit.per_s)
    return left


def host_limits(settings: ArchiveSettings) -> dict[str, str]:
    """Hosts that consent to a pace of their own: those of the enabled catalogues' presets, then the settings'."""
    catalogues = make_catalogues(settings.sources).values()
    offered = {host: limit for one in catalogues if one.settings.enabled for host, limit in one.preset.hosts.items()}
    return offered | settings.download.host_limits


def make_rate_limits(store: Store, settings: ArchiveSettings) -> RateLimitClient:
    """The pace at which this archive may be crawled."""
    sources = all_sources(settings.sources)
    return RateLimitClient(
        store=store,
        host_limit=parse_limit(settings.download.host_limit),
        source_limits={source.name: source.settings.parse_limits() for source in sources},
        longest_wait_s=settings.search.longest_wait_s,
        host_limits={host: parse_limit(text) for host, text in host_limits(settings).items()},
    )


def shard_settings(settings: ArchiveSettings) -> ShardSettings:
    """The shards' settings with the sources whose images may not be passed on, and those that a permission covers.

    ConfigError when the settings name a permitted source for which no permission is recorded.
    """
    names, permitted = (
        {*settings.shards.private_sources, *private_names(settings.sources)},
        permitted_names(settings.sources),
    )
    for name in settings.shards.permitted_sources:
        if name not in permitted:
            raise ConfigError(
                f"shards.permitted_sources names {name!r}, for which no permission is recorded; remedy: set permission "
                "and redistribution = true in that source's own section"
            )
    return settings.shards.model_copy(update={"private_sources": tuple(sorted(names)), "permitted_sources": permitted})


def report_image_uses(store: Store, settings: ArchiveSettings, parts: Sequence[int]) -> str:
    """Tells the sources that want to know which images are used; says what is left for the next run, if anything."""
    # hours of waiting for a quota are no reason not to seal
    rate_limits = replace(make_rate_limits(store, settings), longest_wait_s=_LONGEST_WAIT_FOR_REPORTS_S)
    web = web_client(settings.search, store, rate_limits)
    left = report_uses(store, parts, enabled_sources(settings.sources), web)
    return f"{left}; run again for them" if left else ""
