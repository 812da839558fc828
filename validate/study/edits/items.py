"""The edit study (Moodifier, table 4): which three of several edits of a picture are preferred, and its items."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from validate.study.design.study import EDITS, StudyDesign, find_design, folder, write_design

QUESTIONS = {"look": "look best", "emotion": "show the emotion best", "overall": "are best overall"}
"""What is asked of the edits, in this order."""
PICKED, FEWEST = 3, 4
"""Edits that are picked for each question; of three there would be nothing to pick."""
COLUMNS = ("picture", "emotion", "method", "file")
ITEMS_PATH = f"{folder(EDITS)}/items.json"
_SIDE, _MOST_PIXELS = 1_024, 40_000_000


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One method's edit; ``name`` tells nothing of the method."""

    name: str
    method: str


@dataclass(frozen=True, kw_only=True)
class EditItem:
    """A picture (by ``source``, a picture's name) that every method has edited towards one emotion."""

    item: str
    emotion: str
    source: str
    edits: tuple[Edit, ...]


def draw_edits(store: Store, edits: str, *, workers: int, seed: int) -> StudyDesign:
    """Takes in a folder with edits.csv (columns picture, emotion, method, file); every item is asked.

    Pictures are encoded anew, so that neither names nor metadata tell the method. A later call may bring more items.
    """
    if not edits:
        raise StudyError("--kind edits needs --edits: a folder with edits.csv")
    top = Path(edits)
    rows = _rows(top)
    items = [_item(store, top, seed, key, methods) for key, methods in sorted(rows.items())]
    known = {item.item: item for item in read_edit_items(store)}
    both = known | {item.item: item for item in items}
    design = StudyDesign(
        kind=EDITS, seed=seed, n=len(both), heldout=0, workers=workers, gold=0.0, strata=(), left_out={},
        batches=(len(both),), simulated=False,
    )  # fmt: skip
    earlier = find_design(store, EDITS)
    if earlier and earlier.seed != seed:
        raise StudyError(f"--seed {seed}: it was drawn with seed {earlier.seed}; remedy: leave --seed as it was")
    text = json.dumps([asdict(item) for item in both.values()], indent=1) + "\n"
    store.write_bytes(ITEMS_PATH, text.encode())
    write_design(store, design)
    return design


def read_edit_items(store: Store) -> list[EditItem]:
    """Every item; none before the first drawing."""
    if not store.exists(ITEMS_PATH):
        return []
    return [
        EditItem(**{**row, "edits": tuple(Edit(**edit) for edit in row["edits"])})
        for row in json.loads(store.read_bytes(ITEMS_PATH))
    ]


def picture_path(name: str) -> str:
    """Where a picture of the study lies."""
    return f"{folder(EDITS)}/pictures/{name}.jpg"


def _rows(top: Path) -> dict[tuple[str, str], dict[str, str]]:
    """(picture, emotion) → method → file."""
    try:
        with (top / "edits.csv").open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise StudyError(f"{top}/edits.csv lacks columns; remedy: {', '.join(COLUMNS)}")
            lines = list(reader)
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(
            f"{top}/edits.csv cannot be read: {error}; remedy: name the folder that holds it as --edits"
        ) from None
    rows: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for line in lines:
        rows[line["picture"], line["emotion"]][line["method"]] = line["file"]
    _refuse_uneven(top, rows.values())
    return rows


def _refuse_uneven(top: Path, items: Iterable[dict[str, str]]) -> None:
    sets = {frozenset(methods) for methods in items}
    if len(sets) != 1 or len(next(iter(sets))) < FEWEST:
        raise StudyError(
            f"{top}/edits.csv: every picture and emotion must be there for the same methods, {FEWEST} or more of them"
        )


def _item(store: Store, top: Path, seed: int, key: tuple[str, str], methods: dict[str, str]) -> EditItem:
    name = digest(["edits", seed, *key])
    edits = []
    for method, file in sorted(methods.items()):
        edits.append(Edit(name=digest([name, method]), method=method))
        store.write_bytes(picture_path(edits[-1].name), encode_picture(top, file, f"{top}/edits.csv"))
    store.write_bytes(picture_path(name), encode_picture(top, key[0], f"{top}/edits.csv"))
    return EditItem(item=name, emotion=key[1], source=name, edits=tuple(edits))


def encode_picture(top: Path, file: str, where: str) -> bytes:
    """A picture below ``top`` as a JPEG without metadata; StudyError, which names ``where`` it stood, for any other."""
    path = (top / file).resolve()
    if not path.is_relative_to(top.resolve()):
        raise StudyError(f"{where}: {file} lies outside the folder")
    try:
        with Image.open(path, formats=["JPEG", "PNG", "WEBP"]) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise StudyError(f"{path} has more than {_MOST_PIXELS:,} pixels")
            small = picture.convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise StudyError(f"{where}: {path} is no picture that can be read: {error}") from None
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    small.save(sink, "JPEG", quality=90)
    return sink.getvalue()
