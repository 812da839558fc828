"""Matches the catalogues of a round with its phrases, before the search reads their answers."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from rich.console import Console

from crawl.catalogues.catalogue import Catalogue, require_same_release
from crawl.catalogues.coverage import Coverage, read_coverage
from crawl.catalogues.matching import match_catalogue
from crawl.rounds.rounds import Round, query_groups
from crawl.source import Source
from moodarchive.storage.store import Store
from pipelines.runner.cluster import Cluster
from pipelines.runner.distribution import over_ray
from pipelines.runner.progress import Progress


def match_catalogues(
    store: Store,
    record: Round,
    *,
    sources: Mapping[str, Source],
    pending: Collection[int],
    cluster: Cluster,
    progress: Progress,
) -> dict[str, Source]:
    """The round's sources, each catalogue with its answers at hand; of a catalogue without pending parts none are made.

    ConfigError when a catalogue's files are no longer those that the round was opened with.
    """
    groups = dict(zip(record.candidates_parts, query_groups(record.queries), strict=True))
    waiting = {groups[part][0].source for part in pending}
    ready = dict(sources)
    for name, source in sources.items():
        if not isinstance(source, Catalogue) or name not in waiting:
            continue
        queries = [query for query in record.queries if query.source == name]
        require_same_release(source, queries[0])
        with progress.step(f"match {name}"):
            folder = match_catalogue(store, source, queries, over_ray(cluster))
        ready[name] = replace(source, answers=(store, folder))
        for coverage in read_coverage(store, name):
            if coverage.release == source.release:
                show_coverage(coverage, progress.console)
    return ready


def show_coverage(coverage: Coverage, console: Console) -> None:
    """A few lines: rows, what was left out and why, phrases that found nothing."""
    for line in coverage.summary():
        console.print(line, highlight=False, markup=False, soft_wrap=True)
