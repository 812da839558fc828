"""What the study verbs do: each step under the root's one writer, and what it reports."""

from collections.abc import Iterator
from datetime import UTC, datetime

from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import VERIFIED_FOLDER
from pipelines.inspect.report.recorded_settings import recorded_settings
from pipelines.runner.settings_record import require_recorded_settings
from pipelines.study import edit_steps as edit_study_steps
from pipelines.study import record_steps
from pipelines.study.channels import CHANNELS, ImportOptions, read_rows
from pipelines.study.report import write_page
from pipelines.study.verified_set import seal_verified
from validate.study.answers.importing import MISSING, Imported, ImportRules, import_answers
from validate.study.design.items import read_items
from validate.study.design.pictures import find_pictures
from validate.study.design.questions import PAPER_RATE
from validate.study.design.study import CHECKS, EDITS, RANKING, read_design, write_design
from validate.study.mturk.files import MTURK_FOLDER
from validate.study.mturk.payments import write_payments
from validate.study.page.caption_questions import CaptionQuestions
from validate.study.page.questionnaire import Questionnaire
from validate.study.page.serve import ledger_path
from validate.study.sampling.gold import select_examples
from validate.study.sampling.sample import SampleOptions, sample
from validate.study.statistics.study import load_study
from validate.study.statistics.verdict import judge
from validate.study.verdicts.forgetting import forget_taken_down
from validate.study.verdicts.table import find_rejected_heldout, read_verdicts, write_verdicts
from validate.study.verdicts.verified_set import NAME

OF_RECORDS = (CHECKS, RANKING)
_NAMED = 5
"""Faults of a kind that are named on the screen; the file names all."""


def draw(store: Store, options: SampleOptions) -> str:
    """Draws or extends the caption study."""
    require_recorded_settings(store)
    with only_writer(store):
        forget_taken_down(store)
        terms = recorded_settings(store).shards
        design = sample(store, options, find_rejected_heldout(store), is_withheld=terms.keeps_private)
    items = read_items(store)
    gold = sum(item.gold for item in items)
    doubtful = sum(item.is_doubtful for item in items)
    heldout = sum(item.split == "heldout" and not (item.gold or item.is_doubtful) for item in items)
    seen_first = f", {doubtful} doubtful" if doubtful else ""
    left_out = ", ".join(f"{reason} {count}" for reason, count in design.left_out.items()) or "none"
    return (
        f"{len(items) - gold} images ({heldout} held out{seen_first}) and {gold} gold questions, "
        f"{design.workers} answers each; "
        f"strata: {' x '.join(design.strata) or 'none'}; images that may not be shown: {left_out}"
    )


def questionnaire(store: Store, kind: str, *, with_doubtful: bool = False) -> Questionnaire:
    """What the page asks, of doubtful pictures too or not."""
    if kind == EDITS:
        return edit_study_steps.questions(store)
    if kind in OF_RECORDS:
        return record_steps.questions(store, kind)
    design = read_design(store, kind)
    items = {item.item: item for item in read_items(store)}
    doubtful = {item.key for item in items.values() if item.is_doubtful and with_doubtful}
    return CaptionQuestions(design, items, find_pictures(store, {item.key for item in items.values()}, doubtful))


def import_results(store: Store, options: ImportOptions) -> Iterator[str]:
    """Imports, and tells what became of every row."""
    if options.kind == EDITS:
        yield edit_study_steps.import_answers(store, options.channel, ledger_path(store, EDITS, options.state))
        return
    if options.kind in OF_RECORDS:
        ledger = ledger_path(store, options.kind, options.state)
        yield record_steps.import_answers(store, options.kind, options.channel, ledger)
        return
    channel = CHANNELS[options.channel]
    rules = ImportRules(
        closed=parse_moment("--closed", options.closed),
        edits=channel.edits,
        replace=options.replace,
        count_rejected=options.count_rejected,
    )
    with only_writer(store):
        design = read_design(store, options.kind)
        if channel.simulated != design.simulated and store.names(f"study/{options.kind}/answers"):
            raise StudyError("simulated answers and answers of people do not mix; remedy: study them in two archives")
        if channel.simulated:
            write_design(store, design.as_simulated())
        items = read_items(store)
        examples = select_examples(items)
        asked = [item.item for item in items if item.item not in examples]
        done = import_answers(store, design, options.channel, read_rows(store, design, options), asked, rules=rules)
    yield from _describe_import(store, done)


def write_study_report(store: Store, kind: str) -> Iterator[str]:
    """Judges, and writes the page (and MTurk's payment lists)."""
    if kind == EDITS:
        yield from edit_study_steps.write_report(store)
        return
    if kind in OF_RECORDS:
        yield from record_steps.write_report(store, kind)
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


def apply_verdicts(store: Store) -> Iterator[str]:
    """Writes human_verdicts/ and seals MoodArchive-5k anew."""
    with only_writer(store):
        forget_taken_down(store)
        study = load_study(store)
        count = write_verdicts(store, study, judge(study))
        rows = list(read_verdicts(store))
        manifest = seal_verified(store, rows, list(study.items.values()))
    label = " (simulated)" if study.design.simulated else ""
    accepted = sum(row["accepted"] is True for row in rows)
    rejected = sum(row["accepted"] is False for row in rows)
    yield f"verdicts{label}: {count} images, accepted {accepted}, rejected {rejected}"
    yield (
        f"{NAME}{label}: {manifest.samples} of {manifest.wanted} verified held-out images in "
        f"{store.root.rstrip('/')}/{VERIFIED_FOLDER}/"
    )


def parse_moment(option: str, text: str) -> float:
    """Unix seconds of an ISO date, infinite for none; StudyError names the option."""
    if not text:
        return float("inf")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise StudyError(f"{option} {text!r} is no moment; remedy: write it like 2026-12-31T18:00:00+00:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _describe_import(store: Store, done: Imported) -> Iterator[str]:
    yield ", ".join(f"{kind} {count}" for kind, count in done.counts.items())
    for kind in done.counts:
        named = [fault for fault in done.faults if fault.kind == kind]
        for fault in named[: _NAMED if kind != MISSING else 2]:
            yield f"  {kind}: {': '.join(filter(None, (fault.where, fault.detail)))}"
        if len(named) > _NAMED:
            yield f"  … {len(named)} in all"
    yield f"every one of them: {store.root.rstrip('/')}/{done.path}"
