"""The study verbs for records: checks and rankings."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from validate.study.design.study import CHECKS, folder, read_design
from validate.study.records.items import RecordItem, draw_records, read_record_items
from validate.study.records.questions import RecordQuestions
from validate.study.records.verdict import export_checks, export_ranking, import_record_answers


def draw(store: Store, kind: str, given: str, *, workers: int, seed: int) -> str:
    """Takes the records of a folder in."""
    with only_writer(store):
        design = draw_records(store, kind, given, workers=workers, seed=seed)
    return f"{design.n} records; {design.workers} answers each"


def questions(store: Store, kind: str) -> RecordQuestions:
    """What the page asks."""
    return RecordQuestions(read_design(store, kind), _items(store, kind), store)


def import_answers(store: Store, kind: str, channel: str, ledger: Path) -> str:
    """Imports the page's answers."""
    if channel != "page":
        raise StudyError(f"--from {channel}: {kind} are asked on our own page only; remedy: --from page")
    with only_writer(store):
        counts = import_record_answers(store, read_design(store, kind), _items(store, kind), ledger)
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def write_report(store: Store, kind: str) -> Iterator[str]:
    """Writes what people said, one line a record, and tells the sum."""
    design, items = read_design(store, kind), _items(store, kind)
    top = f"{store.root.rstrip('/')}/{folder(kind)}"
    with only_writer(store):
        if kind == CHECKS:
            rows = export_checks(store, design, items)
            counts = Counter(row["status"] for row in rows)
            yield ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
            yield f"{top}/checked.jsonl"
            return
        rows = export_ranking(store, design, items)
    yield f"{sum(row['best'] is not None for row in rows)} of {len(rows)} records have a best candidate"
    yield f"{top}/ranked.jsonl"
    yield f"{top}/instructions.json"


def _items(store: Store, kind: str) -> dict[str, RecordItem]:
    return {item.item: item for item in read_record_items(store, kind)}
