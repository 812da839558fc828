"""The barrier before captions: repeats among all safe pictures are found first, so that none of them is described."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from filter.cut import BEFORE_CAPTIONS, INPUTS, SHARE, SPLIT, CutSettings, OrderedParts
from filter.repeats import mark_repeats
from moodarchive.settings import Settings, SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from moodarchive.tables.parts import Origin, finished_parts, write_part, write_sidecar
from moodarchive.tables.schemas import IMAGES, ITEMS, REPEATS, SAFETY
from moodarchive.tables.sql import connect, view

_READS = (ITEMS, IMAGES, SAFETY)
_JUDGED = f"""
CREATE TABLE judged AS
SELECT d.key, d.part, d.round, i.phash, i.area, {BEFORE_CAPTIONS} AS reason, {SPLIT} AS split
FROM items d JOIN images i USING (key) JOIN safety f USING (key), {SHARE}
"""
_ORDERED = """
SELECT j.part, j.key, m.reason, m.of FROM judged j LEFT JOIN marked m USING (key)
WHERE j.part >= {first} ORDER BY j.part, j.key
"""


class RepeatSettings(Settings):
    """When repeats are found."""

    before_captions: Annotated[bool, SettingScope.PER_ROW] = False
    """Before captions, which then wait for all of a round's pictures; else by the cut. It saves a caption a repeat."""


def are_marks_current(store: Store, settings: CutSettings, parts: Sequence[int], known: Sequence[int]) -> bool:
    """True when the parts of a round were marked from what they, and those of earlier rounds, hold now.

    ``known`` are the parts of all rounds up to this one.
    """
    origin = _origin(store, settings, known)
    done = finished_parts(store, REPEATS)
    return all(
        part in done and (done[part].settings, done[part].inputs) == (origin.settings, origin.inputs) for part in parts
    )


def mark_before_captions(store: Store, settings: CutSettings, parts: Sequence[int], known: Sequence[int]) -> None:
    """Writes repeats/ of a round's parts. Whole-table, exact, in bounded memory; later rounds change no mark.

    Who survives is decided as the cut does, but among all safe pictures: a survivor may yet fail to be described.
    """
    origin = _origin(store, settings, known)
    with connect(store) as connection:
        for table, columns in INPUTS:
            if table in _READS:
                view(connection, store, table, known, columns)
        connection.execute(_JUDGED, {"heldout": settings.heldout, "validation": settings.validation})
        mark_repeats(connection)
        rows = OrderedParts(connection, REPEATS, _ORDERED.format(first=min(parts, default=0)))
        for part in sorted(parts):
            write_part(store, REPEATS, part, rows.of(part), origin)


def adopt_mark_inputs(
    store: Store, settings: CutSettings, parts: Sequence[int], known: Sequence[int], earlier: str
) -> None:
    """Marks the parts of a round as made from the tables as they are now, if their inputs' digest was ``earlier``."""
    done = finished_parts(store, REPEATS)
    inputs = _origin(store, settings, known).inputs if done.keys() & set(parts) else {}
    for part in parts:
        if part in done and done[part].inputs == {"tables": earlier} != inputs:
            write_sidecar(store, REPEATS, replace(done[part], inputs=inputs))


def _origin(store: Store, settings: CutSettings, known: Sequence[int]) -> Origin:
    tables = {table.name: finished_parts(store, table) for table in _READS}
    digests = {name: [done[part].sha256 for part in known] for name, done in tables.items()}
    return Origin(
        settings=digest({"heldout": settings.heldout}), inputs={"tables": digest(digests)}, started=time.time()
    )
