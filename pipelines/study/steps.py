"""What the study verbs do: each step under the root's one writer, and what is told of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import VERIFIED_FOLDER
from pipelines.runner.settings_record import require_recorded_settings
from pipelines.study import edit_steps as edit_study_steps
from pipelines.study.report import write_page
from pipelines.study.verified_set import seal_verified
from validate.study.design import CAPTIONS, EDITS, StudyDesign, read_design, write_design
from validate.study.forgetting import forget_taken_down
from validate.study.importing import MISSING, Imported, RawAnswer, import_answers
from validate.study.items import Item, read_items
from validate.study.label_studio import label_studio_rows, write_label_studio
from validate.study.mturk.files import MTURK_FOLDER, asked_items, write_mturk
from validate.study.mturk.payments import write_payments
from validate.study.mturk.publish import Publisher, mturk_client, refuse_unconfirmed
from validate.study.mturk.results import api_rows, csv_rows
from validate.study.mturk.terms import Terms, cost
from validate.study.page.caption_questions import CaptionQuestions, training_items
from validate.study.page.questionnaire import Questionnaire
from validate.study.page.results import page_rows
from validate.study.page.serve import ledger_path
from validate.study.pictures import Pictures, find_pictures
from validate.study.questions import PAPER_RATE
from validate.study.rehearsal import SIMULATED, simulated_rows
from validate.study.sampling.sample import SampleOptions, sample
from validate.study.statistics.loaded import load_study
from validate.study.statistics.verdict import judge
from validate.study.verdicts import read_verdicts, rejected_heldout, write_verdicts
from validate.study.verified import NAME

_NAMED = 5
"""Faults of a kind that are told on the screen; the file names all."""


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What a person may choose."""

    channel: str
    file: str = ""
    closed: str = ""
    live: bool = False
    seed: int = 0
    kind: str = CAPTIONS
    state: str = ""


def draw(store: Store, options: SampleOptions) -> str:
    """Draws or extends the caption study."""
    require_recorded_settings(store)
    with only_writer(store):
        forget_taken_down(store)
        design = sample(store, options, rejected_heldout(store))
    items = read_items(store)
    gold = sum(item.gold for item in items)
    heldout = sum(item.split == "heldout" and not item.gold for item in items)
    left_out = ", ".join(f"{reason} {count}" for reason, count in design.left_out.items()) or "none"
    return (
        f"{len(items) - gold} images ({heldout} held out) and {gold} gold questions, {design.workers} answers each; "
        f"strata: {' x '.join(design.strata) or 'none'}; images that may not be shown: {left_out}"
    )


def questionnaire(store: Store, kind: str) -> Questionnaire:
    """What the page asks."""
    if kind == EDITS:
        return edit_study_steps.questions(store)
    design = read_design(store, kind)
    items = {item.item: item for item in read_items(store)}
    return CaptionQuestions(design, items, find_pictures(store, {item.key for item in items.values()}))


def take_in(store: Store, options: ImportOptions) -> Iterator[str]:
    """Imports, and tells what became of every row."""
    if options.kind == EDITS:
        yield edit_study_steps.take_in(store, options.channel, ledger_path(store, EDITS, options.state))
        return
    closed = _moment(options.closed)
    with only_writer(store):
        design = read_design(store, options.kind)
        simulated = options.channel == SIMULATED
        if simulated != design.simulated and store.names(f"study/{options.kind}/answers"):
            raise StudyError("simulated answers and answers of people do not mix; remedy: study them in two archives")
        if simulated:
            write_design(store, design.as_simulated())
        items = read_items(store)
        examples = training_items(items)
        asked = [item.item for item in items if item.item not in examples]
        done = import_answers(store, design, options.channel, _rows(store, options), asked, closed=closed)
    yield from _told(store, done)


def write_study_report(store: Store, kind: str) -> Iterator[str]:
    """Judges, and writes the page (and MTurk's payment lists)."""
    if kind == EDITS:
        yield from edit_study_steps.write_report(store)
        return
    with only_writer(store):
        study = load_study(store)
        verdict = judge(study)
        path = write_page(store, study, verdict)
        paid = write_payments(store, study, verdict)
    rate = verdict.overall.rate
    label = "simulated answers: " if study.design.simulated else ""
    yield (
        f"{label}accepted {100 * rate.rate:.1f}% (95% interval {100 * rate.low:.1f} to {100 * rate.high:.1f}) of "
        f"{rate.items} images judged; by majority {100 * verdict.overall.majority.rate:.1f}%; the paper's figure: "
        f"{100 * PAPER_RATE:.0f}% preferred"
    )
    if any(paid):
        yield f"MTurk assignments: approve {paid[0]}, reject {paid[1]}, bonus {paid[2]}; lists in {MTURK_FOLDER}/"
    yield f"{store.root.rstrip('/')}/{path}"


def give_back(store: Store) -> Iterator[str]:
    """Writes human_verdicts/ and seals MoodArchive-5k anew."""
    with only_writer(store):
        forget_taken_down(store)
        study = load_study(store)
        count = write_verdicts(store, study, judge(study))
        rows = list(read_verdicts(store))
        told = seal_verified(store, rows, list(study.items.values()))
    label = " (simulated)" if study.design.simulated else ""
    accepted = sum(row["accepted"] is True for row in rows)
    rejected = sum(row["accepted"] is False for row in rows)
    yield f"verdicts{label}: {count} images, accepted {accepted}, rejected {rejected}"
    yield (
        f"{NAME}{label}: {told['samples']} of {told['wanted']} verified held-out images in "
        f"{store.root.rstrip('/')}/{VERIFIED_FOLDER}/"
    )


def export_label_studio(store: Store, pictures_url: str) -> str:
    """Writes Label Studio's files; returns what to do with them."""
    design = read_design(store, CAPTIONS)
    with only_writer(store):
        items, pictures = _asked(store)
        where = write_label_studio(store, design, items, pictures, pictures_url)
    return f"{len(items)} tasks, to be answered {design.workers} times each: {store.root.rstrip('/')}/{where}/"


def export_mturk(
    store: Store, terms: Terms, pictures_url: str, *, publish: bool, live: bool, confirmed: str
) -> Iterator[str]:
    """Writes MTurk's files and tells the cost; with ``publish``, creates the HITs that are not there yet."""
    design = read_design(store, CAPTIONS)
    with only_writer(store):
        items, pictures = _asked(store)
        if not publish:
            where = write_mturk(store, design, items, pictures, terms=terms, pictures_url=pictures_url)
            yield f"{len(items)} HITs: {store.root.rstrip('/')}/{where}/"
            yield f"cost with fees: {cost(terms, len(items), design.workers)} US dollars"
            return
        publisher = Publisher(store, design, terms, mturk_client(live=live), live=live)
        rest = publisher.open_items(items)
        refuse_unconfirmed(publisher.estimate(rest), confirmed)
        site = "the live site" if live else "the sandbox, where nothing is paid"
        yield f"{publisher.publish(rest, pictures_url)} HITs created on {site}; {len(items) - len(rest)} were there"


def _asked(store: Store) -> tuple[list[Item], Pictures]:
    items = read_items(store)
    pictures = find_pictures(store, {item.key for item in items})
    return asked_items(items, pictures), pictures


def _rows(store: Store, options: ImportOptions) -> Iterator[RawAnswer]:
    design = read_design(store, options.kind)
    if options.channel == "page":
        return page_rows(ledger_path(store, options.kind, options.state))
    if options.channel == SIMULATED:
        return simulated_rows(read_items(store), design.workers, options.seed)
    if options.channel == "mturk-api":
        return _from_mturk(store, design, live=options.live)
    if not options.file:
        raise StudyError(f"--from {options.channel} needs --file; remedy: name the file of results")
    if options.channel == "label-studio":
        return label_studio_rows(options.file, design)
    return csv_rows(options.file, design)


def _from_mturk(store: Store, design: StudyDesign, *, live: bool) -> Iterator[RawAnswer]:
    client = mturk_client(live=live)
    return api_rows(client, Publisher(store, design, Terms(), client, live=live).published(), design)


def _moment(text: str) -> float:
    if not text:
        return float("inf")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise StudyError(f"--closed {text!r} is no moment; remedy: write it like 2026-12-31T18:00:00+00:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _told(store: Store, done: Imported) -> Iterator[str]:
    yield ", ".join(f"{kind} {count}" for kind, count in done.counts.items())
    for kind in done.counts:
        named = [fault for fault in done.faults if fault.kind == kind]
        for fault in named[: _NAMED if kind != MISSING else 2]:
            yield f"  {kind}: {': '.join(filter(None, (fault.where, fault.detail)))}"
        if len(named) > _NAMED:
            yield f"  … {len(named)} in all"
    yield f"every one of them: {store.root.rstrip('/')}/{done.path}"
