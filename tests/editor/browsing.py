"""The studio served by a process of its own over small models of random weights."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.editor.small_models import SmallModels


@dataclass(frozen=True)
class Studio:
    """Where the page is, and its work folder."""

    url: str
    folder: Path
    process: "subprocess.Popen[str]"


@contextmanager
def studio(small: SmallModels, folder: Path) -> Iterator[Studio]:
    """Until the block ends. Fifty steps at most: an edit at full strength is long enough to be stopped."""
    command = [sys.executable, "-P", "-m", "moodarchive", "studio", "--model", small.moodify, "--base", small.base]
    options = ["--steps", "50", "--size", "192", "--port", "0", "--folder", str(folder)]
    process = subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), url
        yield Studio(url, folder, process)
    finally:
        process.kill()
        process.wait()
