"""More, less and back: which picture a line edits, and how strongly."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from editor.job import Editor, settings_with
from editor.planning.instructions import Wish
from editor.planning.plan import Planner
from editor.planning.served_wish import ServedWishReader
from editor.studio.conversation import Conversation, Turn, Turns, _resolve, _take_back
from editor.studio.handlers import Handlers
from editor.studio.runs import Runs
from editor.studio.work import Work
from moodarchive.errors import EditError
from tests.editor.plan_server import plan_server

FEAR, JOY = Wish(kind="edit", emotion="fear"), Wish(kind="edit", emotion="joy")
MORE, LESS = Wish(kind="stronger", change=1), Wish(kind="weaker", change=-1)


def _turns(*strengths: float) -> Turns:
    return [Turn(f"line {at}", "", f"{at}.png", FEAR, strength) for at, strength in enumerate(strengths)]


def test_an_emotion_edits_the_last_picture_and_slightly_is_weaker() -> None:
    assert _resolve(JOY, [], 0.8) == (JOY, "", 0.8)
    assert _resolve(JOY, _turns(1, 1), 0.8) == (JOY, "1.png", 0.8)
    slight = replace(JOY, change=-1)
    assert _resolve(slight, _turns(1), 0.8)[1:] == ("0.png", 0.55)


def test_more_and_less_make_the_last_change_anew_and_more_than_all_is_the_change_again() -> None:
    assert _resolve(LESS, _turns(0.5, 0.5), 1) == (FEAR, "0.png", 0.25)
    assert _resolve(MORE, _turns(0.5), 1) == (FEAR, "", 0.75)
    assert _resolve(MORE, _turns(0.5, 1), 1) == (FEAR, "1.png", 1)
    assert _resolve(replace(LESS, region="sky"), _turns(1), 1)[0].region == "sky"
    with pytest.raises(EditError, match="no change yet of which there could be less"):
        _resolve(LESS, [], 1)


def test_a_method_without_strength_does_a_change_again_and_knows_no_less_of_it() -> None:
    slight = replace(JOY, change=-1)
    assert _resolve(slight, _turns(1), 0.5, gradual=False) == (replace(JOY, change=0), "0.png", 1)
    assert _resolve(MORE, _turns(1), 0.5, gradual=False) == (FEAR, "0.png", 1)
    with pytest.raises(EditError, match="knows no strength"):
        _resolve(LESS, _turns(1), 0.5, gradual=False)


def test_each_undo_takes_back_one_more_change_down_to_the_photo() -> None:
    turns = _turns(1, 1)
    for expected in ("0.png", ""):
        turns = _take_back(turns, "undo")
        assert turns[-1].picture == expected
    with pytest.raises(EditError, match="no change to take back"):
        _take_back(turns, "undo")
    turns = [*_take_back(_turns(1, 1), "undo"), Turn("joy", "", "2.png", JOY, 1)]
    assert _take_back(turns, "undo")[-1].picture == "0.png"
    assert _resolve(MORE, _take_back(turns, "undo"), 1)[1] == "0.png"


@pytest.mark.parametrize(("method", "strength"), [("sdedit", 0.1), ("emoeditor", 1.0), ("instruct-pix2pix", 1.0)])
def test_only_a_method_that_knows_strength_is_made_anew_for_another(method: str, strength: float) -> None:
    runs = Runs(editor=Editor(method=method, base="", model=None, settings=settings_with(method), planner=Planner()))
    before = runs.editor
    assert runs._with(0.1).settings.strength == strength and (runs.editor is before) == (strength == 1.0)


@dataclass
class _Request:
    session_hash: str = "page"


def _conversation(folder: Path, served: ServedWishReader | None) -> Conversation:
    work = Work(folder=folder)
    work.make()
    editor = Editor(method="sdedit", base="", model=None, settings=settings_with("sdedit"), planner=Planner())
    return Conversation(handlers=Handlers(work=work, runs=Runs(editor=editor)), served=served)


def _last_answer(conversation: Conversation, photo: str, text: str) -> str:
    given: Any = _Request()
    *_, last = conversation.say(photo, [], text, 1.0, 0, given)
    return str(last[6][-1].answer)


def test_where_the_served_model_fails_plain_rules_read_the_line(tmp_path: Path) -> None:
    from PIL import Image

    from editor.pictures import SourcePicture

    with plan_server("no json") as server:
        conversation = _conversation(tmp_path, ServedWishReader(server=server.url, model="m"))
        conversation.handlers.work.keep_source(SourcePicture(image=Image.new("RGB", (8, 8)), sha256="0" * 64))
        answer = _last_answer(conversation, "0" * 64, "what a day")
    assert "Not understood" in answer and "gave no usable answer (not_json)" in answer
    answer = _last_answer(conversation, "0" * 64, "what a day")
    assert "did not answer, so that plain rules read the line" in answer
    assert "no photo is open" in _last_answer(conversation, "../../etc/passwd", "make it calm")


def test_what_is_said_is_text_and_never_markup(tmp_path: Path) -> None:
    shown = _conversation(tmp_path, None).show([Turn("<script>alert(1)</script>", "<b>no</b>")])
    assert "<script>" not in shown and "&lt;script&gt;" in shown and "<b>" not in shown
