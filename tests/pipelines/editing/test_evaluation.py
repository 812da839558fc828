"""`moodarchive edit-eval`: what it prints, what it writes, how it ends."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from editor.evaluation.pairs import write_pairs
from moodarchive.errors import EditError
from pipelines.commands.app import app
from tests.editor.evaluation.folders import folder_of_pairs

pytest.importorskip("torch")
HOSTILE = "<script>alert(1)</script>"
NOWHERE = ["--dino", "/nowhere/dino", "--lpips", "/nowhere/squeeze.pth", "--clip", "/nowhere/clip"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """A folder with a broken edit and a hostile method's name, measured without any weights."""
    folder = tmp_path_factory.mktemp("edits")
    pairs = folder_of_pairs(folder)
    (folder / pairs[0].edited).write_bytes(b"broken")
    timed = [
        replace(pair, seconds=seconds) for pair, seconds in zip(pairs, ("9", "1.5", "2", "30", "", ""), strict=True)
    ]
    write_pairs(folder, [*timed[:-1], replace(timed[-1], method=HOSTILE)])
    told = CliRunner().invoke(app, ["edit-eval", str(folder), *NOWHERE], env={"COLUMNS": "220"})
    return folder, told.exit_code, told.output


def test_missing_weights_leave_columns_empty_and_are_told_and_the_rest_goes_on(measured: tuple[Path, int, str]) -> None:
    _, _, told = measured
    assert told.count("not measured:") == 4 and "Apache-2.0" in told and "1.7 GB" in told
    (moodifier,) = re.findall(r"\n +moodifier +– +([\d.]+) +– +[\d.]+ +[\d.]+ +– *\n", told)
    assert float(moodifier) > 0
    assert re.search(r"\n *ControlNet +21.9 +22.01 .*\n *Instruct-Pix2Pix ", told)  # not run: no line of ours


def test_a_narrow_terminal_loses_no_column_and_no_digit(measured: tuple[Path, int, str]) -> None:
    folder, _, wide = measured
    printed = CliRunner().invoke(app, ["edit-eval", str(folder), *NOWHERE], env={"COLUMNS": "80"}).output
    tables = printed[: printed.index("not measured:")]
    assert all(len(line) <= 80 for line in tables.splitlines()) and "…" not in tables
    for figures in (r"18\.54 +21\.55 +102\.2 +131\.2 +81\.63 +16\.03", r"Seconds an edit, median ↓ +(– +)?2\.00"):
        assert re.search(figures, tables) and re.search(figures, wide)


def test_a_pair_that_cannot_be_read_is_named_and_the_command_ends_with_one(measured: tuple[Path, int, str]) -> None:
    folder, code, told = measured
    assert code == 1
    assert re.search(r"edits/0-joy.png: bad_picture: .*remedy", told) and "6 pairs, 1 failed" in told
    (folder / "edits/0-joy.png").write_bytes((folder / "edits/0-fear.png").read_bytes())
    assert CliRunner().invoke(app, ["edit-eval", str(folder), *NOWHERE]).exit_code == 0


def test_the_page_stands_by_its_sheets_and_strangers_names_are_text(measured: tuple[Path, int, str]) -> None:
    folder, _, told = measured
    page = (folder / "evaluation/index.html").read_text()
    assert HOSTILE not in page and HOSTILE.replace("<", "&lt;").replace(">", "&gt;") in page
    assert "evaluation/index.html" in told and "default-src 'none'" in page
    sheets = re.findall(r'<img src="(sheets/[^"]+)"', page)
    assert len(sheets) == 3 and all((folder / "evaluation" / sheet).is_file() for sheet in sheets)
    for figure in ("17.4", "22.19", "16.13", "51.56", "18.54"):
        assert f">{figure}<" in page


def test_a_second_run_leaves_every_byte_as_it_was(measured: tuple[Path, int, str]) -> None:
    folder, _, _ = measured
    CliRunner().invoke(app, ["edit-eval", str(folder), *NOWHERE])
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    CliRunner().invoke(app, ["edit-eval", str(folder), *NOWHERE])
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()} == before


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["edit-eval", str(tmp_path / "nothing")])
    assert isinstance(found.exception, EditError) and "is no folder" in str(found.exception)
