"""Which answers are accepted as they are, which are mended, and what the server is held to."""

import json
import re
from typing import Any

import pytest

from annotate.answer import MAX_CLIP_TOKENS, Annotation, answer_schema, read_answer
from annotate.caption import CaptionSettings
from annotate.clip_tokens import token_counter
from annotate.prompt import load_prompt
from moodarchive.chat.answers import ChatAnswer
from moodarchive.emotions.captions import caption_text
from moodarchive.emotions.taxonomy import EMOTIONS
from moodarchive.errors import ConfigError, MissingExtraError, RowError
from tests.annotate.described_part import GOOD

PROMPT = load_prompt("five_sentences_2")
ASKED = PROMPT.fill("joy", "natural_scenery", "an old lighthouse on a cliff in the morning fog")
COUNT = token_counter()


def read(**changes: Any) -> Annotation:
    text = json.dumps({**GOOD, **changes})
    return read_answer(
        ChatAnswer(text=text, finish_reason="stop", model="m", prompt_tokens=1, completion_tokens=1), ASKED, COUNT
    )


@pytest.mark.parametrize(
    "sentence",
    [
        "Dr. Lee of St. Mary's waits outside the U.S. Embassy at 5 p.m. sharp.",
        "A sign that reads “Stop!” stands by the road.",
        "The man (see the J. Smith on his badge) is 1.8 m tall.",
        "What a wide, open view!",
        "Light fades... and the room grows dark.",
    ],
)
def test_a_full_stop_inside_a_sentence_does_no_harm(sentence: str) -> None:
    assert read(summary=sentence).summary == sentence


@pytest.mark.parametrize(
    "sentence", ["A tree stands here. The sky is grey.", "Is it sad? It is.", "A dog! “Sit” it is told."]
)
def test_two_sentences_in_one_field_are_rejected(sentence: str) -> None:
    with pytest.raises(RowError) as error:
        read(summary=sentence)
    assert error.value.kind == "not_one_sentence"


def test_spaces_full_stops_and_emotions_are_brought_to_one_spelling() -> None:
    found = read(summary="  A tree\n stands here ", emotions=["Sadness", "sadness", " joy"])
    assert found.summary == "A tree stands here."
    assert found.emotions == ("sadness", "joy")


def test_the_words_around_the_hints_are_no_caption_but_a_long_search_phrase_may_be() -> None:
    with pytest.raises(RowError) as error:
        read(summary="Emotion searched for: joy, context natural scenery, search phrase an old lighthouse.")
    assert error.value.kind == "repeats_prompt"
    assert read(summary="Here is an old lighthouse on a cliff in the morning fog.").summary


def test_the_limit_is_exact() -> None:
    fixed = caption_text(GOOD["summary"], ["", *GOOD["stimuli"][1:]], GOOD["assessment"])
    room = MAX_CLIP_TOKENS - COUNT(fixed) - 1  # the full stop
    words = "A " + "tree " * (room - 2) + "{}."
    assert COUNT(caption_text(*_sentences(read(stimuli=[words.format("hill"), *GOOD["stimuli"][1:]])))) == 246
    with pytest.raises(RowError) as error:
        read(stimuli=[words.format("hill hill"), *GOOD["stimuli"][1:]])
    assert error.value.kind == "too_long"


def _sentences(annotation: Annotation) -> tuple[str, tuple[str, ...], str]:
    return annotation.summary, annotation.stimuli, annotation.assessment


def test_the_schema_bounds_every_string_and_admits_no_control_character_quote_or_backslash() -> None:
    schema = answer_schema()
    assert list(schema["properties"]) == ["summary", "stimuli", "assessment", "emotions", "nudity", "gore"]
    assert schema["required"] == list(schema["properties"])
    assert {tuple(schema["properties"][flag]["enum"]) for flag in ("nudity", "gore")} == {("no", "yes")}
    assert schema["additionalProperties"] is False
    assert schema["properties"]["emotions"]["items"]["enum"] == list(EMOTIONS)
    for sentence in (schema["properties"]["summary"], schema["properties"]["stimuli"]["items"]):
        pattern, longest = sentence["pattern"], sentence["maxLength"]
        assert re.fullmatch(pattern, "A" + "é" * (longest - 2) + ".")
        assert not re.fullmatch(pattern, "A" + "e" * (longest - 1) + ".")
        for letter in '"\\\n\t\x00\x1f\x7f':
            assert not re.fullmatch(pattern, f"A tree stands {letter} in the field.")
    for sentence in (GOOD["summary"], *GOOD["stimuli"], GOOD["assessment"]):
        assert re.fullmatch(schema["properties"]["summary"]["pattern"], sentence)


@pytest.mark.parametrize(
    ("answer", "means"),
    [("yes", True), ("no", False), (" Yes. ", True), ("NO", False), (True, True), (False, False), (None, None)],
)
def test_nudity_and_gore_are_answered_with_yes_or_no(answer: object, means: bool | None) -> None:
    assert (read(nudity=answer).nudity, read(nudity=answer).gore) == (means, None)
    assert (read(gore=answer, nudity="no").gore, read(gore=answer, nudity="no").nudity) == (means, False)


def test_an_answer_without_the_flags_says_nothing_of_them() -> None:
    assert not {"nudity", "gore"} & set(GOOD)
    assert (read().nudity, read().gore) == (None, None)


@pytest.mark.parametrize("answer", ["maybe", "", "partly", 1, ["yes"], {"is": "no"}, "not sure, yes"])
def test_anything_but_yes_or_no_is_asked_about_again(answer: object) -> None:
    with pytest.raises(RowError, match="gore is neither yes nor no") as error:
        read(gore=answer)
    assert error.value.kind == "wrong_schema"


def test_the_prompt_asks_about_nudity_and_gore_and_the_one_of_earlier_archives_stays_as_it_was() -> None:
    assert CaptionSettings().prompt == "five_sentences_2" and PROMPT.version == 2
    assert '"nudity": "yes" if' in PROMPT.system and '"gore": "yes" if' in PROMPT.system
    earlier = load_prompt("five_sentences")
    assert (earlier.version, earlier.hash) == (1, "9769ac8435c636fe")
    assert "nudity" not in earlier.system


def test_the_prompt_names_all_emotions_and_its_hash_follows_its_content() -> None:
    assert all(emotion in PROMPT.system for emotion in EMOTIONS)
    assert re.fullmatch("[0-9a-f]{16}", PROMPT.hash)
    assert PROMPT.fill("joy", "natural_scenery", "a {curly}  phrase").user.endswith("Search phrase: a {curly} phrase")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "not valid TOML"),
        ('name = "x"\nversion = 1\nsystem = "s"', "legal are exactly"),
        ('name = "x"\nversion = 1\nsystem = "s"\nuser = "{colour}"', "hint 'colour'"),
        ('name = "x"\nversion = 1\nsystem = "{"\nuser = "u"', "plain braces"),
    ],
)
def test_a_bad_prompt_file_says_what_is_wrong(tmp_path: Any, text: str, says: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(says)):
        load_prompt(str(file))


def test_an_unknown_prompt_names_the_bundled_ones() -> None:
    with pytest.raises(ConfigError, match="bundled are five_sentences"):
        load_prompt("six_sentences")


def test_tokens_are_counted_as_open_clip_does() -> None:
    from moodarchive.models.torch_compat import import_torchvision_safely

    import_torchvision_safely()
    from open_clip.tokenizer import SimpleTokenizer

    reference = SimpleTokenizer()
    texts = [
        caption_text(GOOD["summary"], GOOD["stimuli"], GOOD["assessment"]),
        PROMPT.system,
        "It's café &amp; naïve — 漢字 😀 l’été 1234 don't!!! <end_of_text>",
        "antidisestablishmentarianism bananananana zzzzzzzz",
        "",
    ]
    assert [COUNT(text) for text in texts] == [len(reference.encode(text)) for text in texts]


def test_without_open_clip_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moodarchive.models.clip_vocabulary.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"moodarchive\[clip\]"):
        token_counter()
