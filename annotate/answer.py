"""What a caption must look like: the schema asked of the server, and the rules by which an answer is rejected."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from annotate.prompt import FilledPrompt
from moodarchive.chat.answers import ChatAnswer, find_object, require_answered
from moodarchive.emotions.captions import caption_text
from moodarchive.emotions.taxonomy import EMOTIONS
from moodarchive.errors import RowError

MAX_CLIP_TOKENS = 246
"""MoodifyCLIP reads 248 positions; the start and end marks take two."""

_LONGEST = {"summary": 300, "stimulus": 220, "assessment": 300}
"""Characters a field; at about five characters a token they keep most captions under MAX_CLIP_TOKENS."""
_SHORTEST = 20
_EMOTIONS_AT_MOST = 3
FLAGS = ("nudity", "gore")
"""What the model answers with yes or no, for the verdict on the picture's safety."""
_YES_NO = {"yes": True, "no": False, "true": True, "false": False}
_ECHO_WORDS = 8
"""A run of so many words of the prompt is a copy; real sentences share shorter runs by chance."""

_LETTER = r'[^"\\\x00-\x1f\x7f]'
"""No control character, and no quotation mark or backslash either: grammars match the pattern on the escaped text."""
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|Jr|Sr|vs|etc|approx|No|e\.g|i\.e|a\.m|p\.m)|\b[A-Z](?:\.[A-Z])*)\.$"
)
_CLOSERS = ")]'\"\u2019\u201d"
_INNER_END = re.compile(rf"[.!?…]+[{re.escape(_CLOSERS)}]*(?=\s+\W*[A-Z])")
_ENDS = tuple(".!?…")


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """An accepted answer; ``emotions`` are one to three of the 27, the strongest first.

    ``nudity`` and ``gore`` are None where the model did not say.
    """

    summary: str
    stimuli: tuple[str, str, str]
    assessment: str
    emotions: tuple[str, ...]
    nudity: bool | None = None
    gore: bool | None = None

    @property
    def sentences(self) -> tuple[str, ...]:
        """The five, in reading order."""
        return (self.summary, *self.stimuli, self.assessment)


def answer_schema() -> dict[str, Any]:
    """The JSON schema for the server's guided decoding; the order of the fields is the order of writing."""
    stimuli = {"type": "array", "items": _sentence_schema("stimulus"), "minItems": 3, "maxItems": 3}
    emotion = {"type": "string", "enum": list(EMOTIONS)}
    properties = {
        "summary": _sentence_schema("summary"),
        "stimuli": stimuli,
        "assessment": _sentence_schema("assessment"),
        "emotions": {"type": "array", "items": emotion, "minItems": 1, "maxItems": _EMOTIONS_AT_MOST},
        **{flag: {"type": "string", "enum": ["no", "yes"]} for flag in FLAGS},
    }
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _sentence_schema(field: str) -> dict[str, Any]:
    # the bounds stand in the pattern too, because servers that follow a pattern ignore the lengths beside it
    longest = _LONGEST[field]
    pattern = f"^[A-Z]{_LETTER}{{{_SHORTEST - 2},{longest - 2}}}[.!?]$"
    return {"type": "string", "minLength": _SHORTEST, "maxLength": longest, "pattern": pattern}


def read_answer(answer: ChatAnswer, filled: FilledPrompt, count_tokens: Callable[[str], int]) -> Annotation:
    """The annotation that the answer to the prompt holds.

    RowError's kind says which rule it breaks: no_answer, refused, cut_off, not_json, wrong_schema, too_few_stimuli,
    unknown_emotion, not_one_sentence, repeated_stimuli, repeats_prompt or too_long. A server may ignore the
    schema, so all is checked.
    """
    require_answered(answer)
    annotation = _parse(answer.text)
    for sentence in annotation.sentences:
        _check_one_sentence(sentence)
    if len({_bare(stimulus) for stimulus in annotation.stimuli}) < len(annotation.stimuli):
        raise RowError("repeated_stimuli", f"two stimuli are alike: {annotation.stimuli}")
    _check_own_words(annotation, filled)
    tokens = count_tokens(caption_text(annotation.summary, annotation.stimuli, annotation.assessment))
    if tokens > MAX_CLIP_TOKENS:
        raise RowError("too_long", f"{tokens} CLIP tokens, at most {MAX_CLIP_TOKENS} are read")
    return annotation


def _parse(text: str) -> Annotation:
    try:
        values = find_object(text)
    except (ValueError, RecursionError) as error:
        raise RowError("not_json", f"{error}: {text[:200]!r}") from None
    # a prompt of one's own, or a server without a schema, may leave the flags out
    if set(values) - set(FLAGS) != {"summary", "stimuli", "assessment", "emotions"}:
        raise RowError("wrong_schema", f"the answer has other fields: {text[:200]!r}")
    stimuli = values["stimuli"]
    if not isinstance(stimuli, list) or len(stimuli) > 3:
        raise RowError("wrong_schema", f"stimuli are not three: {stimuli!r:.200}")
    if len(stimuli) < 3:
        raise RowError("too_few_stimuli", f"stimuli are fewer than three: {stimuli!r:.200}")
    first, second, third = (_sentence(stimulus) for stimulus in stimuli)
    return Annotation(
        summary=_sentence(values["summary"]),
        stimuli=(first, second, third),
        assessment=_sentence(values["assessment"]),
        emotions=_emotions(values["emotions"]),
        **{flag: _yes_no(flag, values.get(flag)) for flag in FLAGS},
    )


def _sentence(value: object) -> str:
    """One spelling for one sentence: single spaces, and a full stop where the model forgot it."""
    if not isinstance(value, str) or not value.strip():
        raise RowError("wrong_schema", f"a sentence is not text: {value!r:.200}")
    text = " ".join(value.split())
    # a lone surrogate can be written in JSON but not in UTF-8, so no table could hold it
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise RowError("wrong_schema", f"a sentence holds a control character: {text!r:.200}")
    return text if text.rstrip(_CLOSERS).endswith(_ENDS) else text + "."


def _emotions(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= _EMOTIONS_AT_MOST:
        raise RowError("wrong_schema", f"emotions are not one to {_EMOTIONS_AT_MOST}: {value!r:.200}")
    names = [name.strip().lower() if isinstance(name, str) else "" for name in value]
    for name, given in zip(names, value, strict=True):
        if name not in EMOTIONS:
            raise RowError("unknown_emotion", f"{given!r:.60} is none of the {len(EMOTIONS)} emotions")
    return tuple(dict.fromkeys(names))


def _yes_no(flag: str, value: object) -> bool | None:
    """What was said; None where nothing was. Anything but yes or no is asked about again, not taken for a no."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and (word := value.strip().rstrip(".").lower()) in _YES_NO:
        return _YES_NO[word]
    raise RowError("wrong_schema", f"{flag} is neither yes nor no: {value!r:.60}")


def _check_one_sentence(text: str) -> None:
    """Lenient on purpose: only a clear end of a sentence before a capital letter makes two; a scrap makes none."""
    if len(text.split()) < 3:
        raise RowError("not_one_sentence", f"no sentence: {text!r}")
    for end in _INNER_END.finditer(text):
        if not _ABBREVIATION.search(text[: end.end()]):
            raise RowError("not_one_sentence", f"more than one sentence: {text!r:.300}")


def _check_own_words(annotation: Annotation, filled: FilledPrompt) -> None:
    # a long search phrase may be just what the picture shows; the words around it are ours
    prompt_runs = _runs(_bare(filled.words)) - _runs(_bare(filled.phrase))
    for sentence in annotation.sentences:
        if copied := prompt_runs & _runs(_bare(sentence)):
            raise RowError("repeats_prompt", f"copies the prompt: {' '.join(min(copied))!r}")


def _runs(words: tuple[str, ...]) -> set[tuple[str, ...]]:
    return {words[at : at + _ECHO_WORDS] for at in range(len(words) - _ECHO_WORDS + 1)}


def _bare(text: str) -> tuple[str, ...]:
    """The words alone, so that case, spacing and punctuation make no difference."""
    return tuple(re.findall(r"[^\W_]+", text.casefold()))
