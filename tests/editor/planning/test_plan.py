"""Prompt and region come from the person, else from the served model, else from MoodifyCLIP; and are told with why."""

import base64
import io
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from editor.planning.lexicon import LEAST_AREA, MOST_AREA, LexiconPlanner, region_of
from editor.planning.plan import FACES, NOBODY, OWN, PERSON, SERVED, EditRequest, Planner, misspelt_emotion
from editor.planning.regions import Box
from editor.planning.served import MOST_WORDS, ServedPlanner, answer_schema, lexicon_phrases
from moodarchive.emotions.lexicon import load_lexicon
from moodarchive.emotions.taxonomy import CONTEXTS, EMOTIONS, Cell
from moodarchive.errors import EditError, ServiceError
from moodarchive.models.clip import ClipEncoder
from tests.editor.plan_server import GOOD, LONG, plan_server
from tests.editor.planning.test_regions import drawn_face


def _lake(size: tuple[int, int] = (200, 120)) -> Image.Image:
    image = Image.new("RGB", size, (120, 170, 220))
    image.paste((60, 120, 50), (0, size[1] // 2, *size))
    ImageDraw.Draw(image).ellipse((20, 10, 50, 40), fill=(250, 240, 120))
    return image


@cache
def _own_words() -> LexiconPlanner:
    """The demo's small CLIP, trained on drawn pictures: it proves the way, not the taste."""
    return LexiconPlanner(encoder=ClipEncoder(model="local-dir:pipelines/demo/checkpoint"))


def test_a_served_model_gives_object_region_and_prompt() -> None:
    with plan_server() as server:
        found = Planner(served=ServedPlanner(server=server.url, model="m")).plan(_lake(), EditRequest(emotion="joy"))
    assert (found.prompt, found.target_object) == (GOOD["prompt"], "the grey sky")
    assert found.prompt_by == found.region_by == SERVED and found.notes == ()
    assert found.mask is not None and found.mask[:60].all() and not found.mask[60:].any()
    (body,) = server.bodies
    assert body["response_format"]["json_schema"]["schema"] == answer_schema() and body["max_tokens"] <= 512
    picture, asked = body["messages"][1]["content"]
    assert "Emotion: joy" in asked["text"]
    sent = Image.open(io.BytesIO(base64.b64decode(picture["image_url"]["url"].partition(",")[2])))
    assert sent.size == (200, 120) and not sent.getexif()


def test_description_and_stimuli_make_the_prompt_and_no_sentence_comes_twice() -> None:
    with plan_server(LONG) as server:
        found = Planner(served=ServedPlanner(server=server.url, model="m")).plan(_lake(), EditRequest(emotion="joy"))
    description, (one, two, three) = LONG["description"], LONG["stimuli"]
    assert found.prompt == f"{description}. {one} {two} {three.removeprefix('Mist is gone. ')}"
    asked = server.bodies[0]["messages"][1]["content"][1]["text"]
    shown = asked.rpartition(": ")[2].split(", ")
    joy = {context: set(load_lexicon()[Cell("joy", context)]) for context in CONTEXTS}
    assert [sum(phrase in of for phrase in shown) for of in joy.values()] == [3] * 4 and len(shown) == 12
    assert lexicon_phrases("joy", 0) == lexicon_phrases("joy", 0) != lexicon_phrases("joy", 1)


def test_a_prompt_ends_with_a_sentence_within_its_words() -> None:
    sentence = "One bright yellow bird sings aloud upon the old green garden wall"  # 12 words
    stimuli = [f"{sentence} at {hour} in the morning." for hour in ("six", "seven", "eight")]
    long = {**LONG, "description": " ".join(f"In {year} {sentence}." for year in range(1900, 1909)), "stimuli": stimuli}
    with plan_server(long) as server:
        found = Planner(served=ServedPlanner(server=server.url, model="m")).plan(_lake(), EditRequest(emotion="joy"))
    assert len(found.prompt.split()) == 9 * 14 + 3 * 17 == 177 <= MOST_WORDS
    with plan_server({**long, "description": long["description"] + " It is a hot and dry day."}) as server:
        found = Planner(served=ServedPlanner(server=server.url, model="m")).plan(_lake(), EditRequest(emotion="joy"))
    assert len(found.prompt.split()) == 9 * 14 + 7 + 2 * 17 and found.prompt.endswith("at seven in the morning.")


BAD: list[dict[str, Any] | str] = [
    "",
    "Sure! Here is your plan",
    "CUT",
    "[" * 5_000,
    {**GOOD, "boxes": []},
    {**GOOD, "boxes": [[0.0, 0.0, 1.0, 0.5]] * 5},
    {**GOOD, "boxes": [[10, 20, 300, 400]]},
    {**GOOD, "boxes": [[0.5, 0.5, 0.2, 0.9]]},
    {**GOOD, "boxes": [[0.5, 0.5, 0.5001, 0.5001]]},
    {**GOOD, "boxes": [[0, 0, True, 1]]},
    {**GOOD, "boxes": [[0, 0, 10**400, 1]]},
    {**GOOD, "boxes": "0 0 1 1"},
    '{"target_object": "sky", "boxes": [[0, 0, NaN, 1]], "prompt": "A lake under a golden sky, all joy."}',
    {**GOOD, "prompt": "joy"},
    {**GOOD, "prompt": "x" * 5_000},
    {**GOOD, "prompt": "A lake under a golden \u0007 morning sky"},
    {**GOOD, "prompt": ["A lake under a golden morning sky"]},
    {**GOOD, "extra": 1},
    {**LONG, "prompt": GOOD["prompt"]},
    {**LONG, "stimuli": LONG["stimuli"][:2]},
    {**LONG, "stimuli": "golden clouds above the far hills"},
    {**LONG, "stimuli": ["gold", "birds", "flowers"]},
    {**LONG, "stimuli": ["a bird sings " * 40] * 3},
    {**LONG, "description": 5},
]


def test_malformed_answers_are_asked_again_with_other_seeds() -> None:
    answers = [answer for bad in BAD for answer in (bad, bad, GOOD)]
    with plan_server(*answers) as server:
        for bad in BAD:
            before = len(server.bodies)
            found = Planner(served=ServedPlanner(server=server.url, model="m")).plan(
                _lake(), EditRequest(emotion="fear")
            )
            assert found.prompt_by == SERVED and len(server.bodies) == before + 3, bad
            assert len({body["seed"] for body in server.bodies[before:]}) == 3


def test_after_so_many_bad_answers_the_lexicon_and_clip_take_over_and_it_is_told() -> None:
    with plan_server("nonsense") as server:
        told = Planner(served=ServedPlanner(server=server.url, model="m"), lexicon=_own_words)
        found = told.plan(_lake(), EditRequest(emotion="joy"))
    assert len(server.bodies) == 3
    assert found.prompt_by == OWN and found.prompt.startswith("A photo that evokes joy: ")
    assert "not_json" in found.notes[0] and "MoodifyCLIP" in found.notes[1]
    assert found.mask is not None and LEAST_AREA - 0.01 <= found.mask.mean() <= MOST_AREA + 0.01


def test_a_server_that_is_not_there_or_wants_a_key_is_told_and_not_papered_over() -> None:
    planner = Planner(served=ServedPlanner(server="http://127.0.0.1:9", model="m"), lexicon=_own_words)
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1:9"):
        planner.plan(_lake(), EditRequest(emotion="joy"))
    with plan_server(401) as server, pytest.raises(ServiceError, match="HTTP 401"):
        Planner(served=ServedPlanner(server=server.url, model="m")).plan(_lake(), EditRequest(emotion="joy"))


def test_what_a_person_gives_is_taken_and_nobody_is_asked() -> None:
    with plan_server() as server:
        planner = Planner(served=ServedPlanner(server=server.url, model="m"))
        request = EditRequest(emotion="joy", prompt="A lake in summer", boxes=(Box(0, 0, 0.5, 1),))
        found = planner.plan(_lake(), request)
        assert server.bodies == [] and found.prompt == "A lake in summer"
        assert found.prompt_by == found.region_by == PERSON
        # either alone: the other is found out
        alone = planner.plan(_lake(), EditRequest(emotion="joy", prompt="A lake in summer"))
        assert (alone.prompt, alone.region_by) == ("A lake in summer", SERVED) and alone.mask is not None
        boxed = planner.plan(_lake(), EditRequest(emotion="joy", boxes=(Box(0, 0, 0.5, 1),)))
        assert (boxed.prompt, boxed.region_by) == (GOOD["prompt"], PERSON)
        assert boxed.mask is not None and boxed.mask[:, :100].all() and not boxed.mask[:, 100:].any()
        # the ablation's rows: neither, and the plain prompt
        whole = planner.plan(_lake(), EditRequest(emotion="joy", whole=True))
        assert whole.mask is None and whole.prompt == GOOD["prompt"]
        plain = planner.plan(_lake(), EditRequest(emotion="joy", plain=True))
        assert plain.prompt == "A photo that evokes joy." and plain.region_by == SERVED


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"emotion": "hapiness"}, "is no emotion"),
        ({"emotion": "joi"}, "did you mean 'joy'"),
        ({"emotion": "joy", "prompt": "a", "plain": True}, "exclude"),
        ({"emotion": "joy", "whole": True, "boxes": (Box(0, 0, 1, 1),)}, "exclude"),
        ({"emotion": "joy", "mask": np.zeros((4, 4), np.float32)}, "empty"),
        ({"emotion": "joy", "mask": np.ones((4, 4), np.float32), "boxes": (Box(0, 0, 1, 1),)}, "paint the boxes"),
        ({"emotion": "joy", "prompt": "   "}, "blank"),
        ({"emotion": "joy", "prompt": "a\nb"}, "one line"),
        ({"emotion": "joy", "prompt": "\ud800"}, "printable"),
        ({"emotion": "joy", "prompt": "x" * 2_001}, "2,000"),
    ],
)
def test_a_request_that_cannot_be_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(EditError, match=says):
        EditRequest(**fields)


def test_a_facial_picture_keeps_its_fixed_region_whatever_the_model_boxes() -> None:
    with plan_server({**GOOD, "target_object": "the man's face"}) as server:
        found = Planner(served=ServedPlanner(server=server.url, model="m")).plan(
            drawn_face(), EditRequest(emotion="joy")
        )
        assert found.region_by == FACES and found.mask is not None and not found.mask[:5].any()
    with plan_server() as server:  # the plan is about the sky behind the face
        found = Planner(served=ServedPlanner(server=server.url, model="m")).plan(
            drawn_face(), EditRequest(emotion="joy")
        )
        assert found.region_by == SERVED


def test_without_server_and_model_the_emotion_alone_is_the_prompt() -> None:
    found = Planner().plan(_lake(), EditRequest(emotion="gratitude"))
    assert found.prompt == "A photo that evokes gratitude." and found.mask is None and found.prompt_by == NOBODY
    assert Planner().plan(drawn_face(), EditRequest(emotion="joy")).region_by == FACES


def test_a_region_is_where_the_patches_are_near_and_stays_within_its_bounds() -> None:
    near = np.zeros((7, 7), np.float32)
    near[:3, :3] = 1
    mask = region_of(near, (140, 70))
    assert mask[:20, :40].all() and not mask[40:].any() and not mask[:, 80:].any()
    spot, flat = np.zeros((16, 16), np.float32), np.ones((16, 16), np.float32)
    spot[4, 4] = 1
    assert 0 < region_of(spot, (160, 160)).mean() <= 0.1
    assert region_of(flat, (160, 160)).all()
    rising = np.arange(256, dtype=np.float32).reshape(16, 16) ** 0.2
    assert LEAST_AREA - 0.01 <= region_of(rising, (160, 160)).mean() <= MOST_AREA + 0.02


def test_patches_of_the_small_clip_lie_in_the_joint_space() -> None:
    encoder = _own_words().encoder
    patches = encoder.patches(_lake())
    assert patches.ndim == 3 and patches.shape[0] == patches.shape[1]
    assert np.allclose(np.linalg.norm(patches, axis=2), 1, atol=1e-5)
    sky = encoder.texts(["blue sky"])[0]
    assert patches.shape[2] == len(sky)


def test_a_misspelling_is_suggested_and_an_opposite_or_another_word_is_not() -> None:
    for typed, emotion in (
        ("Joy", "joy"), ("sadnes", "sadness"), ("saddness", "sadness"), ("dissapointment", "disappointment"),
        ("disaproval", "disapproval"), ("gratitute", "gratitude"), ("nervousnes", "nervousness"), (" fear ", "fear"),
        ("aproval", "approval"), ("anexity", ""), ("optimisim", "optimism"), ("rleief", "relief"),
    ):  # fmt: skip
        assert misspelt_emotion(typed) == emotion
    for opposite in (
        "uncaring", "ingratitude", "pessimism", "unexcitement", "incuriosity", "joyless", "fearless", "loveless",
        "unapproval", "nonapproval", "unlove", "dislove", "displeasure", "happiness", "boredom", "hate", "",
    ):  # fmt: skip
        assert misspelt_emotion(opposite) == "", opposite


@pytest.mark.parametrize("emotion", EMOTIONS)
@pytest.mark.parametrize("prefix", ["un", "in", "dis", "non", "anti"])
def test_no_emotion_is_suggested_for_its_negation(emotion: str, prefix: str) -> None:
    assert misspelt_emotion(prefix + emotion) in ("", *({prefix + emotion} & set(EMOTIONS)))
