"""The studio's page with EmoEditor and with EPEM: an edit by the button, a conversation, and its way back."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from editor.job import Editor, settings_with
from editor.planning.plan import Planner
from editor.provenance import EditRecord
from editor.studio.runs import Runs
from editor.studio.serve import Address, make_app
from editor.studio.work import Work
from moodarchive.language_edit.caption_editor import save_caption_editor
from tests.editor.browsing import make_photo, open_photo, open_studio, say, wait_for_status
from tests.editor.small_models import SmallModels
from tests.moodarchive.diffusion.small_emoeditor import small_emoeditor
from tests.moodarchive.diffusion.small_epem import small_blip2, small_epem
from tests.moodarchive.language_edit.small import small_captioner, trained_editor
from tests.validate.study.browsing import chromium

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@contextmanager
def _studio(method: str, base: Path, model: Path | None, work: Work, **given: object) -> Iterator[str]:
    """The page's address; served from a thread, because a process of its own would import all libraries again."""
    work.make()
    settings = settings_with(method, size=32, steps=2, **given)
    editor = Editor(
        method=method, base=str(base), model=str(model) if model else None, settings=settings, planner=Planner()
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(work.uploads))
        app = make_app(Runs(editor=editor), work, Address())
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        listening = socket.create_server(("127.0.0.1", 0))  # from here on the browser may come
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


def _records(work: Work) -> list[EditRecord]:
    """The newest last."""
    return [past.record for past in reversed(work.history())]


def _edit_by_button(page: Any, photo: Path, says: str) -> None:
    open_photo(page, photo)
    wait_for_status(page, "Opened: 400 x 300 pixels.")
    page.locator("#go").click()
    wait_for_status(page, says)


def test_emoeditor_edits_by_the_emotion_alone_and_knows_no_strength(
    browser: Any, small: SmallModels, tmp_path: Path
) -> None:
    base, work = small_emoeditor(tmp_path / "emoeditor", small.instruct), Work(folder=tmp_path / "work")
    with _studio("emoeditor", base, None, work, rounds=2) as url:
        page, alerts = open_studio(browser, url)
        assert page.locator("#strength input[type=number]").is_disabled()
        _edit_by_button(page, make_photo(tmp_path / "photo.png"), "2 rounds")
        say(page, "make it contentment", 0, "Contentment;")
        say(page, "less", 1, "knows no strength")
        page.close()
    made = [(each.method, each.emotion, each.prompt, each.settings["strength"]) for each in _records(work)]
    assert made == [("emoeditor", "joy", "", 1), ("emoeditor", "contentment", "", 1)] and alerts == []


def test_epem_follows_the_instruction_of_a_conversation_and_takes_it_back(
    browser: Any, small: SmallModels, tmp_path: Path
) -> None:
    base, work = small_epem(tmp_path / "epem", small.base, small_blip2(tmp_path / "blip2")), Work(folder=tmp_path / "w")
    captioner = small_captioner(tmp_path / "captioner")
    save_caption_editor(tmp_path / "language", trained_editor(captioner).model, tmp_path / "captioner")
    instruction = "Please change the emotion of this image from anger to awe."
    with _studio("epem", base, tmp_path / "language", work) as url:
        page, alerts = open_studio(browser, url)
        _edit_by_button(page, make_photo(tmp_path / "photo.png"), "the picture's own caption")
        say(page, instruction, 0, "Awe, strength 1")
        first, second = _records(work)
        page.locator("#used", has_text=second.prompt.strip()).wait_for()
        say(page, "undo", 1, "taken back")
        wait_for_status(page, "Back at the photo.")
        page.close()
    assert [each.emotion for each in _records(work)] == ["joy", "awe"] and alerts == []
    assert second.settings["instruction"] == instruction and second.prompt_by == "edited language model"
    assert second.source_sha256 == first.source_sha256  # the button's edit is no turn of the conversation
