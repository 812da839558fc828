"""The commands that work for minutes or hours, as they stand: seen at work and stopped, or run to their end."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.demo.pairs.drawing import draw_paired
from pipelines.demo.pairs.moods import Mood
from tests.docs.made_models import make_demo_learnt_from
from tests.docs.shown import CLOSED, HOUSE, LONG, SHOWN, Shown, execute

LONGEST_S = 300.0
"""Until a command is seen at work, or has ended after Ctrl-C."""


@pytest.fixture
def surroundings() -> dict[str, str]:
    """The environment of a person who has installed the command, without a hub."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HF_ENDPOINT": CLOSED, "COLUMNS": "200"}


@pytest.mark.slow
@pytest.mark.parametrize("shown", [shown for shown in SHOWN if shown.is_ours and shown.entry_of(LONG)], ids=str)
def test_a_long_command_works_until_ctrl_c_and_says_how_to_go_on(
    shown: Shown, tmp_path: Path, surroundings: dict[str, str]
) -> None:
    shutil.copytree(HOUSE / "configs", tmp_path / "configs")
    if "demo-emoeditor" in shown.command:
        make_demo_learnt_from(tmp_path / "runs")
    told = tmp_path / "told"
    with told.open("wb") as log:
        process = subprocess.Popen(
            shlex.split(shown.command), cwd=tmp_path, env=surroundings, stdout=log, stderr=subprocess.STDOUT
        )
    at_work = str(shown.entry_of(LONG))
    try:
        if at_work.startswith("runs/"):
            _wait_until(lambda: any(tmp_path.glob(at_work)), process, told)
        else:
            _wait_until(lambda: bool(re.search(at_work, told.read_text(), re.MULTILINE)), process, told)
        process.send_signal(signal.SIGINT)
        assert process.wait(LONGEST_S) == 130, told.read_text()
    finally:
        process.kill()
        process.wait()
    assert told.read_text().endswith("interrupted: finished parts are safe, the same command goes on from them\n")
    assert "Traceback" not in told.read_text()


def _wait_until(seen: Callable[[], bool], process: "subprocess.Popen[bytes]", told: Path) -> None:
    deadline = time.monotonic() + LONGEST_S
    while not seen():
        assert process.poll() is None, f"it ended with {process.returncode}:\n{told.read_text()}"
        assert time.monotonic() < deadline, told.read_text()
        time.sleep(0.05)


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_the_demo_s_emoeditor_is_made_and_edits_by_the_commands_as_they_stand(
    tmp_path: Path, surroundings: dict[str, str]
) -> None:
    shutil.copytree(HOUSE / "configs", tmp_path / "configs")
    draw_paired("land", 0, Mood("joy", 0)).image.save(tmp_path / "drawing.png")
    commands = [
        shown.command
        for shown in SHOWN
        if shown.page == "docs/emoeditor.md" and re.search(r"demo-|drawn\.toml", shown.command)
    ]
    assert [command.split()[1] for command in commands] == ["train", "pairs", "train", "edit"]
    for command in commands:
        done = execute(command, tmp_path, surroundings, timeout_s=5400)
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    assert (tmp_path / "fear.png").is_file()
