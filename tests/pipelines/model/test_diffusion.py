"""`moodarchive train` of a diffusion model: a tiny run by the command, resumed, and opened by the editor."""

import hashlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from editor.edit import Edit
from editor.job import settings_with
from editor.loading import load_method
from moodarchive.errors import ConfigError
from moodarchive.storage.store import Store
from pipelines.commands.app import app
from pipelines.model.diffusion import train_diffusion
from tests.editor.small_models import small_base
from tests.making import sealed_archive, textured
from train.diffusion.run import StepReport
from train.diffusion.settings import DiffusionSettings

SCHEDULE = "steps = 2\nbatch = 2\nlearning_rate = 1e-3\nwarmup_steps = 1\ndecay_steps = 1\n"
SMALL = f"""kind = "diffusion"
size = 16
threads = 1
checkpoint_steps = 1
output = "OUTPUT"
texts = ["TEXT"]
[[sources]]
kind = "folder"
folder = "PICTURES"
[[sources]]
kind = "archive"
folder = "ARCHIVE"
[[sources]]
kind = "drawn"
places = 1
[autoencoder]
widths = [8, 8]
crop = 16
[autoencoder.schedule]
{SCHEDULE}[autoencoder.decoder]
{SCHEDULE}[denoiser]
widths = [8, 8]
heads = 1
[denoiser.schedule]
{SCHEDULE}"""


class Killed(Exception):
    """In place of a signal."""


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of captioned pictures, an archive, and a text tower."""
    top = tmp_path_factory.mktemp("material")
    (top / "pictures").mkdir()
    for number in range(3):
        textured(24, 20, seed=number).save(top / f"pictures/{number}.png")
        (top / f"pictures/{number}.txt").write_text(f"picture {number}")
    sealed_archive(Store(str(top / "archive")))
    small_base(top / "tower")
    return top


def _config(material: Path, output: Path, text: str = SMALL) -> Path:
    names = {
        "OUTPUT": output, "TEXT": material / "tower", "PICTURES": material / "pictures", "ARCHIVE": material / "archive"
    }  # fmt: skip
    for name, value in names.items():
        text = text.replace(name, str(value))
    output.mkdir(exist_ok=True)
    (output / "diffusion.toml").write_text(text)
    return output / "diffusion.toml"


def _digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def test_the_command_trains_a_base_that_the_editor_opens_and_goes_on_where_it_stood(
    material: Path, tmp_path: Path
) -> None:
    done = CliRunner().invoke(app, ["train", str(_config(material, tmp_path / "whole"))])
    assert done.exit_code == 0, (done.output, done.exception)
    base = tmp_path / "whole/base"
    assert f"--base {base}" in done.output.replace("\n", " ")
    assert "3 pictures" not in done.output  # nothing was left out
    assert "archive" in (base / "README.md").read_text()
    method = load_method("infedit", str(base), None, settings_with("infedit", size=16, steps=2))
    edit = Edit(image=textured(16, 16, seed=1), prompt="a fir", seed=1)
    assert method.edit([edit], lambda done, total: None, lambda: False)[0].size == (16, 16)

    from moodarchive.settings import load

    settings = load(DiffusionSettings, _config(material, tmp_path / "killed").read_text(), "the file")
    steps: list[tuple[str, int]] = []

    def kill(report: StepReport) -> None:
        steps.append((report.part, report.step))
        if steps[-1] == ("denoiser", 2):
            raise Killed

    with pytest.raises(Killed):
        train_diffusion(settings, "the file", kill, lambda line: None)
    steps.clear()
    train_diffusion(settings, "the file", lambda report: steps.append((report.part, report.step)), lambda line: None)
    assert steps == [("denoiser", 2), ("decoder", 1), ("decoder", 2)]
    assert _digest(tmp_path / "killed/base") == _digest(base)

    (material / "pictures/0.txt").write_text("another word")
    with pytest.raises(ConfigError, match="of another run"):
        train_diffusion(settings, "the file", lambda report: None, lambda line: None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('output = "OUTPUT"', "", "output is empty; remedy"),
        ('texts = ["TEXT"]', "", r'texts is empty; remedy: texts = \["demo"\]'),
        ('texts = ["TEXT"]', 'texts = ["PICTURES"]', "holds no text tower; remedy"),
        ('folder = "PICTURES"', "", "needs folder"),
        ('folder = "PICTURES"', 'folder = "nowhere"', "there is no folder nowhere; remedy"),
        ("size = 16", "size = 17", "must be a multiple of 4"),
    ],
)
def test_settings_that_cannot_be_trained_are_refused_with_the_remedy(
    material: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in SMALL
    config = _config(material, tmp_path / "out", SMALL.replace(old, new, 1))
    failed = CliRunner().invoke(app, ["train", str(config)])
    import re

    assert failed.exit_code and re.search(message, str(failed.exception)), failed.exception
    assert not (tmp_path / "out/autoencoder").exists()
