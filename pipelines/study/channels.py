"""The study's channels as two tables: whence answers come, and for whom files are written.

Each entry imports what it needs when it is used, so that the command line stays quick.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from validate.study.answers.importing import RawAnswer
from validate.study.design.items import Item, read_items
from validate.study.design.pictures import Pictures, find_pictures
from validate.study.design.study import CAPTIONS, StudyDesign, read_design
from validate.study.sampling.gold import select_asked


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What a person may choose of an import."""

    channel: str
    file: str = ""
    closed: str = ""
    live: bool = False
    seed: int = 0
    kind: str = CAPTIONS
    state: str = ""
    replace: bool = False
    count_rejected: bool = False


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What a person may choose of an export; ``reward`` in the currency's units, as the vendor writes it."""

    pictures_url: str = ""
    reward: str = "0.10"
    masters: bool = False
    publish: bool = False
    live: bool = False
    confirmed: str = ""
    panel: str = ""
    with_doubtful: bool = False


@dataclass(frozen=True, kw_only=True)
class Channel:
    """Whence answers come: ``read`` gives the rows to import.

    ``simulated``: a program answers. ``edits``: workers may change an answer that was imported already.
    """

    read: Callable[[Store, StudyDesign, ImportOptions], Iterator[RawAnswer]]
    needs_file: bool = False
    simulated: bool = False
    edits: bool = False


def _read_page(store: Store, design: StudyDesign, options: ImportOptions) -> Iterator[RawAnswer]:
    from validate.study.page.results import read_page_rows
    from validate.study.page.serve import ledger_path

    return read_page_rows(ledger_path(store, design.kind, options.state))


def _read_mturk_file(store: Store, design: StudyDesign, options: ImportOptions) -> Iterator[RawAnswer]:
    from validate.study.mturk.results import read_csv_rows

    return read_csv_rows(options.file, design)


def _read_mturk_api(store: Store, design: StudyDesign, options: ImportOptions) -> Iterator[RawAnswer]:
    from validate.study.mturk.publish import Publisher, mturk_client
    from validate.study.mturk.results import read_api_rows
    from validate.study.mturk.terms import Terms

    client = mturk_client(live=options.live)
    hits = Publisher(store, design, Terms(), client, live=options.live).published()
    return read_api_rows(client, hits, design)


def _read_label_studio(store: Store, design: StudyDesign, options: ImportOptions) -> Iterator[RawAnswer]:
    from validate.study.label_studio.results import read_label_studio_rows

    return read_label_studio_rows(options.file, design)


def _simulate(store: Store, design: StudyDesign, options: ImportOptions) -> Iterator[RawAnswer]:
    from validate.study.simulation.rehearsal import simulate_rows

    return simulate_rows(read_items(store), design.workers, options.seed)


CHANNELS = {
    "page": Channel(read=_read_page),
    "mturk": Channel(read=_read_mturk_file, needs_file=True),
    "mturk-api": Channel(read=_read_mturk_api),
    "label-studio": Channel(read=_read_label_studio, needs_file=True, edits=True),
    "simulated": Channel(read=_simulate, simulated=True),
}
"""Channel of answers by its name on the command line."""


def read_rows(store: Store, design: StudyDesign, options: ImportOptions) -> Iterator[RawAnswer]:
    """The rows of the channel that the options name; StudyError when it needs a file and none is named."""
    channel = CHANNELS[options.channel]
    if channel.needs_file and not options.file:
        raise StudyError(f"--from {options.channel} needs --file; remedy: name the file of results")
    return channel.read(store, design, options)


def _export_label_studio(store: Store, design: StudyDesign, options: ExportOptions) -> Iterator[str]:
    from validate.study.label_studio.files import write_label_studio

    items, pictures = _asked_items(store, options)
    where = write_label_studio(store, design, items, pictures, options.pictures_url)
    yield f"{len(items)} tasks, to be answered {design.workers} times each: {store.root.rstrip('/')}/{where}/"


def _export_mturk(store: Store, design: StudyDesign, options: ExportOptions) -> Iterator[str]:
    from validate.study.mturk.files import write_mturk
    from validate.study.mturk.publish import Publisher, mturk_client, require_confirmation
    from validate.study.mturk.terms import Terms, compute_cost

    terms = Terms(reward=options.reward, masters=options.masters)
    items, pictures = _asked_items(store, options)
    if not options.publish:
        where = write_mturk(store, design, items, pictures, terms=terms, pictures_url=options.pictures_url)
        yield f"{len(items)} HITs: {store.root.rstrip('/')}/{where}/"
        yield f"cost with fees: {compute_cost(terms, len(items), design.workers)} US dollars"
        return
    publisher = Publisher(store, design, terms, mturk_client(live=options.live), live=options.live)
    rest = publisher.open_items(items)
    require_confirmation(publisher.estimate(rest), options.confirmed)
    site = "the live site" if options.live else "the sandbox, where nothing is paid"
    created = publisher.publish(rest, options.pictures_url)
    yield f"{created} HITs created on {site}; {len(items) - len(rest)} were there"


def _export_prolific(store: Store, design: StudyDesign, options: ExportOptions) -> Iterator[str]:
    from validate.study.panel.prolific import write_study
    from validate.study.panel.settings import read_panel

    if not options.panel:
        raise StudyError("--to prolific needs --panel; remedy: a TOML file with your texts, codes and the pay")
    items, _ = _asked_items(store, options)
    yield from write_study(store, design, sum(not item.gold for item in items), read_panel(options.panel))


VENDORS: dict[str, Callable[[Store, StudyDesign, ExportOptions], Iterator[str]]] = {
    "mturk": _export_mturk,
    "label-studio": _export_label_studio,
    "prolific": _export_prolific,
}
"""What writes a vendor's files, by the vendor's name on the command line."""


def export(store: Store, vendor: str, options: ExportOptions) -> Iterator[str]:
    """Writes the vendor's files, or publishes; reports what there is now and what it costs."""
    design = read_design(store, CAPTIONS)
    with only_writer(store):
        yield from VENDORS[vendor](store, design, options)


def _asked_items(store: Store, options: ExportOptions) -> tuple[list[Item], Pictures]:
    items = read_items(store)
    doubtful = {item.key for item in items if item.is_doubtful and options.with_doubtful}
    pictures = find_pictures(store, {item.key for item in items}, doubtful)
    return select_asked(items, pictures), pictures
