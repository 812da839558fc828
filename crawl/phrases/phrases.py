"""Search phrases in one spelling, and whether a phrase says what another one says already."""

import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from rapidfuzz import fuzz, process

from moodarchive.errors import RowError

LEXICON = "lexicon"
SHARED_WORDS = 0.75
"""Phrases that share so much of their words (Jaccard, plurals aside) say the same; as in the lexicon."""
_WORD = r"[a-z]+(?:-[a-z]+)*"
_FORM = re.compile(rf"{_WORD}(?: {_WORD}){{1,5}}")
_NUMBERED = re.compile(r"^\W*\d+\s*[.):]\s*")
_LONGEST = 60


class Phrase(NamedTuple):
    """What is searched for, and who wrote it: ``lexicon``, or a model, its prompt and its seed."""

    text: str
    origin: str = LEXICON


def normalise_phrase(text: str, emotion: str) -> str:
    """Small letters without accents and single spaces; two to six words.

    RowError ``malformed``, or ``names_emotion``: sites answer the emotion's name with symbols, not with its causes.
    """
    letters = unicodedata.normalize("NFKD", _NUMBERED.sub("", text).casefold())
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter) and letter not in "'’")
    phrase = " ".join(re.sub(r"[^\w-]|_", " ", bare).split())
    if len(phrase) > _LONGEST or not _FORM.fullmatch(phrase):
        raise RowError("malformed", f"{text!r:.100} is no phrase of two to six words")
    if emotion != "love" and emotion in phrase:  # love letters have no other name
        raise RowError("names_emotion", f"{phrase!r} names {emotion}")
    return phrase


@dataclass
class KnownPhrases:
    """Phrases, and a search for the near-repeats among them.

    Near are phrases that share SHARED_WORDS of their words; or, sharing one of the new phrase's rarest words, so much
    of their letters (``similarity``, 0 to 1: the indel ratio, words in any order). A phrase is held against those that
    share its rarest words, not against all, so that a hundred thousand phrases cost seconds.
    """

    similarity: float
    _by_word: dict[str, list[str]] = field(default_factory=dict)

    def add(self, phrases: Iterable[str]) -> None:
        """From now on these are known."""
        for phrase in phrases:
            for word in _words(phrase):
                self._by_word.setdefault(word, []).append(phrase)

    def near(self, phrase: str) -> str | None:
        """A known phrase that says the same; None when there is none."""
        words = _words(phrase)
        # who shares 3/4 of n words lacks at most n/4 of them: any n/4 + 1 of the words, here the rarest, find it
        needed = len(words) - math.ceil(SHARED_WORDS * len(words)) + 1
        rarest = sorted(words, key=lambda word: (len(self._by_word.get(word, ())), word))[:needed]
        candidates = [known for word in rarest for known in self._by_word.get(word, ())]
        alike = process.extractOne(phrase, candidates, scorer=fuzz.token_sort_ratio, score_cutoff=100 * self.similarity)
        if alike is not None:
            return str(alike[0])
        return next((known for known in candidates if _shares_words(words, _words(known))), None)


def _shares_words(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= SHARED_WORDS * len(one | other)


def _words(phrase: str) -> frozenset[str]:
    """The words without order and plural s; 'gas' and 'glass' keep theirs."""
    return frozenset(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
        for word in phrase.split()
    )
