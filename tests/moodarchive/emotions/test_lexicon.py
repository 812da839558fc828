"""The lexicon is complete, search-ready and free of near-repeats."""

import re
import tomllib
from collections import Counter
from difflib import SequenceMatcher
from importlib.resources import files
from itertools import combinations

import pytest

from moodarchive.emotions.lexicon import load_lexicon
from moodarchive.emotions.taxonomy import CONTEXTS, EMOTIONS, Cell

MIN_PHRASES_PER_CELL = 12
MAX_TOKEN_JACCARD = 0.75
MAX_LETTER_RATIO = 0.88

_LEXICON_DIR = files("moodarchive.emotions") / "data" / "lexicon"
_WORD = r"[a-z]+(?:-[a-z]+)*"
_TWO_TO_FIVE_WORDS = re.compile(rf"{_WORD}(?: {_WORD}){{1,4}}")


@pytest.fixture(scope="module")
def lexicon() -> dict[Cell, tuple[str, ...]]:
    return load_lexicon()


@pytest.fixture(scope="module")
def every_phrase(lexicon: dict[Cell, tuple[str, ...]]) -> list[str]:
    return [phrase for phrases in lexicon.values() for phrase in phrases]


def tokens(phrase: str) -> frozenset[str]:
    """The phrase's words without order and plural s; 'gas' and 'glass' keep theirs."""
    return frozenset(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
        for word in phrase.split()
    )


def letter_ratio(first: str, second: str) -> float:
    """difflib's ratio; it depends on the order of its arguments, so the larger of the two."""
    return max(SequenceMatcher(None, *pair, autojunk=False).ratio() for pair in ((first, second), (second, first)))


def near_repeats(phrases: list[str]) -> list[tuple[str, str]]:
    """Every pair of the same words up to order and plural, or at the limit of token Jaccard or of letter ratio.

    Equal token sets have a Jaccard of 1, so the first rule is part of the second.
    """
    words = [tokens(phrase) for phrase in phrases]
    letters = [Counter(phrase) for phrase in phrases]
    found = []
    for (i, first), (j, second) in combinations(enumerate(phrases), 2):
        shares_words = len(words[i] & words[j]) >= MAX_TOKEN_JACCARD * len(words[i] | words[j])
        # Shared letters bound the ratio from above; without the bound difflib would read a million pairs.
        bound = 2 * (letters[i] & letters[j]).total() / (len(first) + len(second))
        if shares_words or (bound >= MAX_LETTER_RATIO and letter_ratio(first, second) >= MAX_LETTER_RATIO):
            found.append((first, second))
    return found


def test_cells_follow_the_order_of_emotions_then_contexts(lexicon):
    assert list(lexicon) == [Cell(emotion, context) for emotion in EMOTIONS for context in CONTEXTS]


def test_every_cell_has_at_least_twelve_phrases(lexicon):
    assert {cell: len(phrases) for cell, phrases in lexicon.items() if len(phrases) < MIN_PHRASES_PER_CELL} == {}


def test_phrases_keep_the_order_of_their_file(lexicon):
    listed = tomllib.loads((_LEXICON_DIR / "anger.toml").read_text("utf-8"))["natural_scenery"]
    assert lexicon[Cell("anger", "natural_scenery")] == tuple(listed)


def test_there_is_one_file_for_each_emotion_and_no_other():
    assert {path.name for path in _LEXICON_DIR.iterdir()} == {f"{emotion}.toml" for emotion in EMOTIONS}


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_each_file_opens_with_a_comment_and_holds_exactly_the_contexts(emotion):
    text = (_LEXICON_DIR / f"{emotion}.toml").read_text("utf-8")
    assert text.startswith("# ") and emotion in text.splitlines()[0]
    assert tuple(tomllib.loads(text)) == CONTEXTS


def test_phrases_are_search_ready(every_phrase):
    assert [phrase for phrase in every_phrase if not _TWO_TO_FIVE_WORDS.fullmatch(phrase)] == []


def test_no_phrase_names_its_own_emotion(lexicon):
    named = [
        (cell, phrase)
        for cell, phrases in lexicon.items()
        for phrase in phrases
        # 'love letters' and 'love locks' are things with no other name.
        if cell.emotion != "love" and cell.emotion in phrase
    ]
    assert named == []


def test_no_cell_starts_two_phrases_with_the_same_word(lexicon):
    firsts = {cell: Counter(phrase.split()[0] for phrase in phrases) for cell, phrases in lexicon.items()}
    assert {cell: count for cell, count in firsts.items() if max(count.values()) > 1} == {}


def test_no_near_repeats_within_or_across_emotions(every_phrase):
    assert near_repeats(every_phrase) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("wilted rose in vase", "vase in wilted roses"),
        ("empty park bench", "empty bench in park"),
        ("green traffic light", "red traffic light"),
        ("closed eyes", "closed eyes"),
    ],
)
def test_near_repeats_are_recognised(first, second):
    assert near_repeats([first, second]) == [(first, second)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("wilted rose in vase", "red rose garden"),
        ("glaring eyes", "darting eyes"),
        ("kiss on railway platform", "deserted railway platform"),
    ],
)
def test_phrases_that_share_only_some_words_are_no_near_repeats(first, second):
    assert near_repeats([first, second]) == []
