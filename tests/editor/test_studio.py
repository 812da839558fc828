"""The studio in a real browser: a photo, a brush, an edit, a stop, the history; and what hostile callers get."""

import base64
import hashlib
import io
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from editor.provenance import read_record
from tests.axe import find_faults
from tests.editor.browsing import (
    PATIENCE_MS,
    Studio,
    fill_strength,
    make_photo,
    open_photo,
    open_studio,
    say,
    studio,
    wait_for_status,
)
from tests.editor.small_models import SmallModels
from tests.validate.study.browsing import chromium

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def served(small: SmallModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with studio(small, tmp_path_factory.mktemp("studio") / "work") as found:
        yield found


def _shows(page: Any, pictures: str, count: int) -> None:
    page.wait_for_function(f"document.querySelectorAll('{pictures}').length === {count}", timeout=PATIENCE_MS)


def _paint(page: Any) -> None:
    """A stroke across the middle; again as long as the canvas has not taken its size and place."""
    page.locator("#brush canvas").first.wait_for()
    page.locator("#album img").first.wait_for()
    for _ in range(100):
        box = page.locator("#brush canvas").first.bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.5)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5, steps=6)
        page.mouse.up()
        page.wait_for_timeout(300)
        if _is_painted(page):
            return
    raise AssertionError("nothing could be painted")


def _is_painted(page: Any) -> bool:
    """Whether the brush's colour, #ff5c8a, is seen on the canvas."""
    with Image.open(io.BytesIO(page.locator("#brush canvas").first.screenshot())) as seen:
        red, green, blue = np.asarray(seen.convert("RGB"), np.int16).transpose(2, 0, 1)
    return int(((red > 235) & (abs(green - 92) < 40) & (abs(blue - 138) < 40)).sum()) > 300


def test_a_photo_is_painted_edited_stopped_and_found_again(served: Studio, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "anna.jpg")
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1300, "height": 1250})
        page.set_default_timeout(PATIENCE_MS)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(served.url)
        wait_for_status(page, "Ready.")
        page.locator("#go").click()
        wait_for_status(page, "no photo is open")

        open_photo(page, photo)
        wait_for_status(page, "Opened: 400 x 300 pixels.")
        _paint(page)
        page.locator("#wheel .clear").click()
        page.get_by_role("checkbox", name="fear", exact=True).click()
        fill_strength(page, "0.1")
        page.locator("#go").click()
        wait_for_status(page, "Done")
        (edit,) = served.folder.joinpath("edits").glob("*.png")
        record = read_record(edit)
        assert record is not None and record.emotion == "fear" and record.settings["strength"] == 0.1
        assert record.region_by == "given" and len(record.mask_sha256) == 64
        with Image.open(edit) as made, Image.open(photo) as source:
            changed = (np.asarray(made) != np.asarray(source.convert("RGB"))).any(axis=2)
        # what was painted lies in the middle; all else is the photo's own
        assert changed[130:170, 180:220].mean() > 0.9 and not changed[:60].any() and not changed[:, :60].any()
        page.locator("#used", has_text=record.prompt).wait_for()
        _shows(page, "#both img", 2)
        _shows(page, "#history img", 1)

        fill_strength(page, "1")
        page.locator("#go").click()
        wait_for_status(page, "Step ")
        page.locator("#stop").click()
        wait_for_status(page, "Stopped")
        assert len(list(served.folder.joinpath("edits").glob("*.png"))) == 1

        page.reload()
        wait_for_status(page, "Ready.")
        page.locator("#history img").first.click()
        wait_for_status(page, "From the history: fear, seed 0.")
        page.locator("#used", has_text=record.prompt).wait_for()
        assert [url for url in asked if not url.startswith((served.url, "data:", "blob:"))] == []
        page.close()
    for path in served.folder.rglob("*"):
        assert "anna" not in path.name and (path.is_dir() or b"Anna" not in path.read_bytes())


def _drop(page: Any, files: list[Path]) -> None:
    """As a person drags files from their desktop."""
    given = [{"name": path.name, "data": base64.b64encode(path.read_bytes()).decode()} for path in files]
    transfer = page.evaluate_handle(
        """files => {
            const transfer = new DataTransfer();
            for (const { name, data } of files) {
                const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type: "image/png" }));
            }
            return transfer;
        }""",
        given,
    )
    page.locator("#open button.upload-container").dispatch_event("drop", {"dataTransfer": transfer})


def _choose_by_keyboard(page: Any, beginning: str, emotion: str) -> None:
    page.get_by_role("checkbox", name=beginning, exact=True).focus()
    wanted = page.get_by_role("checkbox", name=emotion, exact=True)
    for _ in range(40):
        if wanted.evaluate("wedge => wedge === document.activeElement"):
            break
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")


def test_dropped_photos_emotions_and_seeds_stand_side_by_side(served: Studio, tmp_path: Path) -> None:
    hostile = tmp_path / "<img src=x onerror=alert(1)>.png"
    before = set(served.folder.joinpath("edits").glob("*.png"))
    with chromium() as browser:
        page, alerts = open_studio(browser, served.url)
        (tmp_path / "broken.png").write_bytes(b"\x89PNG no picture")
        _drop(page, [tmp_path / "broken.png", make_photo(tmp_path / "garden.png", 4), make_photo(hostile, 5)])
        wait_for_status(
            page, "Opened: 400 x 300 pixels. broken.png"
        )  # one that cannot be read costs the others nothing
        _shows(page, "#album img", 2)

        # what was painted is undone, so that a region is found; by the keyboard alone, fear joins joy
        _paint(page)
        page.get_by_role("button", name="Undo").click()
        page.wait_for_timeout(500)
        assert not _is_painted(page)
        _choose_by_keyboard(page, beginning="joy", emotion="fear")
        page.locator("#wheel .chosen").get_by_text("joy, fear", exact=True).wait_for()
        fill_strength(page, "0.1")
        page.get_by_text("More", exact=True).click()
        page.get_by_text("all open photos").click()
        page.locator("#go").click()
        page.locator("#edits img").nth(3).wait_for()  # two photos, two emotions
        wait_for_status(page, "Done")
        records = [read_record(path) for path in set(served.folder.joinpath("edits").glob("*.png")) - before]
        assert sorted(record.emotion for record in records if record) == ["fear", "fear", "joy", "joy"]
        assert len({r.source_sha256 for r in records if r}) == 2
        assert {r.region_by for r in records if r} == {"lexicon and MoodifyCLIP"}

        # boxes in place of a brush, for who does not paint; this photo only, two seeds of one emotion
        page.get_by_text("this photo").click()
        page.locator("#boxes input, #boxes textarea").first.fill("0,0,0.5,1")
        page.get_by_role("checkbox", name="joy", exact=True).click()
        page.locator("#seeds input").fill("2")
        page.locator("#seeds input").press("Tab")
        page.locator("#go").click()
        page.locator("#used", has_text="given").wait_for()
        _shows(page, "#edits img", 2)

        page.locator("#edits button.thumbnail-item").nth(1).click()
        wait_for_status(page, "Of these edits: fear, seed 1.")
        with page.expect_download() as download:
            page.locator("#save").click()
        saved = read_record(Path(download.value.path()))
        assert saved is not None and (saved.emotion, saved.seed, saved.region_by) == ("fear", 1, "given")

        assert find_faults(page) == []
        page.set_viewport_size({"width": 400, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert find_faults(page) == []
        assert alerts == []
        page.close()


def test_each_photo_keeps_its_strokes_and_boxes_while_another_is_under_the_brush(
    served: Studio, tmp_path: Path
) -> None:
    before = set(served.folder.joinpath("edits").glob("*.png"))
    with chromium() as browser:
        page, _ = open_studio(browser, served.url)
        boxes = page.locator("#boxes input, #boxes textarea").first

        def wait_for_paint(is_there: bool, said: str) -> None:
            page.wait_for_function(f"document.querySelector('#boxes textarea, #boxes input').value === '{said}'")
            for _ in range(300):
                if _is_painted(page) == is_there:
                    return
                page.wait_for_timeout(100)
            raise AssertionError("the strokes did not come back" if is_there else "another photo's strokes are there")

        open_photo(page, make_photo(tmp_path / "first.png", 8))
        wait_for_status(page, "Opened: 400 x 300 pixels.")
        _paint(page)
        page.get_by_text("More", exact=True).click()
        boxes.fill("0,0,0.1,0.1")
        open_photo(page, make_photo(tmp_path / "second.png", 9))
        _shows(page, "#album img", 2)
        wait_for_paint(False, "")
        boxes.fill("0,0,0.5,1")
        page.locator("#album button.thumbnail-item").first.click()
        wait_for_paint(True, "0,0,0.1,0.1")

        fill_strength(page, "0.1")
        page.get_by_text("all open photos").click()
        page.locator("#go").click()
        page.locator("#edits img").nth(1).wait_for()
        page.locator("#album button.thumbnail-item").nth(1).click()
        wait_for_paint(False, "0,0,0.5,1")
        page.close()
    changed = []
    for path in set(served.folder.joinpath("edits").glob("*.png")) - before:
        record = read_record(path)
        assert record is not None and record.region_by == "given"
        with Image.open(served.folder / "masks" / f"{record.mask_sha256}.png") as mask:
            changed.append(float((np.asarray(mask.convert("L")) > 0).mean()))
    painted, left_half = sorted(changed)
    assert 0 < painted < 0.3 and left_half == pytest.approx(0.5, abs=0.01)


def _uploaded(served: Studio, name: str, data: bytes) -> str:
    answer = requests.post(f"{served.url}/gradio_api/upload", files={"files": (name, data)}, timeout=60)
    assert answer.status_code == 200
    return str(answer.json()[0])


def _called(served: Studio, event: str, data: list[Any]) -> str:
    """Everything that the event's stream says."""
    begun = requests.post(f"{served.url}/gradio_api/call/{event}", json={"data": data}, timeout=60)
    if begun.status_code != 200:
        return begun.text
    stream = requests.get(f"{served.url}/gradio_api/call/{event}/{begun.json()['event_id']}", timeout=240)
    return stream.text


def _file(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def test_hostile_uploads_are_told_and_leave_nothing(served: Studio) -> None:
    page = "<script>alert(1)</script>.png"
    for name, data, says in (
        (page, b"<html><script>alert(1)</script></html>", "no picture"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "damaged"),
        ("../../../../escaped.png", b"GIF89a", "damaged"),
    ):
        path = _uploaded(served, name, data)
        assert Path(path).resolve().is_relative_to(served.folder)
        told = _called(served, "open", [[_file(path)], None, "", None, "", None])
        assert says in told or "no picture" in told
        assert "<script>" not in told
        assert not Path(path).exists()
    assert not any(path.name == "escaped.png" for path in served.folder.parent.rglob("*"))


def test_no_file_outside_the_work_folder_can_be_read(served: Studio, tmp_path: Path) -> None:
    secret = make_photo(tmp_path / "secret.png")
    before = set(served.folder.joinpath("sources").iterdir())
    for path in (str(secret), "/etc/passwd", f"{served.folder}/../../secret.png"):
        answer = requests.get(f"{served.url}/gradio_api/file={path}", timeout=60)
        assert answer.status_code in (403, 404), path
        told = _called(served, "open", [[_file(path)], None, "", None, "", None])
        assert "Opened" not in told
        # nor by way of a component that reads pictures
        painted = {"background": None, "layers": [_file(path)], "composite": None}
        assert "Done" not in _called(served, "edit", _wish(painted=painted))
    assert set(served.folder.joinpath("sources").iterdir()) == before
    for kept in served.folder.rglob("*"):
        assert kept.is_dir() or kept.read_bytes() not in (secret.read_bytes(), Path("/etc/passwd").read_bytes())


def test_other_hosts_are_refused_and_every_answer_binds_the_browser(served: Studio) -> None:
    assert requests.get(served.url, headers={"Host": "evil.example"}, timeout=60).status_code == 400
    answer = requests.get(served.url, timeout=60)
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    for outside in ("fonts.googleapis.com", "cdnjs", "api.gradio.app"):
        assert f'src="https://{outside}' not in answer.text and f'href="https://{outside}' not in answer.text


def _wish(photo: str = "0" * 64, painted: Any = None, emotions: Any = ("joy",), boxes: Any = "") -> list[Any]:
    """The fields of a request in the page's order."""
    return [None, photo, None, painted, emotions, 1, "", "found", boxes, "one", 0, 1]


def test_a_wish_that_no_page_would_send_is_refused_and_the_page_goes_on(served: Studio) -> None:
    for photo in ("../../etc/passwd", "0" * 64, ""):
        told = _called(served, "edit", _wish(photo))
        assert "Done" not in told and "/etc/passwd" not in told
    for emotions, says in (
        (["rage"], "is no emotion"),
        ([], "no emotion is chosen"),
        ([["joy"]], "is no emotion"),
        (3, "not iterable"),
        (["joy"] * 40, "the most is"),
    ):
        assert says in _called(served, "edit", _wish(emotions=emotions))
    assert "is none" in _called(served, "edit", _wish(boxes="0,0,2,2"))
    assert requests.get(served.url, timeout=60).status_code == 200


def test_a_conversation_edits_the_last_picture_and_takes_back(served: Studio, tmp_path: Path) -> None:
    before = set(served.folder.joinpath("edits").glob("*.png"))
    hostile = "<img src=x onerror=alert(1)>"
    with chromium() as browser:
        page, alerts = open_studio(browser, served.url)
        say(page, "make it scary", 0, "no photo is open")
        open_photo(page, make_photo(tmp_path / "talk.png", 9))
        wait_for_status(page, "Opened: 400 x 300 pixels.")
        page.locator("#turns .hint").wait_for()  # another photo, another conversation
        fill_strength(page, "0.1")
        say(page, hostile, 0, "Not understood. Understood are an emotion")
        assert page.locator("#turns img[src=x]").count() == 0 and hostile in page.locator("#turns").inner_text()
        say(page, "undo", 1, "there is no change to take back")
        say(page, "make it scary, everywhere", 2, "Fear, strength 0.1")
        page.locator("#turns li").nth(2).locator("img").wait_for()
        say(page, "less", 3, "Fear, strength 0.1")
        say(page, "and now calm, only the sky", 4, "contentment is taken as")
        made = set(served.folder.joinpath("edits").glob("*.png")) - before
        records = {path: read_record(path) for path in made}
        assert sorted(record.emotion for record in records.values() if record)[0] == "approval" and len(made) == 2
        (first,) = (path for path, record in records.items() if record and record.emotion == "fear")
        (second,) = (record for record in records.values() if record and record.emotion == "approval")
        # the second edits the first one's picture, where MoodifyCLIP finds the sky
        assert second.source_sha256 == hashlib.sha256(first.read_bytes()).hexdigest()
        assert second.region_by == "given" and second.mask_sha256
        page.locator("#back").click()
        page.locator("#turns .taken").wait_for()
        say(page, "take that back", 6, "taken back")
        say(page, "undo", 7, "taken back")
        wait_for_status(page, "Back at the photo.")
        assert find_faults(page) == []
        page.set_viewport_size({"width": 400, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert find_faults(page) == []
        assert alerts == []
        page.close()


def test_ctrl_c_ends_it_while_a_page_is_open(served: Studio) -> None:
    """The last one: it ends what the others use."""
    with requests.get(f"{served.url}/gradio_api/heartbeat/page", stream=True, timeout=60) as page:
        assert page.status_code == 200
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(60) in (0, 130)
