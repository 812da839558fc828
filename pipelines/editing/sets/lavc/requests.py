"""Which pictures an L-AVC set is made of, in their order, and how each is had."""

import heapq
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import moodarchive
from moodarchive.archive.reader import Archive
from moodarchive.emotions.taxonomy import MIKELS, MIKELS_EIGHT
from moodarchive.errors import DatasetError, NotWholeError
from moodarchive.language_edit.records import ELEMENTS
from moodarchive.running.part_log import forget_logs
from moodarchive.storage.store import Store
from moodarchive.tables.keys import canonical_json, digest, image_key
from moodarchive.tables.layout import DOUBTFUL
from moodarchive.tables.parts import finished_parts, read_part
from moodarchive.tables.schemas import ITEMS, LAVC_REQUESTS, SELECTION, empty_row
from pipelines.demo.pairs.drawing import KINDS, PAIRED_EMOTIONS
from pipelines.editing.sets.lavc.settings import LavcSettings
from pipelines.editing.sets.parts import write_request_parts

Row = dict[str, Any]
Cell = tuple[str, str]
"""An emotion and an element."""
ELEMENT_OF_KIND = {"face": "facial", "land": "scene", "house": "object"}
"""Of L-AVC's five elements, the three that are drawn."""
ELEMENT_OF_CONTEXT = {
    "facial_expressions": "facial", "natural_scenery": "scene", "urban_scenery": "scene", "object_classes": "object",
}  # fmt: skip
"""What likely carries the emotion of a picture that was searched in a context."""
EMOSET_ATTRIBUTES = {
    "facial_expression": "facial", "human_action": "action", "object": "object", "scene": "scene",
    "brightness": "color&brightness", "colorfulness": "color&brightness",
}  # fmt: skip
"""EmoSet's annotation of a picture → the element that it speaks of."""
CHOSEN = "chosen.json"
"""Written once the choice of an archive's pictures is whole: later builds keep it, less what the archive dropped."""
GONE = "taken_down"
_WHOSE = ("source", "title", "creator", "creator_url", "licence", "licence_url", "landing_url")
_CC0 = {"licence": "cc0 1.0", "licence_url": "https://creativecommons.org/publicdomain/zero/1.0/"}


def write_requests(store: Store, settings: LavcSettings) -> list[int]:
    """Writes requests/ part by part, returns the parts; those made from the same settings and rows stay."""
    own = digest(settings.recorded())
    rows: Iterator[Row] = _drawn(settings)
    if settings.kind == "emoset":
        rows = _of_emoset(settings)
    elif settings.kind == "archive":
        rows = _of_archive(store, settings)
    parts = write_request_parts(store, LAVC_REQUESTS, rows, rows_per_part=settings.records_per_part, settings=own)
    if not parts:
        raise DatasetError("no picture fits; remedy: kept pictures under emotions that have one of Mikels' eight")
    if settings.kind == "archive" and not store.exists(CHOSEN):
        store.write_bytes(CHOSEN, (json.dumps({"parts": len(parts)}) + "\n").encode())
    return parts


def _drawn(settings: LavcSettings) -> Iterator[Row]:
    """The same place in two moods of the demo's drawer."""
    for number in range(settings.count):
        draw = random.Random(f"{settings.seed}/lavc/{number}")
        kind, place = KINDS[number % len(KINDS)], settings.first_place + number // len(KINDS)
        before, after = draw.sample(PAIRED_EMOTIONS, 2)
        seeds = [draw.randrange(1 << 30) for _ in range(2)]
        recipe = {
            "drawn": [kind, place, settings.size],
            "source": [before, seeds[0], ""],
            "target": [after, seeds[1], ""],
        }
        yield empty_row(
            LAVC_REQUESTS,
            key=image_key("lavc", f"drawn/{settings.seed}/{settings.first_place}/{number}"),
            number=number,
            element=ELEMENT_OF_KIND[kind],
            emotion=MIKELS[before],
            target=MIKELS[after],
            group=f"{kind}/{place}",
            recipe=canonical_json(recipe),
            source="drawn",
            title=f"A drawn {kind}",
            creator="MoodArchive",
            **_CC0,
        )


def _of_emoset(settings: LavcSettings) -> Iterator[Row]:
    """As evenly over emotions and elements as its annotations go; without them the model names the element."""
    from train.published.emoset import read_emoset

    folder = Path(settings.folder).expanduser()
    listed = read_emoset(folder)
    if unknown := [name for name in listed.classes if name not in MIKELS_EIGHT]:
        raise DatasetError(f"{folder}: {unknown[0]!r} is none of {', '.join(MIKELS_EIGHT)}")
    cells: dict[Cell, list[tuple[str, str]]] = defaultdict(list)
    elements: dict[str, tuple[str, ...]] = {}
    for picture, labels in zip(listed.pictures, listed.labels, strict=True):
        name = picture.path
        annotated = _annotated_elements(folder, name)
        among = annotated or ELEMENTS
        element = among[int(digest([settings.seed, name])[:8], 16) % len(among)]
        elements[name] = (element,) if annotated else ELEMENTS
        cells[listed.classes[labels[0]], element].append((digest([settings.seed, name, "order"]), name))
    chosen = _choose_evenly({cell: sorted(rows) for cell, rows in cells.items()}, settings.count)
    for number, ((emotion, element), name) in enumerate(sorted(chosen, key=lambda one: one[1])):
        key = image_key("emoset", name)
        yield _photo(
            settings, number, key, (emotion, element), {"file": name},
            elements=list(elements[name]), source="emoset", title=name, licence=settings.licence or None,
            licence_url=settings.licence_url or None,
        )  # fmt: skip


def _annotated_elements(folder: Path, name: str) -> tuple[str, ...]:
    """What EmoSet's annotation of a picture speaks of; nothing where there is none."""
    path = folder / Path(name.replace("image", "annotation", 1)).with_suffix(".json")
    try:
        annotation = json.loads(path.read_bytes())
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read: {str(error)[:200]}") from None
    named = {element for attribute, element in EMOSET_ATTRIBUTES.items() if annotation.get(attribute) is not None}
    return tuple(element for element in ELEMENTS if element in named)


def _of_archive(store: Store, settings: LavcSettings) -> Iterator[Row]:
    """A choice once made stays; what the archive has dropped since keeps its number and loses all else."""
    archive = moodarchive.open(settings.archive)
    if not archive.is_sealed:
        raise NotWholeError(f"{settings.archive} is not sealed; remedy: moodarchive run finishes it")
    if store.exists(CHOSEN):
        yield from _kept_choice(store, archive)
        return
    number = 0
    for part, cell_of in sorted(_choose_of_archive(archive, settings).items()):
        for batch in read_part(archive.store, ITEMS, part, columns=["key", *_WHOSE]):
            for item in batch.to_pylist():
                if (cell := cell_of.get(item["key"])) is not None:
                    whose = {name: item[name] for name in _WHOSE}
                    recipe = {"archive": part, "key": item["key"]}
                    yield _photo(settings, number, item["key"], cell, recipe, elements=list(ELEMENTS), **whose)
                    number += 1


def _choose_of_archive(archive: Archive, settings: LavcSettings) -> dict[int, dict[str, Cell]]:
    """Part → key → the emotion and element of the chosen pictures; memory is bounded by the count a cell."""
    cells: dict[Cell, list[tuple[str, tuple[str, int]]]] = defaultdict(list)
    for part in sorted(finished_parts(archive.store, SELECTION)):
        fresh: dict[Cell, list[tuple[str, tuple[str, int]]]] = defaultdict(list)
        for row in _kept_rows(archive, part):
            emotion, element = MIKELS.get(row["emotion"] or ""), ELEMENT_OF_CONTEXT.get(row["context"] or "")
            if emotion and element:
                fresh[emotion, element].append((digest([settings.seed, row["key"]]), (row["key"], part)))
        for cell, rows in fresh.items():  # no cell gives more than the whole set
            cells[cell] = heapq.nsmallest(settings.count, cells[cell] + rows)
    chosen: dict[int, dict[str, Cell]] = defaultdict(dict)
    for cell, (key, part) in _choose_evenly(cells, settings.count):
        chosen[part][key] = cell
    return chosen


def _kept_rows(archive: Archive, part: int) -> Iterator[Row]:
    columns = ["key", "kept", "emotion", "context", "verdict"]
    for batch in read_part(archive.store, SELECTION, part, columns=columns, batch_rows=10_000):
        yield from (row for row in batch.to_pylist() if row["kept"] and row["verdict"] != DOUBTFUL)


def _kept_choice(store: Store, archive: Archive) -> Iterator[Row]:
    kept: dict[int, set[str]] = {}
    for part in sorted(finished_parts(store, LAVC_REQUESTS)):
        rows = [row for batch in read_part(store, LAVC_REQUESTS, part) for row in batch.to_pylist()]
        dropped = False
        for index, row in enumerate(rows):
            recipe = json.loads(row["recipe"])
            if GONE in recipe:
                continue
            number = recipe["archive"]
            if number not in kept:
                kept[number] = {one["key"] for one in _kept_rows(archive, number)}
            if row["key"] not in kept[number]:
                dropped = True
                rows[index] = empty_row(
                    LAVC_REQUESTS,
                    recipe=canonical_json({GONE: True}),
                    **{name: row[name] for name in ("key", "number", "element", "group")},
                )
        if dropped:
            forget_logs(store, "texts", [part])
            forget_logs(store, "records", [part])
        yield from rows


def _photo(
    settings: LavcSettings,
    number: int,
    key: str,
    cell: Cell,
    recipe: Mapping[str, object],
    **known: object,
) -> Row:
    emotion, element = cell
    others = [name for name in MIKELS_EIGHT if name != emotion]
    target = random.Random(f"{settings.seed}/lavc/{key}").choice(others) if settings.targets == "drawn" else None
    return empty_row(
        LAVC_REQUESTS,
        key=key,
        number=number,
        element=element,
        emotion=emotion,
        target=target,
        group=key,
        recipe=canonical_json(recipe),
        **known,
    )


def _choose_evenly(cells: Mapping[Cell, list[tuple[str, Any]]], count: int) -> list[tuple[Cell, Any]]:
    """At most ``count``, one of each cell in turn, each cell's in its own order."""
    chosen: list[tuple[Cell, Any]] = []
    for turn in range(max(map(len, cells.values()), default=0)):
        chosen += [(cell, rows[turn][1]) for cell, rows in sorted(cells.items()) if turn < len(rows)]
        if len(chosen) >= count:
            break
    return chosen[:count]
