"""The demo's stand-in model as a process of its own: its interface, its captions and its end."""

import base64
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import requests
from PIL import Image, ImageDraw

from annotate.answer import Annotation, answer_schema, read_answer
from annotate.clip_tokens import token_counter
from annotate.prompt import load_prompt
from moodarchive.chat.answers import ChatAnswer
from moodarchive.emotions.captions import caption_text
from moodarchive.emotions.taxonomy import CONTEXTS, EMOTIONS
from pipelines.demo.captioner.measures import NotAPicture, measure
from pipelines.demo.captioner.sentences import Hints, compose, hints_in
from pipelines.demo.captioner.server import MODEL, BadRequest, answer_to, question_of

PROMPT = load_prompt("five_sentences")
COUNT = token_counter()


def encoded(image: Image.Image, form: str = "JPEG") -> bytes:
    held = io.BytesIO()
    image.save(held, form)
    return held.getvalue()


def scene(seed: int, size: tuple[int, int] = (640, 480)) -> bytes:
    """Sky, ground, a few shapes and grain, all by the seed."""
    chance = np.random.default_rng(seed)
    image = Image.new("RGB", size, tuple(chance.integers(0, 256, 3).tolist()))
    pen = ImageDraw.Draw(image)
    colours = [tuple(colour) for colour in chance.integers(0, 256, (6, 3)).tolist()]
    pen.rectangle((0, int(size[1] * chance.uniform(0.3, 0.9)), *size), fill=colours[0])
    for colour in colours[1 : 1 + seed % 6]:
        x, y, r = (int(v) for v in chance.integers(10, 300, 3))
        pen.ellipse((x, y, x + r, y + r), fill=colour)
    grain = chance.normal(0, 3 * (seed % 9), (size[1], size[0], 1))
    return encoded(Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)))


def body(picture: bytes, emotion: str = "joy", phrase: str = "a red kite", **changes: Any) -> dict[str, Any]:
    url = "data:image/jpeg;base64," + base64.b64encode(picture).decode()
    text = PROMPT.fill(emotion, CONTEXTS[1], phrase).user
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}]
    return {
        "model": MODEL,
        "messages": [{"role": "system", "content": PROMPT.system}, {"role": "user", "content": content}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": answer_schema()}},
        "max_tokens": 512,
        "seed": 1,
        **changes,
    }


def annotate(picture: bytes, **changes: Any) -> Annotation:
    """The annotation, once it has passed all the rules of the caption stage."""
    reply = answer_to(question_of(body(picture, **changes)))
    choice, usage = reply["choices"][0], reply["usage"]
    answer = ChatAnswer(
        text=choice["message"]["content"],
        finish_reason=choice["finish_reason"],
        model=reply["model"],
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
    )
    return read_answer(answer, PROMPT.fill("joy", "natural_scenery", "a lone tree"), COUNT)


def whole(found: Annotation) -> str:
    return caption_text(found.summary, found.stimuli, found.assessment)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    announce = folder / "address"
    command = [sys.executable, "-m", "pipelines.demo.captioner.server", "--port", "0", "--announce", str(announce)]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 20
        while not announce.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield announce.read_text().strip(), process
    finally:
        process.terminate()
        process.wait(10)


def test_it_speaks_the_interface_over_http(tmp_path: Path) -> None:
    with served(tmp_path) as (url, process):
        assert requests.get(f"{url}/health", timeout=5).status_code == 200
        assert [model["id"] for model in requests.get(f"{url}/v1/models", timeout=5).json()["data"]] == [MODEL]
        request = body(scene(3))
        first, second = (requests.post(f"{url}/v1/chat/completions", json=request, timeout=10) for _ in range(2))
        assert first.status_code == 200
        assert first.content == second.content
        assert first.json()["model"] == MODEL
        assert first.json()["choices"][0]["finish_reason"] == "stop"
        assert first.json()["usage"]["completion_tokens"] > 30
        wrong = requests.post(f"{url}/v1/chat/completions", json={**request, "model": "llava"}, timeout=5)
        assert wrong.status_code == 404
        assert MODEL in wrong.json()["error"]["message"]
        assert requests.post(f"{url}/v1/chat/completions", data=b"{", timeout=5).status_code == 400
        process.terminate()
        assert process.wait(5) == 0


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    announce = tmp_path / "address"
    parent = (
        "import subprocess, sys, time, pathlib\n"
        "command = [sys.executable, '-m', 'pipelines.demo.captioner.server', '--announce', sys.argv[1]]\n"
        "child = subprocess.Popen(command)\n"
        "while not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.02)\n"
        "print(child.pid, flush=True)\n"
    )
    run = subprocess.run([sys.executable, "-c", parent, str(announce)], stdout=subprocess.PIPE, timeout=30, check=True)
    pid, deadline = int(run.stdout), time.monotonic() + 10
    while _runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_every_picture_and_hint_gives_an_acceptable_caption_of_its_own() -> None:
    found = {}
    for seed, emotion in enumerate(EMOTIONS):
        annotation = annotate(scene(seed, (320, 240)), emotion=emotion, phrase=f"phrase number {seed}")
        text = whole(annotation)
        assert 60 <= COUNT(text) <= 150, text
        assert emotion in annotation.assessment
        assert emotion in annotation.emotions
        assert f"phrase number {seed}" in annotation.summary
        found[text] = seed
    assert len(found) == len(EMOTIONS)


def test_pictures_alone_tell_captions_apart() -> None:
    texts = {whole(annotate(scene(seed, (320, 240)))) for seed in range(15)}
    assert len(texts) == 15


def test_measures_answer_to_what_is_drawn() -> None:
    night = Image.new("RGB", (320, 240), (12, 14, 40))
    ImageDraw.Draw(night).ellipse((230, 20, 290, 80), fill=(250, 240, 120))
    found = measure(encoded(night))
    assert found.colours[0][0] in ("navy blue", "black", "charcoal")
    assert found.brightness < 0.3
    assert found.brightest == "in the upper right"
    assert found.accent is not None
    assert (found.accent.place, "yellow" in found.accent.colour) == ("in the upper right", True)
    beach = Image.new("RGB", (320, 240), (120, 185, 240))
    ImageDraw.Draw(beach).rectangle((0, 160, 320, 240), fill=(215, 190, 150))
    found = measure(encoded(beach))
    assert found.horizon is not None
    assert abs(found.horizon - 2 / 3) < 0.05
    assert [name for name, _ in found.colours[:2]] == ["sky blue", "beige"]
    assert found.faces == ()


def test_a_caption_disagrees_when_the_measures_do() -> None:
    grey = measure(encoded(Image.new("RGB", (320, 240), (55, 58, 62))))
    found = compose(grey, Hints(emotion="excitement", phrase=None), "x")
    assert found.emotions[0] != "excitement"
    assert found.emotions[-1] == "excitement"
    assert compose(grey, Hints(emotion=found.emotions[0], phrase=None), "x").emotions[0] == found.emotions[0]


def test_the_searchers_words_are_found_and_made_plain() -> None:
    asked = PROMPT.fill("fear", "facial_expressions", 'wide eyes. "And" an open mouth!')
    assert hints_in(asked.words) == Hints(emotion="fear", phrase="wide eyes and an open mouth")
    assert hints_in("Describe it.") == Hints(emotion=None, phrase=None)
    without = compose(measure(scene(2)), Hints(emotion=None, phrase=None), "x")
    assert all(sentence.endswith(".") for sentence in (without.summary, *without.stimuli, without.assessment))


def test_seed_and_prompt_change_the_wording() -> None:
    assert len({whole(annotate(scene(4), seed=seed)) for seed in range(12)}) > 4


def test_the_requests_schema_shapes_the_answer() -> None:
    schema = {
        "type": "object",
        "properties": {
            "title": {"type": "string", "maxLength": 30},
            "emotions": {"type": "array", "items": {"enum": ["calm", "joy"]}, "minItems": 2, "maxItems": 2},
            "score": {"type": "integer", "minimum": 1},
            "more": {"type": "object", "properties": {"safe": {"type": "boolean"}}},
        },
    }
    form = {"type": "json_schema", "json_schema": {"schema": schema}}
    reply = answer_to(question_of(body(scene(1), response_format=form)))
    found = json.loads(reply["choices"][0]["message"]["content"])
    assert list(found) == ["title", "emotions", "score", "more"]
    assert len(found["title"]) <= 30
    assert len(found["emotions"]) == 2
    assert set(found["emotions"]) <= {"calm", "joy"}
    assert (found["score"], found["more"]) == (1, {"safe": False})
    plain = answer_to(question_of(body(scene(1), response_format=None)))
    assert plain["choices"][0]["message"]["content"].count(".") == 5


def test_the_token_limit_cuts_the_answer_off() -> None:
    reply = answer_to(question_of(body(scene(1), max_tokens=20)))
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 20


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stream": True}, "not streamed"),
        ({"messages": [{"role": "user", "content": "hello"}]}, "0 pictures"),
        ({"messages": 7}, "not a chat request"),
    ],
)
def test_other_requests_are_turned_down(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        question_of(body(scene(1), **changes))


def test_what_is_no_picture_or_too_big_is_turned_down_before_decoding() -> None:
    with pytest.raises(BadRequest, match="cannot be read"):
        answer_to(question_of(body(b"\xff\xd8 no picture")))
    bomb = encoded(Image.new("L", (9000, 9000)), "PNG")
    with pytest.raises(NotAPicture, match="9000 x 9000"):
        measure(bomb)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (500, 2), (17, 17)])
def test_odd_sizes_are_measured_too(size: tuple[int, int]) -> None:
    found = annotate(encoded(Image.new("RGB", size, (200, 30, 40)), "JPEG"))
    assert len(found.stimuli) == 3
