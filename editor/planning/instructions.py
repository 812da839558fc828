"""Wishes in plain words: which emotion, how strongly, and where; read by our own rules, without a model."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Literal

from moodarchive.emotions.taxonomy import TARGETS
from moodarchive.errors import EditError

LONGEST = 400
"""Letters of a wish."""
Kind = Literal["edit", "stronger", "weaker", "undo", "unclear"]
UNDERSTOOD = (
    'an emotion by its name or adjective ("make it calm", "from anger to contentment"), "more" or "less", '
    '"undo", and where ("only the sky", "everything")'
)
_WORD = re.compile(r"[a-zà-ÿ']+")
_UNDO = re.compile(r"\b(undo|revert|go back|take (it|that) back|step back)\b", re.IGNORECASE)
_MORE = re.compile(r"\b(more|stronger|further|very|much|extremely|intensely)\b", re.IGNORECASE)
_LESS = re.compile(r"\b(less|weaker|slightly|a (little|bit)|softer|subtler?|subtly|not so)\b", re.IGNORECASE)
_WHOLE = re.compile(r"\b(everything|everywhere|the whole|all of (it|the picture))\b", re.IGNORECASE)
_REGION = re.compile(
    r"\b(?:only|just) (?:in |on |at |change )?(?:the |his |her |their )?([a-z][a-z -]{1,38}[a-z])", re.IGNORECASE
)
_TO = re.compile(r"\b(?:to|into|towards?)\b", re.IGNORECASE)
_FROM = re.compile(r"\bfrom\b", re.IGNORECASE)
_NEGATED = frozenset({"not", "no", "without", "never", "isn't", "don't"})


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """What is asked for, and, where it is said, what the picture evokes now; two of ``TARGETS``."""

    target: str
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """One line of a person, understood; ``region`` are their own words for where, "*" for everywhere."""

    kind: Kind
    emotion: str = ""
    source: str = ""
    change: int = 0
    """Of the strength: 1 more, -1 less."""
    region: str = ""


def _is_away(text: str) -> bool:
    """Whether less of an emotion is wanted ("less sad")."""
    words = _WORD.findall(text.casefold())
    return any(before == "less" and word in emotion_words() for before, word in pairwise(words))


@cache
def emotion_words() -> Mapping[str, str]:
    """Each word → the emotion that it names."""
    listed = tomllib.loads((files("editor.planning") / "emotion_words.toml").read_text("utf-8"))
    adjectives = {word: emotion for emotion, words in listed.items() for word in words}
    return {**adjectives, **{emotion: emotion for emotion in TARGETS}}


def read_instruction(text: str) -> Instruction:
    """The emotions of an instruction such as "Please change the emotion of this image from anger to contentment".

    EditError where it names no known emotion to go to, or several.
    """
    source, targets = _emotions(text)
    if not targets:
        raise EditError(
            f"the instruction {_short(text)!r} names no known emotion; remedy: one such as 'Please change the emotion "
            f"of this image from anger to contentment', with one of {', '.join(TARGETS)}"
        )
    if len(targets) > 1:
        raise EditError(
            f"the instruction {_short(text)!r} names several emotions: {', '.join(targets)}; remedy: the one that is "
            "wanted, as in 'from anger to contentment'"
        )
    return Instruction(target=targets[0], source=source)


def read_wish(text: str) -> Wish:
    """A line of a conversation; ``unclear`` where it names neither one emotion nor more, less or undo."""
    region = _region(text)
    change = (-1 if _LESS.search(text) else 0) or (1 if _MORE.search(text) else 0)
    source, targets = _emotions(text)
    if _is_away(text):
        return Wish(kind="unclear")  # away from an emotion, and nobody says to which
    if len(targets) == 1:
        return Wish(kind="edit", emotion=targets[0], source=source, change=change, region=region)
    if len(targets) > 1:
        return Wish(kind="unclear")
    if _UNDO.search(text):
        return Wish(kind="undo")
    if change:
        return Wish(kind="stronger" if change > 0 else "weaker", change=change, region=region)
    return Wish(kind="unclear")


def _region(text: str) -> str:
    if _WHOLE.search(text):
        return "*"
    match = _REGION.search(text)
    return match[1].strip() if match and not _named(match[1]) else ""


def _emotions(text: str) -> tuple[str, list[str]]:
    """What it is from, and what it is to: behind "to" where there is an emotion there, else all that are named."""
    behind_from = _FROM.split(text, maxsplit=1)
    source = ""
    if len(behind_from) == 2:
        of_source, *rest = _TO.split(behind_from[1], maxsplit=1)
        named = _named(of_source)
        source = named[0] if named else ""
        text = rest[0] if rest else behind_from[0]
        return source, _named(text)
    for start in (match.end() for match in _TO.finditer(text)):
        if targets := _named(text[start:]):
            return source, targets
    return source, _named(text)


def _named(text: str) -> list[str]:
    """The emotions that are named, each once, in order; one behind a negation is not wanted."""
    known = emotion_words()
    words = _WORD.findall(text.casefold())
    named = [known[word] for at, word in enumerate(words) if word in known and not (at and words[at - 1] in _NEGATED)]
    return list(dict.fromkeys(named))


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"
