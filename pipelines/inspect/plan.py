"""What an archive of N images takes, before it starts: days at the sources' quotas, bytes, GPU-hours, money."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from crawl.catalogues.catalogue import Catalogue
from crawl.phrases.descriptors import DescriptorSettings, read_lexicon_phrases
from crawl.politeness.rate_limits import parse_limit
from crawl.source import Source, is_locked
from moodarchive.errors import ConfigError
from pipelines.runner.sources import DAY_S, all_sources, host_limits
from pipelines.settings import ArchiveSettings

VECTOR_BYTES = 2 * 768
"""Of an embedding of ViT-L/14, the model that scores unless another is named."""


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """Stated, not measured on your machines: ``--measure ROOT`` takes what a root's finished parts say, and
    ``--assume name=value`` any value."""

    new_phrase_share: float = 0.5
    """Of the phrases that a model writes, those that no earlier one says."""
    new_share: float = 0.35
    """Of the results of a query, those that no earlier query has found."""
    download_share: float = 0.95
    """Of the images found, those that arrive and are whole."""
    safe_share: float = 0.98
    kept_share: float = 0.78
    """Of the safe ones, those that the score, repeats and captions leave."""
    repeat_share: float = 0.05
    """Of the safe ones, those that look like another one; kept_share leaves them out too."""
    served_kb: float = 350.0
    """Size of an image as a site serves it."""
    stored_kb: float = 110.0
    """Size of an image as the archive keeps it."""
    image_hosts: float = 5.0
    """Hosts that serve the images side by side, each at download.host_limit."""
    pictures_per_s: float = 200.0
    """Pictures that all workers together shrink and encode in a second."""
    captions_per_gpu_s: float = 3.0
    scores_per_gpu_s: float = 300.0
    price_gpu_h: float = 2.5
    price_gb_month: float = 0.023
    months: float = 1.0


_LONGEST_SENSIBLE_DAYS = 60.0


class SourcePlan(NamedTuple):
    """One source: requests and new images a day, and how many images its queries can give in all.

    Of a catalogue nothing is requested but the pictures themselves.
    """

    name: str
    requests_a_day: float
    images_a_day: float
    images_at_most: float


class Plan(NamedTuple):
    """The figures; ``phrases`` is how many times the settings' phrases it takes, 1 or less when they suffice;
    ``gpu_hours_repeats`` are those for captions of repeats, spent unless repeats are found before captions."""

    sources: list[SourcePlan]
    lexicon_phrases: int
    written_phrases: int
    answers: int
    phrases: float
    images_found: float
    days: float
    bottleneck: str
    days_of: dict[str, float]
    served_gb: float
    stored_gb: float
    vectors_gb: float
    """Of the stored ones, what score.keep_vectors takes."""
    parts: int
    gpu_hours_captions: float
    gpu_hours_repeats: float
    gpu_hours_scores: float
    money: float


def read_assumptions(pairs: list[str], measured: Mapping[str, float] | None = None) -> Assumptions:
    """The defaults, then what was measured, then ``name=value`` pairs; ConfigError names what is wrong and legal."""
    legal, values = {field.name for field in fields(Assumptions)}, dict(measured or {})
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if name not in legal or not (number > 0 and math.isfinite(number)):
            raise ConfigError(f"--assume {pair}: want name=number above 0; legal names: {', '.join(sorted(legal))}")
        values[name] = number
    return replace(Assumptions(), **values)


def make_plan(settings: ArchiveSettings, images: int, assume: Assumptions) -> Plan:
    """The plan for ``images`` kept images."""
    images_found = images / (assume.download_share * assume.safe_share * assume.kept_share)
    downloaded = images_found * assume.download_share
    host = parse_limit(settings.download.host_limit)
    host_pace = host.requests / host.per_s * assume.image_hosts * DAY_S
    listed, written = _phrases(settings.descriptors)
    phrases = listed + written
    usable = [source for source in all_sources(settings.sources) if source.settings.enabled and not is_locked(source)]
    sources = [
        _plan_catalogue(source, settings, phrases, host_pace, assume)
        if isinstance(source, Catalogue)
        else _plan_source(source, phrases, assume)
        for source in usable
    ]
    searching_days, slowest = _days(sources, images_found)
    of_sites = [plan for plan, source in zip(sources, usable, strict=True) if not isinstance(source, Catalogue)]
    from_sites = sum(min(plan.images_at_most, plan.images_a_day * searching_days) for plan in of_sites)
    captions = downloaded * assume.safe_share / assume.captions_per_gpu_s / 3600
    of_repeats = captions * min(1.0, assume.repeat_share)
    if settings.repeats.before_captions:
        captions -= of_repeats
    scores = downloaded * assume.safe_share / assume.scores_per_gpu_s / 3600
    days_of = {
        slowest: searching_days,
        "download.host_limit": min(from_sites, images_found) / host_pace,
        f"pictures_per_s = {assume.pictures_per_s:g}": images_found / assume.pictures_per_s / DAY_S,
        f"captions_per_gpu_s = {assume.captions_per_gpu_s:g} on {count_captioning_gpus(settings):g} GPUs": captions
        / count_captioning_gpus(settings)
        / 24,
        f"scores_per_gpu_s = {assume.scores_per_gpu_s:g} on {settings.score.workers} workers": scores
        / settings.score.workers
        / 24,
    }
    bottleneck = max(days_of, key=lambda name: days_of[name])
    # images/ and the shards hold each picture once, until prune drops the former
    vectors = downloaded * assume.safe_share * VECTOR_BYTES / 1e9 if settings.score.keep_vectors else 0.0
    stored = (downloaded + images) * assume.stored_kb / 1e6 + vectors
    money = (captions + scores) * assume.price_gpu_h + stored * assume.price_gb_month * assume.months
    return Plan(
        sources=sources,
        lexicon_phrases=listed,
        written_phrases=written,
        answers=math.ceil(written / settings.descriptors.writer.phrases_per_answer / assume.new_phrase_share),
        phrases=images_found / sum(source.images_at_most for source in sources),
        images_found=images_found,
        days=days_of[bottleneck],
        bottleneck=bottleneck,
        days_of=days_of,
        served_gb=downloaded * assume.served_kb / 1e6,
        stored_gb=stored,
        vectors_gb=vectors,
        parts=math.ceil(images_found / settings.merge.rows_per_part),
        gpu_hours_captions=captions,
        gpu_hours_repeats=of_repeats,
        gpu_hours_scores=scores,
        money=money,
    )


def _phrases(settings: DescriptorSettings) -> tuple[int, int]:
    """Phrases of the lexicon, and those that a model is to write."""
    cells = read_lexicon_phrases(settings).values()
    listed = sum(map(len, cells))
    return listed, len(cells) * settings.phrases_per_cell - listed if settings.writer.model else 0


def count_captioning_gpus(settings: ArchiveSettings) -> float:
    """GPUs that serve captions: of the run's own servers, or one for each server that the settings name."""
    servers = settings.servers
    return max(1, servers.count * servers.tensor_parallel if servers.count else len(settings.caption.servers))


def _plan_catalogue(
    source: Catalogue, settings: ArchiveSettings, phrases: int, host_pace: float, assume: Assumptions
) -> SourcePlan:
    """A catalogue's pictures come at the pace of their hosts; those in its rows as fast as they are worked on."""
    own, paces = source.settings, host_limits(settings)
    limits = [parse_limit(paces[host]) for host in source.preset.hosts]
    pace = sum(limit.requests / limit.per_s for limit in limits) * DAY_S or host_pace
    if source.preset.bytes_column:
        pace = assume.pictures_per_s * DAY_S
    cells = len(settings.descriptors.emotions) * len(settings.descriptors.contexts)
    at_most = min(phrases * own.results_per_query * assume.new_share, float(cells * own.images_per_cell))
    return SourcePlan(source.name, 0.0, pace, min(at_most, float(source.preset.rows or math.inf)))


def _plan_source(source: Source, phrases: int, assume: Assumptions) -> SourcePlan:
    own = source.settings
    a_day = min((limit.requests * DAY_S / limit.per_s for limit in own.parse_limits()), default=math.inf)
    each = own.results_per_query * assume.new_share
    return SourcePlan(source.name, a_day, a_day / max(1, own.requests_per_query()) * each, phrases * each)


def _days(sources: list[SourcePlan], images_found: float) -> tuple[float, str]:
    """Days until the sources together have given enough, and the slowest of them.

    When their phrases cannot give so many, the sites' days at full pace with as many more phrases as it takes, for what
    the catalogues leave to them; infinite without a site.
    """
    if not sources:
        raise ConfigError("no source is enabled and unlocked; remedy: see moodarchive sources")
    slowest = min(sources, key=lambda source: source.images_a_day).name
    if sum(source.images_at_most for source in sources) < images_found:
        sites = [source for source in sources if source.requests_a_day]
        pace = sum(source.images_a_day for source in sites)
        left = images_found - sum(source.images_at_most for source in sources if not source.requests_a_day)
        return (left / pace, min(sites, key=lambda source: source.images_a_day).name) if pace else (math.inf, slowest)
    # each source gives at its pace until it has nothing left: walk from one such moment to the next
    ends = sorted(source.images_at_most / source.images_a_day for source in sources)
    for begin, end in zip([0.0, *ends], ends, strict=False):
        given = sum(min(source.images_at_most, source.images_a_day * end) for source in sources if end)
        if given >= images_found:
            return _day_reached(sources, images_found, begin, end), slowest
    return 0.0, slowest


def _day_reached(sources: list[SourcePlan], images_found: float, begin: float, end: float) -> float:
    """The day between ``begin`` and ``end`` on which ``images_found`` is reached; the sum grows linearly in between."""
    low, high = (
        sum(min(source.images_at_most, source.images_a_day * day) if day else 0.0 for source in sources)
        for day in (begin, end)
    )
    return begin + (end - begin) * max(0.0, images_found - low) / (high - low) if high > low else end


def _describe_written(settings: ArchiveSettings, plan: Plan) -> str:
    if not plan.written_phrases:
        return ""
    return f", {plan.written_phrases:,} by {settings.descriptors.writer.model} in about {plan.answers:,} answers"


def _describe_repeats(settings: ArchiveSettings, plan: Plan) -> str:
    if settings.repeats.before_captions:
        return f" ({plan.gpu_hours_repeats:,.1f} saved by repeats.before_captions)"
    return f" ({plan.gpu_hours_repeats:,.1f} fewer with repeats.before_captions = true)"


def show_plan(
    settings: ArchiveSettings,
    images: int,
    assume: Assumptions,
    console: Console,
    measured: Mapping[str, float] | None = None,
) -> None:
    """Prints the plan and every assumption, and which of them were measured."""
    plan = make_plan(settings, images, assume)
    table = Table(box=None, pad_edge=False)
    for name in ("source", "requests a day", "new images a day", "images at most"):
        table.add_column(name, justify="left" if name == "source" else "right")
    for source in plan.sources:
        table.add_row(
            source.name, *(f"{number:,.0f}" if number and math.isfinite(number) else "–" for number in source[1:])
        )
    console.print(table)
    lines = {
        "images found for these kept": f"{plan.images_found:,.0f}",
        "days": f"{plan.days:,.1f}",
        "bounded by": plan.bottleneck,
        "days of each": ", ".join(f"{name}: {days:,.1f}" for name, days in plan.days_of.items()),
        "search phrases": f"{plan.lexicon_phrases:,} of the lexicon{_describe_written(settings, plan)}",
        "they are": f"enough, {plan.phrases:.0%} used"
        if plan.phrases <= 1
        else f"{plan.phrases:.1f} times too few: let a model write more (descriptors.writer), or add sources",
        "GB fetched": f"{plan.served_gb:,.0f}",
        "GB stored (images/ and shards)": f"{plan.stored_gb:,.0f}",
        **({"of these for vectors/ (768 numbers each)": f"{plan.vectors_gb:,.1f}"} if plan.vectors_gb else {}),
        "parts, as many shards of each set": f"{plan.parts:,}",
        "GPU-hours for captions": f"{plan.gpu_hours_captions:,.1f}{_describe_repeats(settings, plan)}",
        "GPU-hours for scores": f"{plan.gpu_hours_scores:,.1f}",
        "money": f"{plan.money:,.0f}",
    }
    for name, value in lines.items():
        console.print(f"{name}: {value}", highlight=False, soft_wrap=True)
    if plan.days > _LONGEST_SENSIBLE_DAYS and (
        plan.phrases > 1 or plan.bottleneck in {one.name for one in plan.sources}
    ):
        console.print(
            f"the sources cannot give {images:,} images in a reasonable time; catalogues can: name one under "
            "[sources.catalogues.NAME], such as pd12m or commoncatalog (docs/catalogues.md; configs/eight-million.toml "
            "is a plan of days)",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
    console.print("assumed (change with --assume name=value):", highlight=False)
    for name, number in asdict(assume).items():
        is_measured = measured is not None and measured.get(name) == number
        console.print(f"  {name} = {number:g}{' (measured)' if is_measured else ''}", highlight=False)
