"""Verdicts go back into the archive as the table human_verdicts/: one row an image, nobody named."""

import time
from collections import defaultdict
from collections.abc import Iterator

from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from moodarchive.tables.parts import Origin, finished_parts, part_path, read_part, sidecar_path, write_part
from moodarchive.tables.schemas import HUMAN_VERDICTS, as_batch, empty_row
from validate.study.design.items import read_items
from validate.study.statistics.study import Study
from validate.study.statistics.verdict import ItemVerdict, Verdict

Row = dict[str, object]


BROWSE = "browse"
"""Who judged an image that no study asked about: one person, who looked through the archive."""


def write_verdicts(store: Store, study: Study, verdict: Verdict, by: str | None = None) -> int:
    """Writes every part that holds a judged image, and removes those that hold none any more; returns the new rows.

    Verdicts by others than ``by`` stay; of an image that both have judged, the study's verdict holds.
    """
    rows: dict[int, list[Row]] = defaultdict(list)
    others = {row["key"]: (part, row) for part, row in _rows_by_part(store) if row["by"] != by}
    count = 0
    for one in verdict.items:
        if by is not None and one.item.key in others:
            continue
        others.pop(one.item.key, None)
        rows[one.item.part].append(_row(one, study) | {"by": by})
        count += 1
    for part, row in others.values():
        rows[part].append(row)
    origin = Origin(settings=digest([study.design.seed, study.design.workers]), inputs={}, started=time.time())
    for part in finished_parts(store, HUMAN_VERDICTS).keys() - rows.keys():
        store.remove(sidecar_path(HUMAN_VERDICTS, part))
        store.remove(part_path(HUMAN_VERDICTS, part))
    for part, of_part in rows.items():
        ordered = sorted(of_part, key=lambda row: str(row["key"]))
        write_part(store, HUMAN_VERDICTS, part, [as_batch(HUMAN_VERDICTS, ordered)], origin)
    return count


def _row(one: ItemVerdict, study: Study) -> Row:
    enough = 2 * one.answers >= study.design.workers
    return empty_row(
        HUMAN_VERDICTS,
        key=one.item.key,
        accepted=one.accepted if enough else None,
        probability=round(one.probability, 6),
        by_majority=one.by_majority,
        answers=one.answers,
        wanted=study.design.workers,
        generated=one.votes[0],
        original=one.votes[1],
        neither=one.votes[2],
        wrong=list(one.wrong),
        reasons=[reason for reason, _ in one.reasons],
        caption_hash=one.item.caption_hash,
        simulated=study.design.simulated,
    )


def read_verdicts(store: Store) -> Iterator[Row]:
    """Every verdict of a study, part by part, in key order within a part."""
    return (row for _, row in _rows_by_part(store) if row["by"] is None)


def _rows_by_part(store: Store) -> Iterator[tuple[int, Row]]:
    for part in sorted(finished_parts(store, HUMAN_VERDICTS)):
        for batch in read_part(store, HUMAN_VERDICTS, part, batch_rows=10_000):
            yield from ((part, row) for row in batch.to_pylist())


def find_rejected_heldout(store: Store) -> frozenset[str]:
    """Held-out images whose caption people did not accept: others are asked in their place."""
    heldout = {item.key for item in read_items(store) if item.split == "heldout" and not item.gold}
    return frozenset(
        str(row["key"]) for row in read_verdicts(store) if row["accepted"] is False and row["key"] in heldout
    )
