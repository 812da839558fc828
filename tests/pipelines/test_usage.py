"""Wrong use of the command line is answered with what, where and the remedy, and never with a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines.running import moodarchive

VALID = '[search]\nuser_agent = "MoodArchive test"\n'


def _refused(*arguments: str) -> str:
    done = moodarchive(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    return done.stderr


def test_help_does_not_import_heavy_packages() -> None:
    heavy = ("ray", "torch", "duckdb", "pyarrow", "transformers", "onnxruntime", "cv2")
    code = (
        "import sys; from typer.testing import CliRunner; from pipelines.commands.app import app; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_command_that_did_its_work_runs_the_exit_handlers_and_ends_with_0() -> None:
    code = (
        "import atexit, sys; from pipelines.commands.app import main; atexit.register(print, 'handled'); "
        "sys.argv = ['moodarchive', '--help']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "handled")


def test_an_unknown_verb_is_named() -> None:
    assert "conquer" in _refused("conquer")


def test_a_root_without_an_archive_is_refused_by_every_reading_verb(tmp_path: Path) -> None:
    for verb in (("status",), ("report",), ("verify",)):
        assert str(tmp_path) in _refused(*verb, str(tmp_path))
    assert str(tmp_path) in _refused("show", str(tmp_path), "0" * 16)


def test_a_config_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.toml")
    for command in (("run", missing, "--root", str(tmp_path / "root")), ("train", missing), ("lavc", "build", missing)):
        message = " ".join(_refused(*command, *([str(tmp_path / "root")] if command[0] == "lavc" else ())).split())
        assert "missing.toml cannot be read" in message and "remedy: name a TOML file" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[sources.catalogues.own]\npreset = "pd12m"\nfiles = ["/absent/lists/*.parquet"]\n',
            "/absent/lists/*.parquet matches no file; remedy",
        ),
        ('[servers]\ncount = 1\npython = "/absent/python"\n', "/absent/python has no vLLM; remedy"),
    ],
)
def test_what_a_first_round_would_lack_is_named_before_there_is_a_root(tmp_path: Path, text: str, words: str) -> None:
    config, root = tmp_path / "config.toml", tmp_path / "root"
    config.write_text(VALID + text)
    assert words in " ".join(_refused("run", str(config), "--root", str(root)).split())
    assert not root.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[download]\nlongest_sid = 3\n", ("unknown setting 'download.longest_sid'", "did you mean 'longest_side'")),
        ("[download]\nlongest_side = 12\n", ("download.longest_side = 12", "64")),
        ('[descriptors]\nemotions = ["hangry"]\n', ("'hangry' is no emotion", "admiration")),
        ('[descriptors]\ncontexts = ["moon"]\n', ("'moon' is no context", "natural_scenery")),
        ('[cut]\nscope = "planet"\n', ("cut.scope", "'planet'", "'cell'")),
        ("[download\n", ("not valid TOML",)),
        ("[nonsense]\nx = 1\n", ("unknown setting 'nonsense'", "download")),
    ],
)
def test_a_bad_setting_is_named_with_what_is_legal(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    config = tmp_path / "config.toml"
    config.write_text(VALID + text)
    message = _refused("run", str(config), "--root", str(tmp_path / "root"))
    for word in words:
        assert word in message


def test_an_unknown_step_is_answered_with_the_steps(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(VALID)
    message = _refused("run", str(config), "--root", str(tmp_path / "root"), "--until", "lunch")
    assert "lunch" in message and "descriptors" in message


def test_an_unknown_table_to_try_again_is_answered_with_those_that_can_be(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(VALID)
    message = _refused("run", str(config), "--root", str(tmp_path / "root"), "--retry", "images")
    assert "--retry images" in message and "captions" in message


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.txt").write_text("mine")
    config = tmp_path.parent / f"{tmp_path.name}.toml"
    config.write_text(VALID)
    assert "not empty" in _refused("run", str(config), "--root", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.txt"]


def test_a_changed_per_row_setting_names_both_values(tmp_path: Path) -> None:
    config, root = tmp_path / "config.toml", tmp_path / "root"
    config.write_text(VALID + "[download]\nlongest_side = 768\n")
    assert moodarchive("run", str(config), "--root", str(root), "--until", "descriptors").returncode == 0
    config.write_text(VALID + "[download]\nlongest_side = 512\n")
    message = _refused("run", str(config), "--root", str(root), "--until", "descriptors")
    assert "download.longest_side" in message and "512" in message and "768" in message


def test_photos_without_pictures_are_named(tmp_path: Path) -> None:
    assert str(tmp_path) in _refused("demo", "--root", str(tmp_path / "root"), "--photos", str(tmp_path))


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    config, root = tmp_path / "config.toml", tmp_path / "root"
    config.write_text(VALID)
    assert moodarchive("run", str(config), "--root", str(root), "--until", "descriptors").returncode == 0
    assert "0123456789abcdef" in _refused("show", str(root), "0123456789abcdef")
    assert "16 hex" in _refused("show", str(root), "nokey")
