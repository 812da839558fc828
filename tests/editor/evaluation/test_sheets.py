"""Contact sheets show every source beside its edits, and tell what is missing from what is broken."""

from pathlib import Path

import numpy as np
from PIL import Image

from editor.evaluation.pairs import Pair
from editor.evaluation.scores import Scored
from editor.evaluation.sheets import CELL, GAP, HEAD, SHEETS, write_sheets
from moodarchive.emotions.taxonomy import EMOTIONS
from tests.editor.evaluation.folders import folder_of_pairs, picture


def cell(sheet: Image.Image, row: int, column: int) -> np.ndarray:  # type: ignore[type-arg]
    left, top = GAP + column * (CELL + GAP), HEAD + row * (CELL + GAP)
    return np.asarray(sheet.crop((left, top, left + CELL, top + CELL))).astype(int)


def test_a_sheet_has_a_row_a_source_and_a_column_an_emotion(tmp_path: Path) -> None:
    pairs = folder_of_pairs(tmp_path, sources=1)
    (tmp_path / "edits/0-fear.png").write_bytes(b"broken")
    (sheet,) = write_sheets(tmp_path, [Scored(pair=pair) for pair in pairs])
    image = Image.open(tmp_path / sheet.path)
    assert image.size == (sheet.width, sheet.height) == (GAP + 28 * (CELL + GAP), HEAD + CELL + GAP)
    joy, fear, love = (cell(image, 0, 1 + EMOTIONS.index(name)) for name in ("joy", "fear", "love"))
    shown = np.asarray(Image.open(tmp_path / "edits/0-joy.png").resize((96, 80)).convert("RGB")).astype(int)
    assert np.abs(joy[12:92, 4:100] - shown).mean() < 12  # as JPEG keeps it
    spread = [each.std(axis=(0, 1)).max() for each in (love, fear, joy)]
    assert spread[0] < 3 < spread[1] < spread[2]  # blank, crossed, a picture


def test_ten_sources_fill_a_sheet_and_other_tables_sheets_go(tmp_path: Path) -> None:
    picture(tmp_path / "e.png", 1)
    rows = [
        Scored(pair=Pair(source=f"s{n:02d}.png", edited="e.png", emotion="awe", method=method))
        for method in ("a/../b", "a b") for n in range(11)
    ]  # fmt: skip
    sheets = write_sheets(tmp_path, rows)
    assert [(sheet.number, sheet.of, len(sheet.sources)) for sheet in sheets] == [(1, 2, 10), (2, 2, 1)] * 2
    names = {path.name for path in (tmp_path / SHEETS).iterdir()}
    assert len(names) == 4 and {f"{SHEETS}/{name}" for name in names} == {sheet.path for sheet in sheets}
    before = {name: (tmp_path / SHEETS / name).read_bytes() for name in names}
    again = write_sheets(tmp_path, rows[11:])
    assert {path.name for path in (tmp_path / SHEETS).iterdir()} == {Path(sheet.path).name for sheet in again}
    assert all((tmp_path / sheet.path).read_bytes() == before[Path(sheet.path).name] for sheet in again)
