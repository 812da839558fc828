"""The studio as pictures at 1280 and 400 pixels: ``python benchmarks/studio_pages.py docs/images``.

The models are small and of random weights: the pictures show the page, and nothing of how edits look.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

HOUSE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOUSE))

from pipelines.demo.scenes.scene import draw_scene  # noqa: E402
from tests.editor.browsing import studio  # noqa: E402
from tests.editor.small_models import small_models  # noqa: E402
from tests.validate.study.browsing import chromium  # noqa: E402

WIDTHS, COLOURS, PATIENCE_MS = (1280, 400), 128, 240_000
PHOTOS = (("joy", "natural_scenery"), ("sadness", "urban_scenery"))


def main(folder: Path) -> None:
    """Two photos, two emotions, two seeds; the same page at both widths."""
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        photos = []
        for emotion, context in PHOTOS:
            photos.append(str(work / f"{context}.png"))
            draw_scene(emotion, context, seed=5, size=(480, 360)).image.save(photos[-1])
        with studio(small_models(work / "models"), work / "studio") as served, chromium() as browser:
            tab = browser.new_page(viewport={"width": WIDTHS[0], "height": 1200})
            tab.set_default_timeout(PATIENCE_MS)
            tab.goto(served.url)
            tab.locator("#status", has_text="Ready.").wait_for()
            tab.locator("#open input[type=file]").first.set_input_files(photos)
            tab.locator("#album img").nth(1).wait_for()
            tab.locator("#wheel [data-emotion=fear]").click()
            tab.locator("#seeds input").fill("2")
            strength = tab.locator("#strength input[type=number]")
            strength.fill("0.1")
            strength.press("Tab")
            tab.locator("#go").click()
            tab.locator("#edits img").nth(3).wait_for()
            for width in WIDTHS:
                tab.set_viewport_size({"width": width, "height": 1200})
                tab.wait_for_timeout(2_000)
                path = folder / f"studio-{width}.png"
                tab.screenshot(path=str(path), full_page=True)
                with Image.open(path) as picture:
                    few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
                few.save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
