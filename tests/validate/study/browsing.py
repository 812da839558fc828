"""The study's page served by a process of its own, and a real Chromium that opens it."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = "/usr/bin/chromium"


@dataclass
class Served:
    """The page's process; ``links`` by annotator."""

    root: Path
    port: int
    annotators: int
    links: dict[str, str]
    process: "subprocess.Popen[str]"

    def kill(self) -> None:
        """As a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def again(self) -> None:
        """Serves once more, at the same address."""
        self.process = _process(self.root, self.port, self.annotators)
        assert _links(self.process, self.annotators) == self.links


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _process(root: Path, port: int, annotators: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-P", "-m", "moodarchive", "study", "serve", str(root)]
    options = ["--port", str(port), "--annotators", str(annotators)]
    return subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )


def _links(process: "subprocess.Popen[str]", count: int) -> dict[str, str]:
    assert process.stdout is not None
    matches = (re.match(r"(\S+): (http\S+)", process.stdout.readline()) for _ in range(count))
    return {match[1]: match[2] for match in matches if match}


@contextmanager
def served(root: Path, annotators: int = 2) -> Iterator[Served]:
    """The page until the block ends."""
    port = free_port()
    process = _process(root, port, annotators)
    page = Served(root, port, annotators, _links(process, annotators), process)
    assert len(page.links) == annotators
    try:
        yield page
    finally:
        page.kill()


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser; the test is skipped where there is none."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
