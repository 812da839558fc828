"""Writes report/index.html: one page, without anything from outside, by which a person can judge an archive."""

from dataclasses import dataclass

from annotate.part_facts import Costs, sum_costs
from crawl.catalogues.coverage import Coverage as CatalogueCoverage
from crawl.catalogues.coverage import read_coverage
from moodarchive.storage.store import Store
from pipelines.inspect.report.change import SealChange, last_change
from pipelines.inspect.report.extra import Extra, read_extra
from pipelines.inspect.report.facts import Facts, facts_of, manifest_digest
from pipelines.inspect.report.flow import Flow, trace
from pipelines.inspect.report.gallery import CutGroup, Sample, cut_groups, kept_samples, withhold_private
from pipelines.inspect.report.recorded_settings import Recorded, recorded_settings
from pipelines.inspect.report.rendering import render_page
from pipelines.inspect.report.scores import Histogram, histogram
from pipelines.inspect.report.spread import Basis, HeatMap, Origins, basis_of, heat_map, origins
from pipelines.inspect.report.tables import Coverage, open_tables

REPORT_PATH = "report/index.html"
_STYLES = ("style.css", "charts.css", "gallery.css", "cut.css")


@dataclass(frozen=True, kw_only=True)
class Page:
    """Everything that the page shows."""

    facts: Facts
    extra: Extra
    flow: Flow
    histogram: Histogram | None
    recorded: Recorded
    basis: Basis
    heat: HeatMap
    origins: Origins
    kept: tuple[Sample, ...]
    cut: tuple[CutGroup, ...]
    change: SealChange | None
    coverage: tuple[Coverage, ...]
    costs: Costs | None
    catalogues: tuple[CatalogueCoverage, ...]


def write_report(store: Store) -> str:
    """Writes the page from whatever the root holds by now; returns its path under the root."""
    store.write_bytes(REPORT_PATH, render_page("page.html.jinja", _STYLES, page=_page(store)).encode())
    return REPORT_PATH


def _page(store: Store) -> Page:
    digest = manifest_digest(store)
    recorded = recorded_settings(store)
    with open_tables(store) as tables:
        flow = trace(tables, sealed=digest is not None)
        basis = basis_of(tables)
        withhold_private(tables, recorded.shards)
        return Page(
            facts=facts_of(tables, flow, basis, digest),
            extra=read_extra(store),
            flow=flow,
            histogram=histogram(tables),
            recorded=recorded,
            basis=basis,
            heat=heat_map(tables, basis),
            origins=origins(tables, basis),
            kept=kept_samples(tables),
            cut=cut_groups(tables),
            change=last_change(store),
            coverage=tables.coverage,
            costs=sum_costs(tables.caption_parts),
            catalogues=tuple(read_coverage(store)),
        )


def forget(store: Store) -> None:
    """Removes every page: each shows pictures and names creators."""
    for path in store.files("report"):
        if path.endswith(".html"):
            store.remove(path)
