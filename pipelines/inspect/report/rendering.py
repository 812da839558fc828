"""Fills a page's template: every value is escaped, and the styles come along, so that the page stands alone."""

from collections.abc import Callable

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from moodarchive.emotions.taxonomy import words
from pipelines.inspect.report.change import setting_value
from pipelines.inspect.report.names import kind_name, set_name
from pipelines.inspect.report.package_text import package_loader, package_text


def render_page(template: str, styles: tuple[str, ...], **values: object) -> str:
    """The page; ``template`` and ``styles`` are files of this package."""
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
        "setting_value": setting_value,
        "set_name": set_name,
        "words": words,
    }
    environment.filters.update(filters)
    style = Markup("\n".join(map(package_text, styles)))  # noqa: S704 - the package's own files
    return environment.get_template(template).render(style=style, **values)


def _percent(part: float, whole: float) -> str:
    """``93.5%``; a dash where there is nothing to divide by."""
    return f"{100 * part / whole:.1f}%" if whole else "–"
