"""Calls of `moodarchive edit`, as in the field cases."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from editor.provenance import read_record
from moodarchive.errors import MoodArchiveError
from pipelines.commands.app import app
from tests.editor.small_models import SmallModels, small_models
from tests.field_cases.cases import case, ids, needs_cases, rows

pytestmark = needs_cases

CALLS = rows("editor/calls.csv")
REASONS = {
    "did you mean": "did you mean 'joy'",
    "both sizes": r"\d+ ?[x×] ?\d+.*\d+ ?[x×] ?\d+",
    "2 frames": "frames",
    "not both": "--mask excludes --box",
    "is empty": "empty|blank",
    "legal form": "legal",
}
"""What the right values ask to be named, and the words that do."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallModels:
    return small_models(tmp_path_factory.mktemp("small-models"))


def _arguments(call: dict[str, str], folder: Path) -> tuple[list[str], Path]:
    """The call's options, with what else an edit needs, and where it writes."""
    options = shlex.split(call["options"])
    options = [str(case(f"editor/{word}")) if word.startswith("mask") else word for word in options]
    out = folder / "out.png"
    if "-o" in options:
        out = folder / options.pop(options.index("-o") + 1)
        options.remove("-o")
    if not {"--mask", "--box"} & set(options):
        options += ["--whole"]
    if "--prompt" not in options:
        options += ["--plain-prompt"]
    if "--emotion" not in options:
        options += ["--emotion", "joy"]
    return options, out


@pytest.mark.parametrize("call", CALLS, ids=ids(CALLS, "picture", "options"))
def test_calls(call: dict[str, str], small: SmallModels, tmp_path: Path) -> None:
    options, out = _arguments(call, tmp_path)
    models = ["--model", small.moodify, "--base", small.base, "--size", "64", "--steps", "2"]
    done = CliRunner().invoke(app, ["edit", str(case(f"editor/{call['picture']}")), "-o", str(out), *options, *models])
    right, said = call["right"], f"{done.exception} {done.output}"
    if right.startswith("refused"):
        assert isinstance(done.exception, MoodArchiveError), done.output
        assert not out.exists()
        for reason, words in REASONS.items():
            assert reason not in right or re.search(words, said), said
        return
    assert done.exit_code == 0, done.output
    assert read_record(out) is not None
    if "region" in right:
        low, *high = (int(number) for number in re.findall(r"(\d+) %", right))
        (share,) = re.findall(r"(\d+)% of the picture", done.stderr)
        assert low <= int(share) <= (high or [low])[-1]
    assert "note" not in right or "16" in done.stderr


def test_every_file_has_its_call() -> None:
    listed = " ".join(f"{call['picture']} {call['options']}" for call in CALLS)
    unread = [path.name for path in case("editor").iterdir() if path.name not in listed and path.name != "calls.csv"]
    assert not unread
