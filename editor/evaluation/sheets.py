"""Contact sheets: a method's edits of a category, one row a source, one column an emotion."""

import io
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from editor.evaluation.frames import open_picture
from editor.evaluation.pairs import Pair
from editor.evaluation.scores import Scored
from moodarchive.emotions.taxonomy import EMOTIONS, words
from moodarchive.errors import RowError
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest

SHEETS = "evaluation/sheets"
SOURCES_PER_SHEET = 10
CELL, GAP, HEAD, FONT_SIZE = 104, 4, 26, 13
_PAPER, _INK, _EMPTY, _LOST = (246, 245, 241), (34, 37, 44), (232, 229, 222), (196, 105, 58)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A JPEG below the folder: its size in pixels, and what it shows."""

    path: str
    method: str
    category: str
    number: int
    of: int
    width: int
    height: int
    sources: tuple[str, ...]
    emotions: tuple[str, ...]


def write_sheets(folder: Path, rows: Sequence[Scored]) -> list[Sheet]:
    """Writes every sheet anew and removes those of earlier tables; equal pictures give equal bytes."""
    store = Store(str(folder))
    sheets = []
    for (method, category), sources in sorted(_group(rows).items()):
        emotions = _columns(sources)
        names = sorted(sources)
        pages = [names[i : i + SOURCES_PER_SHEET] for i in range(0, len(names), SOURCES_PER_SHEET)]
        for number, page in enumerate(pages, start=1):
            image = _draw(folder, {name: sources[name] for name in page}, emotions)
            path = f"{SHEETS}/{_file_name(method, category)}-{number:02d}.jpg"
            store.write_bytes(path, _encode(image))
            sheets.append(
                Sheet(
                    path=path, method=method, category=category, number=number, of=len(pages), width=image.width,
                    height=image.height, sources=tuple(page), emotions=emotions,
                )
            )  # fmt: skip
    wanted = {sheet.path for sheet in sheets}
    for name in store.names(SHEETS):
        if name.endswith(".jpg") and f"{SHEETS}/{name}" not in wanted:
            store.remove(f"{SHEETS}/{name}")
    return sheets


_Sources = dict[str, dict[str, Pair]]


def _group(rows: Sequence[Scored]) -> dict[tuple[str, str], _Sources]:
    """(method, category) → source → emotion → the pair; of several pairs of a cell the first by name."""
    groups: dict[tuple[str, str], _Sources] = defaultdict(lambda: defaultdict(dict))
    for row in sorted(rows, key=lambda row: row.pair.edited):
        groups[row.pair.method, row.pair.category][row.pair.source].setdefault(row.pair.emotion, row.pair)
    return groups


def _columns(sources: _Sources) -> tuple[str, ...]:
    """The 27 emotions; or the ones that there are, where some are not among the 27."""
    there = {emotion for pairs in sources.values() for emotion in pairs}
    return EMOTIONS if there <= set(EMOTIONS) else tuple(sorted(there))


def _draw(folder: Path, sources: _Sources, emotions: Sequence[str]) -> Image.Image:
    step = CELL + GAP
    sheet = Image.new("RGB", (GAP + step * (1 + len(emotions)), HEAD + step * len(sources)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(("source", *map(words, emotions))):
        _label(draw, title, GAP + column * step)
    for row, (source, pairs) in enumerate(sources.items()):
        cells: Iterator[str] = iter((source, *(pairs[one].edited if one in pairs else "" for one in emotions)))
        for column, name in enumerate(cells):
            _cell(sheet, draw, _small(folder, name) if name else None, name, (GAP + column * step, HEAD + row * step))
    return sheet


def _label(draw: ImageDraw.ImageDraw, title: str, left: int) -> None:
    size = FONT_SIZE
    while (font := ImageFont.load_default(size)).getlength(title) > CELL and size > 7:
        size -= 1
    draw.text((left + CELL / 2, HEAD / 2), title, font=font, fill=_INK, anchor="mm")


def _cell(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, picture: Image.Image | None, name: str, at: tuple[int, int]
) -> None:
    if picture is None:
        box = (*at, at[0] + CELL - 1, at[1] + CELL - 1)
        draw.rectangle(box, fill=_EMPTY)
        if name:  # a picture that cannot be read is not the same as one that was never made
            draw.line((box[0] + 30, box[1] + 30, box[2] - 30, box[3] - 30), fill=_LOST, width=3)
            draw.line((box[0] + 30, box[3] - 30, box[2] - 30, box[1] + 30), fill=_LOST, width=3)
        return
    sheet.paste(picture, (at[0] + (CELL - picture.width) // 2, at[1] + (CELL - picture.height) // 2))


def _small(folder: Path, name: str) -> Image.Image | None:
    try:
        picture = open_picture(folder, name).image
    except RowError:
        return None
    picture.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    return picture


def _encode(image: Image.Image) -> bytes:
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=88)
    return sink.getvalue()


def _file_name(method: str, category: str) -> str:
    """Legible, and apart from those of other methods and categories."""
    legible = re.sub(r"[^a-z0-9]+", "-", f"{method} {category}".casefold()).strip("-")[:60]
    return f"{legible}-{digest([method, category])[:6]}"
