"""Writes report/index.html: one page, without anything from outside, by which a person can judge an archive."""

from collections.abc import Callable
from dataclasses import dataclass

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from annotate.part_facts import Costs, costs_of
from moodarchive.store import Store
from moodarchive.taxonomy import words
from pipelines.report.extra import Extra, read_extra
from pipelines.report.facts import Facts, facts_of, manifest_digest
from pipelines.report.flow import Flow, trace
from pipelines.report.gallery import Sample, cut_samples, kept_samples
from pipelines.report.names import kind_name, set_name
from pipelines.report.package_text import package_loader, package_text
from pipelines.report.recorded_settings import Recorded, recorded_settings
from pipelines.report.scores import Histogram, histogram
from pipelines.report.spread import Basis, HeatMap, Origins, basis_of, heat_map, origins
from pipelines.report.tables import Coverage, opened

REPORT_PATH = "report/index.html"
_STYLES = ("style.css", "charts.css", "gallery.css")


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
    cut: tuple[Sample, ...]
    coverage: tuple[Coverage, ...]
    costs: Costs | None


def write_report(store: Store) -> str:
    """Writes the page from whatever the root holds by now; returns its path under the root."""
    store.write_bytes(REPORT_PATH, _rendered(_page(store)).encode())
    return REPORT_PATH


def _page(store: Store) -> Page:
    digest = manifest_digest(store)
    recorded = recorded_settings(store)
    with opened(store) as tables:
        flow = trace(tables, sealed=digest is not None)
        basis = basis_of(tables)
        return Page(
            facts=facts_of(tables, flow, basis, digest),
            extra=read_extra(store),
            flow=flow,
            histogram=histogram(tables),
            recorded=recorded,
            basis=basis,
            heat=heat_map(tables, basis),
            origins=origins(tables, basis),
            kept=kept_samples(tables, recorded.private_sources),
            cut=cut_samples(tables, recorded.private_sources),
            coverage=tables.coverage,
            costs=costs_of(tables.caption_parts),
        )


def _rendered(page: Page) -> str:
    environment = Environment(
        loader=package_loader(),
        autoescape=True,  # titles, creators and captions come from strangers
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "number": lambda count: f"{count:,}",
        "percent": _percent,
        "kind_name": kind_name,
        "set_name": set_name,
        "words": words,
    }
    environment.filters.update(filters)
    style = Markup("\n".join(map(package_text, _STYLES)))  # noqa: S704 - the package's own files
    return environment.get_template("page.html.jinja").render(page=page, style=style)


def _percent(part: float, whole: float) -> str:
    """``93.5%``; a dash where there is nothing to divide by."""
    return f"{100 * part / whole:.1f}%" if whole else "–"
