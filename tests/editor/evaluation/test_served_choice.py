"""A served model names the emotion of an edit: right, wrong, no answer, no server."""

import json

import numpy as np
import pytest
from aiohttp import web

from editor.evaluation.frames import Frames
from editor.evaluation.served_choice import ServedChoice
from moodarchive.errors import MissingWeightsError
from tests.making import serving


def _frames(emotion: str) -> Frames:
    pixels = np.zeros((32, 32, 3), np.uint8)
    return Frames(source=pixels, edited=pixels, mask=None, source_sha256="", emotion=emotion, prompt="")


def test_the_models_choice_is_held_against_the_wanted_emotion() -> None:
    answers = iter(['{"emotion": "awe"}', '{"emotion": "Fear"}', "no idea", '{"emotion": "joy"}', "{}"])

    async def answer(request: web.Request) -> web.Response:
        asked = json.loads(await request.text())
        assert asked["response_format"]["json_schema"]["schema"]["properties"]["emotion"]["enum"][0] == "amusement"
        choice = {"index": 0, "message": {"role": "assistant", "content": next(answers)}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return web.json_response({"model": "m", "object": "chat.completion", "choices": [choice], "usage": usage})

    with serving({"/v1/chat/completions": answer}) as site:
        measure = ServedChoice(f"http://{site.address}", "m")
        assert measure.load() != ServedChoice(f"http://{site.address}", "other").load()
        assert measure.of(_frames("awe")) == (1.0,)
        assert measure.of(_frames("nervousness")) == (1.0,)  # of fear's class
        assert measure.of(_frames("awe")) == (None,)  # three answers that are none
        assert measure.of(_frames("curiosity")) == (None,)
    with pytest.raises(MissingWeightsError, match="--server-model"):
        ServedChoice("http://127.0.0.1:9", "").load()
