"""The study verbs for edits: draw, ask, import, report."""

from collections.abc import Iterator
from pathlib import Path

from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from pipelines.study.report import render_page
from validate.study.design.study import EDITS, folder, read_design
from validate.study.edits.items import EditItem, draw_edits, read_edit_items
from validate.study.edits.questions import EditQuestions
from validate.study.edits.verdict import import_edit_answers, judge_edits

REPORT_PATH = f"{folder(EDITS)}/report.html"
_STYLES = ("style.css", "charts.css", "study.css")


def draw(store: Store, edits: str, *, workers: int, seed: int) -> str:
    """Takes the edits of a folder in."""
    with only_writer(store):
        design = draw_edits(store, edits, workers=workers, seed=seed)
    methods = sorted({edit.method for item in read_edit_items(store) for edit in item.edits})
    return f"{design.n} pictures and emotions, edited by {', '.join(methods)}; {design.workers} answers each"


def questions(store: Store) -> EditQuestions:
    """What the page asks."""
    return EditQuestions(read_design(store, EDITS), _items(store), store)


def import_answers(store: Store, channel: str, ledger: Path) -> str:
    """Imports the page's answers."""
    if channel != "page":
        raise StudyError(f"--from {channel}: edits are asked on our own page only; remedy: --from page")
    with only_writer(store):
        counts = import_edit_answers(store, read_design(store, EDITS), _items(store), ledger)
    return ", ".join(f"{kind} {count}" for kind, count in counts.items())


def write_report(store: Store) -> Iterator[str]:
    """Judges, and writes the page."""
    with only_writer(store):
        verdict = judge_edits(store, _items(store))
        store.write_bytes(REPORT_PATH, render_page("edit_study.html.jinja", verdict, _STYLES).encode())
    for line in sorted(verdict.rates, key=lambda one: -one.rate):
        if line.question == "overall":
            yield f"{line.method}: among the best three overall in {100 * line.rate:.1f}% of the answers"
    yield f"{store.root.rstrip('/')}/{REPORT_PATH}"


def _items(store: Store) -> dict[str, EditItem]:
    return {item.item: item for item in read_edit_items(store)}
