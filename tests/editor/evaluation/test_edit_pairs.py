"""`moodarchive edit --pairs` leaves a folder that `moodarchive edit-eval` measures."""

import re
from pathlib import Path
from statistics import median

from typer.testing import CliRunner

from editor.evaluation.pairs import read_pairs
from moodarchive.errors import EditError
from moodarchive.tables.parquet import read_table
from pipelines.commands.app import app
from tests.editor.evaluation.folders import picture
from tests.editor.small_models import SmallModels

NOWHERE = ["--dino", "/nowhere/dino", "--lpips", "/nowhere/squeeze.pth", "--clip", "/nowhere/clip"]


def test_edits_are_noted_with_source_mask_and_prompt_and_can_be_measured(tmp_path: Path, small: SmallModels) -> None:
    picture(tmp_path / "photo.png", 1)
    folder = tmp_path / "evaluated"
    asked = ["edit", str(tmp_path / "photo.png"), "--emotion", "joy", "--emotion", "fear", "--prompt", "a feast"]
    how = ["--base", small.base, "--model", small.moodify, "--box", "0.2,0.2,0.7,0.8", "--steps", "1", "--size", "32"]
    where = ["--no-own-surroundings", "-o", str(folder / "ours"), "--pairs", str(folder), "--category", "face"]
    for _ in range(2):  # the second time replaces the rows
        done = CliRunner().invoke(app, [*asked, *how, *where])
        assert done.exit_code == 0, done.output
    pairs = read_pairs(folder)
    assert [(pair.edited, pair.emotion) for pair in pairs] == [
        ("ours/photo-joy.png", "joy"),
        ("ours/photo-fear.png", "fear"),
    ]
    assert {(pair.category, pair.method, pair.prompt) for pair in pairs} == {("face", "moodifier", "a feast")}
    seconds = [float(pair.seconds) for pair in pairs]
    assert min(seconds) > 0
    evaluated = CliRunner().invoke(app, ["edit-eval", str(folder), *NOWHERE])
    assert evaluated.exit_code == 0
    assert re.search(rf"Seconds an edit, median ↓ +{median(seconds):.2f}\n", evaluated.output)
    rows = read_table(str(folder / "evaluation/scores.parquet")).to_pylist()
    assert all(row["status"] == "ok" and row["mse"] > 0 for row in rows)


def test_edits_outside_the_evaluated_folder_are_refused_before_any_work(tmp_path: Path) -> None:
    picture(tmp_path / "photo.png", 1)
    asked = ["edit", str(tmp_path / "photo.png"), "--emotion", "joy", "-o", str(tmp_path / "elsewhere")]
    told = CliRunner().invoke(app, [*asked, "--pairs", str(tmp_path / "evaluated")])
    assert isinstance(told.exception, EditError) and "outside --pairs" in str(told.exception)
