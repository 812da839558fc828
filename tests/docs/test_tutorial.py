"""The tutorial, executed as it stands: each command prints what the page shows; ``...`` stands for anything."""

import os
import subprocess
import sys
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path

import pytest

from tests.docs.commands import blocks_on, sessions_in

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"


@pytest.mark.slow
def test_every_command_prints_what_the_page_shows(tmp_path: Path) -> None:
    surroundings = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "120"}
    executed = 0
    for block in blocks_on(TUTORIAL):
        if block.language == "python":
            program = [sys.executable, "-P", "-c", block.text]
            done = subprocess.run(program, cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"line {block.line}: {done.stderr}"
            executed += 1
        for command, shown in sessions_in(block) if block.language == "console" else ():
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=tmp_path,
                env=surroundings,
                capture_output=True,
                text=True,
                timeout=500,
                check=False,
            )
            assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
            fits = OutputChecker().check_output(shown, done.stdout, ELLIPSIS | NORMALIZE_WHITESPACE)
            assert fits, f"line {block.line}: $ {command}\nthe page shows:\n{shown}\nit printed:\n{done.stdout}"
            executed += 1
    assert executed >= 10
