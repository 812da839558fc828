"""A wish in plain words is understood, or it is said that it is not."""

import pytest

from editor.planning.instructions import Instruction, Wish, emotion_words, read_instruction, read_wish
from moodarchive.emotions.taxonomy import TARGETS
from moodarchive.errors import EditError


@pytest.mark.parametrize(
    ("text", "target", "source"),
    [
        ("Please change the emotion of this image from anger to contentment.", "contentment", "anger"),
        ("Make it sad", "sadness", ""),
        ("turn this happy picture into a frightening one", "fear", ""),
        ("from joy, please, towards grief", "grief", "joy"),
        ("I WANT AWE", "awe", ""),
        ("not sad but joyful", "joy", ""),
        ("from a quiet street to something terrifying", "fear", ""),
    ],
)
def test_an_instruction_names_where_to_and_perhaps_where_from(text: str, target: str, source: str) -> None:
    assert read_instruction(text) == Instruction(target=target, source=source)


def test_an_instruction_without_one_emotion_is_refused_with_a_remedy() -> None:
    for text in ("", "make it blue", "from anger", "a sadistic anger-management"):
        try:
            read = read_instruction(text)
        except EditError as error:
            assert "names no known emotion" in str(error) and "remedy" in str(error)
        else:
            assert read.target == "anger"  # the compound names it
    with pytest.raises(EditError, match="several emotions: sadness, joy; remedy"):
        read_instruction("make it sad and happy")


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("make it calm", Wish(kind="edit", emotion="contentment")),
        ("a bit sadder please", Wish(kind="edit", emotion="sadness", change=-1)),
        ("much more scary, only the sky", Wish(kind="edit", emotion="fear", change=1, region="sky")),
        ("more", Wish(kind="stronger", change=1)),
        ("Less!", Wish(kind="weaker", change=-1)),
        ("a little less, everywhere", Wish(kind="weaker", change=-1, region="*")),
        ("Undo", Wish(kind="undo")),
        ("please take that back", Wish(kind="undo")),
        ("from anger to joy", Wish(kind="edit", emotion="joy", source="anger")),
        ("less sad", Wish(kind="unclear")),
        ("happy and sad", Wish(kind="unclear")),
        ("what's the weather?", Wish(kind="unclear")),
        ("<script>alert(1)</script>", Wish(kind="unclear")),
        ("", Wish(kind="unclear")),
    ],
)
def test_a_line_of_a_conversation_is_an_edit_a_change_or_unclear(text: str, wish: Wish) -> None:
    assert read_wish(text) == wish


def test_every_emotion_is_known_by_its_name_and_every_word_is_of_one() -> None:
    words = emotion_words()
    assert all(words[emotion] == emotion for emotion in TARGETS)
    assert set(words.values()) == set(TARGETS)
