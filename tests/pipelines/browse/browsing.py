"""The page of ``moodarchive browse`` served by a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.validate.study.browsing import free_port


@dataclass
class Browsing:
    """The running page."""

    root: str
    cache: Path
    port: int
    options: tuple[str, ...]
    process: "subprocess.Popen[str]"
    url: str = ""

    def start(self) -> None:
        """Begins, and waits until the page has said where it is."""
        command = [sys.executable, "-P", "-m", "moodarchive", "browse", self.root, "--cache", str(self.cache)]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *self.options],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        assert self.process.stdout is not None
        lines = iter(self.process.stdout.readline, "")
        self.url = next(line.strip() for line in lines if line.startswith("http://"))

    def kill(self) -> None:
        """As a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def browsing(root: str, cache: Path, *options: str) -> Iterator[Browsing]:
    """The page until the block ends."""
    page = Browsing(root, cache, free_port(), options, None)  # type: ignore[arg-type]
    page.start()
    try:
        yield page
    finally:
        page.kill()
