"""Brings the marks of repeats before captions up to date, round by round; what is current is left alone."""

from crawl.rounds.rounds import read_rounds
from filter.cut import CutSettings
from filter.early_repeats import are_marks_current, mark_before_captions
from moodarchive.storage.store import Store
from shards.seal import unseal


def bring_marks_up_to_date(store: Store, settings: CutSettings, until: int) -> None:
    """Marks the repeats of every round up to this one; the seal is broken before a mark changes."""
    known: list[int] = []
    for record in read_rounds(store):
        if record.number <= until:
            known += record.image_parts
            if not are_marks_current(store, settings, record.image_parts, known):
                unseal(store)
                mark_before_captions(store, settings, record.image_parts, known)
