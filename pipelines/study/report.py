"""Writes the study's page: rates with intervals, agreement, workers, reasons, and the pictures people refused."""

import base64
import io
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image

from moodarchive.emotions.taxonomy import words
from moodarchive.storage.store import Store
from pipelines.inspect.report.package_text import package_loader, package_text
from validate.study.design.pictures import Pictures, find_pictures
from validate.study.design.questions import COMPONENTS, PAPER_RATE, REASONS
from validate.study.design.study import CAPTIONS, folder
from validate.study.statistics.label_sampling import DRAWS
from validate.study.statistics.study import Study
from validate.study.statistics.verdict import ItemVerdict, Verdict

REPORT_PATH = f"{folder(CAPTIONS)}/report.html"
REFUSED_SHOWN, QUOTES_SHOWN = 24, 3
_STYLES = ("style.css", "charts.css", "study.css")
_SIDE = 480


@dataclass(frozen=True, kw_only=True)
class Reason:
    """A reason, how often it was given, and some of the words beside it."""

    says: str
    count: int
    quotes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A refused caption with its picture (None when it left the archive)."""

    verdict: ItemVerdict
    sentences: tuple[tuple[str, str], ...]
    thumbnail: str | None


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    """Everything that the page shows."""

    verdict: Verdict
    simulated: bool
    paper: float
    answers: int
    population: int
    strata: str
    draws: int
    left_out: dict[str, int]
    reasons: tuple[Reason, ...]
    refused: tuple[Refused, ...]


def write_page(store: Store, study: Study, verdict: Verdict) -> str:
    """Writes the page; returns its path under the root."""
    page = StudyPage(
        verdict=verdict,
        simulated=study.design.simulated,
        paper=PAPER_RATE,
        answers=len(study.answers.item),
        population=int(study.sampling.population.sum()),
        strata=" x ".join(study.design.strata) or "the whole archive",
        draws=DRAWS,
        left_out=study.design.left_out,
        reasons=_reasons(study, verdict),
        refused=_refused(store, verdict),
    )
    store.write_bytes(REPORT_PATH, render_page("study.html.jinja", page, _STYLES).encode())
    return REPORT_PATH


def render_page(template: str, page: object, styles: tuple[str, ...]) -> str:
    """A page of the report's package, everything from strangers escaped."""
    environment = Environment(
        loader=package_loader(), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters: dict[str, Callable[..., str]] = {"number": "{:,}".format, "share": format_share, "words": words}
    environment.filters.update(filters)
    style = Markup("\n".join(map(package_text, styles)))  # noqa: S704 - the package's own files
    return environment.get_template(template).render(page=page, style=style)


def format_share(value: float) -> str:
    """``85.3%``; a dash where nothing is known."""
    return "–" if math.isnan(value) else f"{100 * value:.1f}%"


def _reasons(study: Study, verdict: Verdict) -> tuple[Reason, ...]:
    quotes: dict[str, list[str]] = defaultdict(list)
    for reason, comment in zip(study.table["reason"].to_pylist(), study.table["comment"].to_pylist(), strict=True):
        if comment and len(quotes[reason]) < QUOTES_SHOWN:
            quotes[reason].append(comment)
    return tuple(
        Reason(says=REASONS.get(name, name), count=count, quotes=tuple(quotes[name])) for name, count in verdict.reasons
    )


def _refused(store: Store, verdict: Verdict) -> tuple[Refused, ...]:
    chosen = sorted((one for one in verdict.items if not one.accepted), key=lambda one: (one.probability, one.item.key))
    chosen = chosen[:REFUSED_SHOWN]
    pictures = find_pictures(store, {one.item.key for one in chosen})
    return tuple(
        Refused(
            verdict=one,
            sentences=tuple(zip(COMPONENTS, one.item.sentences, strict=True)),
            thumbnail=make_thumbnail(pictures, one.item.key),
        )
        for one in chosen
    )


def make_thumbnail(pictures: Pictures, key: str) -> str | None:
    """A small JPEG as a data address; None for a picture that is gone or damaged."""
    try:
        with Image.open(io.BytesIO(pictures.read(key)), formats=["JPEG"]) as picture:
            picture.draft("RGB", (_SIDE, _SIDE))
            small = picture.convert("RGB")
    except (KeyError, OSError):
        return None
    small.thumbnail((_SIDE, _SIDE))
    sink = io.BytesIO()
    small.save(sink, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(sink.getvalue()).decode()
