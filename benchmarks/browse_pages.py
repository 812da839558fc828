"""The pages of browse as pictures at 1280 and 400 pixels: ``python benchmarks/browse_pages.py docs/images``."""

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

HOUSE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOUSE))

from moodarchive.storage.store import Store  # noqa: E402
from pipelines.demo.scenes.scene import DRAWN_CONTEXTS, draw_scene  # noqa: E402
from tests import making  # noqa: E402
from tests.pipelines.browse.browsing import browsing  # noqa: E402
from tests.validate.study.archives import CELLS, study_archive  # noqa: E402
from tests.validate.study.browsing import chromium  # noqa: E402

WIDTHS, HEIGHT, COLOURS, PICTURES = (1280, 400), 800, 128, 96


def _draw(width: int, height: int, seed: int) -> Image.Image:
    """The demo's scene of the row's emotion in place of the tests' noise."""
    emotion = CELLS[seed % len(CELLS)][0]
    return draw_scene(emotion, DRAWN_CONTEXTS[seed % len(DRAWN_CONTEXTS)], seed).image


def _shoot(tab: Any, path: Path) -> None:
    tab.wait_for_timeout(500)
    with Image.open(io.BytesIO(tab.screenshot())) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def _walk(tab: Any, folder: Path, url: str, width: int) -> None:
    tab.goto(url)
    tab.locator(".tile img").first.wait_for()
    for key in ("ArrowRight", "g", "ArrowRight", "t", "ArrowRight"):
        tab.keyboard.press(key)
    _shoot(tab, folder / f"browse-wall-{width}.png")
    tab.keyboard.press("Enter")
    tab.locator("#detail[open] #history dl").first.wait_for()
    _shoot(tab, folder / f"browse-picture-{width}.png")
    tab.keyboard.press("r")
    tab.locator("#why[open]").wait_for()
    _shoot(tab, folder / f"browse-reason-{width}.png")
    tab.keyboard.press("Escape")
    tab.keyboard.press("Escape")
    tab.locator("#show-cells").click()
    tab.locator("#cell-rows tr button").first.click()
    tab.locator("#phrase-rows button").first.click()
    _shoot(tab, folder / f"browse-cells-{width}.png")


def main(folder: Path) -> None:
    """Writes the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    making.textured = _draw  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as state:
        store = Store(f"{state}/archive")
        study_archive(store, images=PICTURES)
        for width in WIDTHS:
            marks = f"{state}/marks-{width}.jsonl"
            with browsing(store.root, Path(state) / "cache", "--marks", marks) as page, chromium() as browser:
                tab = browser.new_context(viewport={"width": width, "height": HEIGHT}).new_page()
                _walk(tab, folder, page.url, width)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
