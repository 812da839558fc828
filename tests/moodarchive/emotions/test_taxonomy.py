"""The emotions, contexts and groupings are those that the paper and GoEmotions fix."""

from collections import Counter

import pytest

from moodarchive.emotions.taxonomy import CONTEXTS, EKMAN, EMOTIONS, MIKELS, SENTIMENT, words


def test_there_are_27_emotions_without_neutral_and_four_contexts() -> None:
    assert len(EMOTIONS) == len(set(EMOTIONS)) == 27
    assert "neutral" not in EMOTIONS
    assert CONTEXTS == ("facial_expressions", "natural_scenery", "urban_scenery", "object_classes")


@pytest.mark.parametrize("grouping", [EKMAN, SENTIMENT], ids=["ekman", "sentiment"])
def test_every_emotion_has_one_group_and_no_group_a_stranger(grouping: dict[str, str]) -> None:
    assert sorted(grouping) == sorted(EMOTIONS)


def test_sentiment_is_12_positive_11_negative_4_ambiguous() -> None:
    assert Counter(SENTIMENT.values()) == {"positive": 12, "negative": 11, "ambiguous": 4}


def test_sentiment_and_ekman_tell_one_story() -> None:
    pairs = {"joy": "positive", "surprise": "ambiguous"}
    assert {e: pairs.get(EKMAN[e], "negative") for e in EMOTIONS} == SENTIMENT
    assert set(EKMAN.values()) == {"anger", "disgust", "fear", "joy", "sadness", "surprise"}


def test_mikels_leaves_out_exactly_three_emotions() -> None:
    assert set(EMOTIONS) - set(MIKELS) == {"realization", "confusion", "curiosity"}
    assert set(MIKELS) <= set(EMOTIONS)
    assert len(set(MIKELS.values())) == 8


def test_names_become_words() -> None:
    assert words("facial_expressions") == "facial expressions"
