"""Captions of paired drawings for edits of language: who is drawn, in which mood, with what; exact in every mood."""

from functools import cache

from moodarchive.emotions.taxonomy import MIKELS, MIKELS_EIGHT
from moodarchive.language_edit.prompts import MARK, CaptionRequest, instruction_for, prompt_of
from pipelines.demo.pairs.drawing import KINDS, PAIRED_EMOTIONS, describe_paired
from pipelines.demo.pairs.moods import Mood

_MOOD_WORDS = {
    "amusement": "amused",
    "awe": "awed",
    "contentment": "contented",
    "anger": "angry",
    "fear": "fearful",
    "sadness": "sad",
}
_PLACES_OF_WORDS = 400
"""Places of a kind whose captions hold every word that any place has."""


def who_is_drawn(kind: str, place_seed: int) -> str:
    """The part of a caption that is the same in every mood."""
    content = describe_paired(kind, place_seed, Mood(PAIRED_EMOTIONS[0], 0)).content
    return content.removeprefix("a portrait of ")


def mood_words(kind: str, emotion: str) -> str:
    """The part of a caption that is the mood's; ``emotion`` is one of ``PAIRED_EMOTIONS``."""
    thing = describe_paired(kind, 0, Mood(emotion, 0)).stimuli[0]
    return f"{_MOOD_WORDS[MIKELS[emotion]]}, with {thing}"


def drawn_caption(kind: str, place_seed: int, emotion: str) -> str:
    """Who, the mood, and what shows it."""
    return f"{who_is_drawn(kind, place_seed)} {mood_words(kind, emotion)}"


def drawn_request(kind: str, place_seed: int, emotion: str, target: str) -> CaptionRequest:
    """The change of a place's mood as an instruction asks for it; both are of ``PAIRED_EMOTIONS``."""
    before, after = MIKELS[emotion], MIKELS[target]
    return CaptionRequest(
        caption=drawn_caption(kind, place_seed, emotion),
        emotion=before,
        instruction=instruction_for(before, after),
        target_emotion=after,
    )


@cache
def drawn_words() -> tuple[str, ...]:
    """Every word of captions, prompts and answers, in the order of the alphabet."""
    words: set[str] = set()
    for kind in KINDS:
        for place in range(_PLACES_OF_WORDS):
            words.update(who_is_drawn(kind, place).split())
        for emotion in PAIRED_EMOTIONS:
            words.update(mood_words(kind, emotion).split())
    for emotion in MIKELS_EIGHT:
        request = CaptionRequest(
            caption="", emotion=emotion, instruction=instruction_for(emotion, emotion), target_emotion=emotion
        )
        words.update(prompt_of(request).split(), [emotion, MARK.strip()])
    return tuple(sorted(words))
