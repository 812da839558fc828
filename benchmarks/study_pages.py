"""The study's pages as pictures at 1280 and 400 pixels: ``python benchmarks/study_pages.py docs/images``."""

import io
import secrets
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image

HOUSE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOUSE))

from moodarchive.storage.store import Store  # noqa: E402
from pipelines.demo.scenes.scene import draw_scene  # noqa: E402
from pipelines.study.steps import questionnaire  # noqa: E402
from tests.validate.study.archives import study_archive  # noqa: E402
from tests.validate.study.browsing import chromium  # noqa: E402
from validate.study.design.items import Item  # noqa: E402
from validate.study.design.study import CAPTIONS, read_design  # noqa: E402
from validate.study.page.app import make_app  # noqa: E402
from validate.study.page.caption_questions import CaptionQuestions  # noqa: E402
from validate.study.page.ledger import Ledger  # noqa: E402
from validate.study.panel.identity import make_hasher  # noqa: E402
from validate.study.panel.serve import extend_for_panel  # noqa: E402
from validate.study.panel.settings import PanelSettings  # noqa: E402
from validate.study.sampling.sample import SampleOptions, sample  # noqa: E402

WIDTHS, HEIGHT, COLOURS = (1280, 400), 700, 128
PANEL = PanelSettings(
    consent=(
        "You take part in a study of the University of Example about captions of pictures.\n\n"
        "You may stop at any time; then nothing of yours is kept. Your answers are kept without your name."
    ),
    instructions="Please use a screen on which you can see the picture well.",
    items=3, screening=0, study_url="https://study.example.org",
)  # fmt: skip
CAPTION = {
    "summary": "A bright meadow full of flowers lies under an open sky.",
    "stimuli": ("The sun stands high and warm.", "Butterflies drift over the flowers.", "A rainbow spans the hills."),
    "assessment": "The open, sunlit colours spread calm joy.",
    "original": "meadow wallpaper free download",
}


class _Drawn(CaptionQuestions):
    """The study's questions with a scene of the demo in place of the tests' noise."""

    def read_picture(self, name: str) -> bytes:
        """The same scene for every item; another for the worked examples."""
        item = self.items[name]
        cell = ("sadness", "natural_scenery") if item.gold else ("joy", "natural_scenery")
        sink = io.BytesIO()
        draw_scene(*cell, seed=5).image.save(sink, "JPEG", quality=90)
        return sink.getvalue()


@contextmanager
def _served(folder: str) -> Iterator[tuple[str, str]]:
    """The address of the panel's door without ids, and that of the progress."""
    store = Store(f"{folder}/root")
    study_archive(store, images=48)
    sample(store, SampleOptions(n=9, heldout=0, workers=2, gold=0.1, seed=3))
    plain = questionnaire(store, CAPTIONS)
    assert isinstance(plain, CaptionQuestions)
    items: dict[str, Item] = {name: replace(item, **CAPTION) for name, item in plain.items.items()}  # type: ignore[arg-type]
    questions = _Drawn(plain.design, items, plain.pictures)
    ledger = Ledger(Path(folder) / "answers.sqlite3")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        extension = extend_for_panel(
            ledger, address, questions, design=read_design(store, CAPTIONS), settings=PANEL,
            hasher=make_hasher(store, CAPTIONS),
        )  # fmt: skip
        app = make_app(questions, ledger, extension.flow, extension.doors)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield f"{address}/join", extension.lines[1].split(": ", 1)[1]
        server.should_exit = True
        thread.join(10)
    ledger.close()


def _shoot(tab: Any, path: Path) -> None:
    """A picture of few colours: pages are flat, and the file stays small."""
    tab.wait_for_timeout(300)
    with Image.open(io.BytesIO(tab.screenshot())) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def _take_part(tab: Any, folder: Path, door: str, progress: str, width: int) -> None:
    ids = {"PROLIFIC_PID": secrets.token_hex(12), "STUDY_ID": "5" * 24, "SESSION_ID": secrets.token_hex(12)}
    tab.goto(f"{door}?{'&'.join(f'{name}={value}' for name, value in ids.items())}")
    tab.locator("#consent:not([hidden])").wait_for()
    _shoot(tab, folder / f"study-consent-{width}.png")
    tab.locator("#agree").click()
    tab.locator("#training:not([hidden])").wait_for()
    _shoot(tab, folder / f"study-instructions-{width}.png")
    tab.locator("#start").click()
    tab.locator("#task[data-seen=yes]").wait_for()
    _shoot(tab, folder / f"study-texts-{width}.png")
    tab.locator(".choice").filter(has_text="bright meadow").click()
    tab.locator("#sentences li").nth(1).locator("[data-says=no]").click()
    tab.keyboard.press("a")
    tab.locator(".reason").first.click()
    _shoot(tab, folder / f"study-sentences-{width}.png")
    tab.keyboard.press("Enter")
    tab.wait_for_timeout(500)
    while tab.locator("#task").is_visible():
        tab.locator("#task[data-seen=yes]").wait_for()
        for key in ("3", "a", "w", "Enter"):
            tab.keyboard.press(key)
        tab.wait_for_timeout(500)
    _shoot(tab, folder / f"study-code-{width}.png")
    tab.goto(progress)
    _shoot(tab, folder / f"study-progress-{width}.png")


def main(folder: Path) -> None:
    """Writes the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for width in WIDTHS:
        with tempfile.TemporaryDirectory() as state, _served(state) as (door, progress), chromium() as browser:
            tab = browser.new_context(viewport={"width": width, "height": HEIGHT}).new_page()
            _take_part(tab, folder, door, progress, width)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
