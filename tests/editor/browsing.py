"""The studio served by a process of its own over small models of random weights, and what a person does on its page."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.editor.small_models import SmallModels

PATIENCE_MS = 120_000
"""Nothing here goes by the clock: a busy machine is only waited for longer."""


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


def make_photo(path: Path, seed: int = 3) -> Path:
    exif = Image.Exif()
    exif[0x010E] = "Anna's garden"
    noise = np.random.default_rng(seed).integers(60, 200, (30, 40, 3), np.uint8)
    Image.fromarray(noise).resize((400, 300)).save(path, exif=exif)
    return path


def open_studio(browser: Any, url: str) -> tuple[Any, list[str]]:
    """A page that is ready, and what hostile text would have said in dialogs."""
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    page.set_default_timeout(PATIENCE_MS)
    alerts: list[str] = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    page.goto(url)
    wait_for_status(page, "Ready.")
    return page, alerts


def open_photo(page: Any, path: Path) -> None:
    page.locator("#open input[type=file]").first.set_input_files(str(path))


def wait_for_status(page: Any, words: str) -> None:
    page.locator("#status", has_text=words).wait_for(timeout=PATIENCE_MS)


def fill_strength(page: Any, strength: str) -> None:
    number = page.locator("#strength input[type=number]")
    number.fill(strength)
    number.press("Tab")


def say(page: Any, text: str, turn: int, says: str) -> None:
    """A line by the keyboard, and the answer of that turn."""
    said = page.locator("#say input, #say textarea").first
    said.fill(text)
    said.press("Enter")
    page.locator("#turns li").nth(turn).locator(".answer", has_text=says).wait_for(timeout=PATIENCE_MS)
    page.locator("#send:not([disabled])").wait_for(timeout=PATIENCE_MS)
