"""A photo, and its edit by the command line, against which other programs' edits are held."""

from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from tests.editor.small_models import SmallModels

COMMON = {"steps": 2, "size": 64}
"""Settings of every edit here: small and quick."""


def photo_file(folder: Path) -> Path:
    """A PNG of 80 x 64 pixels."""
    path = folder / "photo.png"
    Image.fromarray(np.random.default_rng(5).integers(0, 255, (64, 80, 3), np.uint8)).save(path)
    return path


def edited_by_command(small: SmallModels, photo: Path, folder: Path, *options: str) -> Path:
    """What ``moodarchive edit`` writes, with COMMON's settings."""
    from pipelines.commands.app import app

    path = folder / "command.png"
    settings = [word for name, value in COMMON.items() for word in (f"--{name}", str(value))]
    command = ["edit", str(photo), "--emotion", "joy", "--model", small.moodify, "--base", small.base, "-o", str(path)]
    done = CliRunner().invoke(app, [*command, *settings, *options])
    assert done.exit_code == 0, done.output
    return path
