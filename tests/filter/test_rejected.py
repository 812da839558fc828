"""Captions that people refused are cut when the settings say so, and nothing else changes."""

import pytest

from filter.cut import CutSettings, cut, is_cut_current
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from moodarchive.tables.schemas import CAPTIONS, HUMAN_VERDICTS, SELECTION
from tests.making import Fate, rows_of, write_fates, write_rows

PLAIN = CutSettings(percentile=0, heldout=0.2)
CUTTING = PLAIN.model_copy(update={"rejected": "cut"})


def _archive(store: Store) -> list[dict[str, object]]:
    write_fates(store, 0, [Fate(number=number * 0x1F2E3D5) for number in range(1, 13)])  # no look-alikes
    rows = rows_of(store, CAPTIONS, 0)
    rows[1]["summary"] = 'A "quoted" scene \\ with a slash / and ünïcode – dashes.'
    write_rows(store, CAPTIONS, 0, rows)
    return rows


def _hash(row: dict[str, object]) -> str:
    return digest([row["summary"], *row["stimuli"], row["assessment"]])  # type: ignore[misc]


@pytest.mark.parametrize(("settings", "cut_rows"), [(PLAIN, set()), (CUTTING, {1, 2})])
def test_only_what_people_refused_of_the_captions_as_they_are_is_cut(
    store: Store, settings: CutSettings, cut_rows: set[int]
) -> None:
    rows = _archive(store)
    cut(store, PLAIN, [0])
    before = rows_of(store, SELECTION, 0)
    verdicts = [
        {"key": rows[place]["key"], "accepted": accepted, "simulated": simulated, "caption_hash": name}
        for place, accepted, simulated, name in (
            (1, False, False, _hash(rows[1])),
            (2, False, False, _hash(rows[2])),
            (3, True, False, _hash(rows[3])),
            (4, False, True, _hash(rows[4])),  # a rehearsal
            (5, False, False, "of an earlier one"),
            (6, None, False, _hash(rows[6])),  # too few answers
        )
    ]
    write_rows(store, HUMAN_VERDICTS, 0, verdicts)
    assert is_cut_current(store, settings, [0]) == (settings == PLAIN)
    cut(store, settings, [0])
    assert is_cut_current(store, settings, [0])
    after = rows_of(store, SELECTION, 0)
    dropped = {place for place, row in enumerate(after) if row["reason"] == "rejected_by_people"}
    assert dropped == cut_rows
    assert [row for place, row in enumerate(after) if place not in dropped] == [
        row for place, row in enumerate(before) if place not in dropped
    ]
