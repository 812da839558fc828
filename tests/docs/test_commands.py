"""Every command that README and docs show is executed as it stands, in a folder where the names they use are real.

What needs a GPU, the network, a hub's weights or a cluster's programs cannot be executed on every machine: such a command
goes through the command line's own parser (an unknown verb or option fails), and each file that it names must be there.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import typer

from moodarchive.storage.store import Store
from pipelines.demo.serving import run_server
from tests.docs.commands import blocks_on, commands_on
from tests.editor.small_models import small_base, small_moodify
from tests.whole_root import sealed_archive

HOUSE = Path(__file__).parents[2]
PAGES = [HOUSE / "README.md", *sorted((HOUSE / "docs").glob("*.md"))]
TOLD_ELSEWHERE = {"docs/tutorial.md", "docs/log.md"}
"""The tutorial has a test of its own; the log is history."""
FOREIGN = ("ray", "torchrun", "sbatch", "docker", "kubectl", "aws", "pip", "uv", "pipx", "python3", "export")
NEEDS_MORE = {
    r"moodarchive run ": "the network, and a GPU for the captions",
    r"moodarchive train ": "a hub's weights",
    r"moodarchive eval ": "a hub's weights, and published data sets",
    r"moodarchive edit .*--server ": "a served vision-language model",
    r"moodarchive edit-eval ": "weights of a hub",
}
"""Pattern of a command → what it needs that a test's machine lacks."""


@dataclass(frozen=True)
class Shown:
    """A command, and the page that shows it."""

    page: str
    command: str


SHOWN = [
    Shown(page.relative_to(HOUSE).as_posix(), command)
    for page in PAGES
    if page.relative_to(HOUSE).as_posix() not in TOLD_ELSEWHERE
    for command in commands_on(page)
]


def _is_ours(command: str) -> bool:
    return command.removeprefix(".venv/bin/").startswith("moodarchive ")


def _needs(command: str) -> str:
    return next((why for pattern, why in NEEDS_MORE.items() if re.search(pattern, command)), "")


def test_the_pages_show_commands() -> None:
    assert len(SHOWN) > 40 and len({shown.page for shown in SHOWN}) > 8


@pytest.mark.parametrize("shown", [s for s in SHOWN if _is_ours(s.command)], ids=lambda s: f"{s.page}: {s.command}")
def test_every_command_of_ours_is_understood_by_the_command_line(shown: Shown) -> None:
    from pipelines.commands.app import app

    words = shlex.split(shown.command, comments=True)[1:]
    command: click.Command = typer.main.get_command(app)
    context = click.Context(command, info_name="moodarchive")
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)  # type: ignore[assignment]
        context = click.Context(command, info_name=name, parent=context)
    command.make_context(shown.command, words)


@pytest.mark.parametrize("shown", [s for s in SHOWN if not _is_ours(s.command)], ids=lambda s: f"{s.page}: {s.command}")
def test_what_is_given_to_other_programs_names_targets_extras_and_files_that_there_are(shown: Shown) -> None:
    words = shlex.split(shown.command, comments=True)
    program = Path(words[0]).name
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (HOUSE / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
        return
    assert program in FOREIGN, f"{program}: no such program is known; remedy: add it here, or mend the page"
    for word in words[1:]:
        for extra in re.findall(r"moodarchive\[([\w,-]+)\]", word):
            assert f"\n{extra.split(',')[0]} = " in (HOUSE / "pyproject.toml").read_text()
        path = word.split("=", 1)[-1]
        if path.startswith(("configs/", "Containerfile", "docs/")):
            assert (HOUSE / path).exists(), f"{shown.page} names {path}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which ROOT, LIST, photo.jpg, runs/archive and so on are what the pages say they are."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copytree(HOUSE / "configs", folder / "configs")
    sealed_archive(Store(str(folder / "ROOT")))
    shutil.copytree(folder / "ROOT", folder / "runs" / "archive")
    (folder / "LIST").write_text("key: 0123456789abcdef\n")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "moodarchive").symlink_to(Path(sys.executable).with_name("moodarchive"))
    yield folder


EXECUTED = [shown for shown in SHOWN if _is_ours(shown.command) and not _needs(shown.command)]


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({shown.page for shown in EXECUTED}))
def test_commands_run_as_they_stand(page: str, folder: Path) -> None:
    for shown in EXECUTED:
        if shown.page == page:
            done = subprocess.run(
                ["bash", "-c", shown.command],
                cwd=folder,
                env={**os.environ, "PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}"},
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, f"$ {shown.command}\n{done.stdout}{done.stderr}"
