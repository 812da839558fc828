"""EPEM's tables have the paper's figures, and ours only where they were measured."""

from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from editor.evaluation.pairs import Pair
from editor.evaluation.run import Measured
from editor.evaluation.scores import Scored
from pipelines.editing.epem_tables import COLUMNS, ELEMENTS, PAPER, epem_tables
from tests.making import textured


def _measured(folder: Path, method: str, edited: Image.Image) -> Measured:
    textured(64, 64, seed=1).save(folder / "a.png")
    edited.save(folder / "b.png")
    pair = Pair(source="a.png", edited="b.png", emotion="awe", method=method, category="all")
    return Measured(rows=(Scored(pair=pair, values={"clip_prompt": 21.5}),), missing=())


def _printed(folder: Path, measured: Measured) -> str:
    console = Console(width=140, record=True, quiet=True)
    with console.capture() as printed:
        console.quiet = False
        for table in epem_tables(folder, measured):
            console.print(table)
    return printed.get()


def test_our_row_stands_under_the_papers_and_what_lacks_is_told(tmp_path: Path) -> None:
    printed = _printed(tmp_path, _measured(tmp_path, "epem", textured(64, 64, seed=1)))
    lines = [line.split() for line in printed.splitlines()]
    at = lines.index(["EPEM", ".068", ".339", "58.29", "82.70", "27.96", "59.97", "75.8", "80.2", "9.6"])
    assert lines[at + 1] == ["epem", "–", "–", "100.00", "–", "21.50", "–", "–", "–", "–"]
    assert "needs the paper's classifier" in " ".join(printed.split()) and ".072/79.89/70.6" in printed
    other = _printed(tmp_path, _measured(tmp_path, "epem w/o eai", textured(64, 64, seed=2)))
    (ours,) = (line.split() for line in other.splitlines() if line.strip().startswith("epem w/o eai"))
    assert 0 < float(ours[5]) < 90


def test_without_epem_nothing_is_printed(tmp_path: Path) -> None:
    assert _printed(tmp_path, _measured(tmp_path, "infedit", textured(64, 64, seed=1))) == ""


@pytest.mark.parametrize("row", PAPER["rows"], ids=lambda row: row["method"])
def test_every_row_of_the_paper_is_whole(row: dict[str, list[str]]) -> None:
    assert len(row["all"]) == len(COLUMNS) and all(len(row[element]) == 3 for element in ELEMENTS)
    assert all(float(figure) > 0 for figure in row["all"])
