"""Instructions of each class by a served model: asked under a schema, told apart, and kept when a call is cut off."""

from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.errors import DatasetError
from pipelines.commands.app import app
from pipelines.editing.sets.emopair.requests import read_instructions
from tests.editor.plan_server import plan_server


def _invoke(path: Path, url: str) -> Result:
    words = ["pairs", "instructions", str(path), "--server", url, "--server-model", "m", "--count", "3"]
    return CliRunner().invoke(app, words)


def test_each_class_has_its_instructions_and_a_finished_file_asks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "instructions.json"
    good = {"instructions": ["add fog", "add  stars", 'say "no"', "add fog"]}
    with plan_server(*[good, {"instructions": ["add a fir"]}] * 8) as server:
        result = _invoke(path, server.url)
        assert result.exit_code == 0, result.exception
        assert len(server.bodies) == 16
        assert "add fog; add stars" in str(server.bodies[1]) and "sadness" in str(server.bodies[-1])
        assert "json_schema" in str(server.bodies[0])
        _invoke(path, server.url)
        assert len(server.bodies) == 16
    assert read_instructions(path, 9) == {name: ["add a fir", "add fog", "add stars"] for name in MIKELS_EIGHT}


def test_a_model_that_repeats_itself_is_named_and_what_was_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "instructions.json"
    full = {"instructions": ["add fog", "add stars", "add a fir"]}
    with plan_server(full, {"instructions": ["add fog"]}, "no JSON") as server:
        error = _invoke(path, server.url).exception
    assert isinstance(error, DatasetError) and "wrote 1 of 3 instructions for anger (not_json); remedy" in str(error)
    assert list(read_instructions(path, 9)) == ["amusement"]
