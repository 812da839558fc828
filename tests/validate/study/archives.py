"""A sealed archive of several emotions, contexts and licences, made in a second, for studies of its captions."""

import json
from typing import Any

from moodarchive.storage.store import Store
from moodarchive.tables.schemas import SCHEMA_VERSION
from shards.seal import seal
from tests.making import IMAGE_TABLES, PLAIN, Fate, pack_parts, write_rows

CELLS = (
    ("joy", "natural_scenery"),
    ("anger", "urban_scenery"),
    ("sadness", "object_classes"),
    ("fear", "facial_expressions"),
)
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)> \"quoted\" & 'so' ${item} ]]>"


def study_archive(store: Store, images: int = 96, hostile: bool = False, licence: str = "by 2.0") -> None:
    """Two parts; every sixth image is held out, every 24th has a licence that a study may not show."""
    write = json.dumps({"schema_version": SCHEMA_VERSION, "per_row": {}, "whole_table": {}})
    store.write_bytes("settings.json", write.encode())
    half = images // 2
    for part, numbers in enumerate((range(half), range(half, images))):
        rows = sorted((_rows(number, hostile, licence) for number in numbers), key=lambda row: str(row["items"]["key"]))
        for table in IMAGE_TABLES:
            write_rows(store, table, part, [row[table.name] for row in rows])
    pack_parts(store, (0, 1), PLAIN)
    assert seal(store)


def _rows(number: int, hostile: bool, licence: str) -> dict[str, Any]:
    split = "heldout" if number % 6 == 4 else "train"
    rows = Fate(number=number, split=split, licence="by-nd 4.0" if number % 24 == 0 else licence).rows()
    emotion, context = CELLS[number % len(CELLS)]
    cell = {"emotion": emotion, "context": context}
    rows["selection"] |= cell
    rows["scores"] |= cell
    rows["items"]["queries"] = [{**rows["items"]["queries"][0], **cell}]
    if hostile:
        rows["items"]["alt_text"] = f"{number} {HOSTILE}"
        rows["captions"]["summary"] = f"{HOSTILE} of {number}."
    return rows
