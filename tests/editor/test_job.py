"""What an edit is said to have taken."""

import time
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from editor.job import Editor, settings_with
from editor.pictures import SourcePicture
from editor.planning.plan import EditRequest, Planner
from tests.editor.small_models import SmallModels
from tests.making import textured


def test_an_edits_seconds_are_its_own_plans_and_an_equal_share_of_what_was_made_together(
    small: SmallModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_with("sdedit", size=32, steps=2)
    editor = Editor(method="sdedit", base=small.base, model=None, settings=settings, planner=Planner())
    slow, made_by = 0.5, type(editor.loaded)
    make = made_by.edit

    def make_slowly(*given: Any) -> list[Image.Image]:
        time.sleep(slow)
        return make(*given)

    monkeypatch.setattr(made_by, "edit", make_slowly)
    source = SourcePicture(image=textured(32, 32, seed=1), sha256="0" * 64)
    requests = [EditRequest(emotion=emotion, prompt="a feast", whole=True) for emotion in ("joy", "fear")]
    plans = [
        replace(editor.plan(source, request), seconds=plan) for request, plan in zip(requests, (3, 40), strict=True)
    ]
    began = time.perf_counter()
    first, second = editor.edit_as_planned(source, requests, plans, lambda done, total: None, lambda: False)
    took = time.perf_counter() - began
    assert second.seconds - first.seconds == pytest.approx(37)
    assert slow / 2 <= first.seconds - 3 <= took / 2
