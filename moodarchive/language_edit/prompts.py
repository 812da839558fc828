"""The words that a language model is asked with, and those that it answers with."""

from dataclasses import dataclass

from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.errors import EditError

MARK = " Emotion:"
"""Ends the edited caption; what follows names its emotion."""
PLAIN = ""
"""What a captioner is asked with when it is to say what it sees."""


@dataclass(frozen=True, kw_only=True)
class CaptionRequest:
    """A caption, its emotion and what shall become of it; emotions are two of Mikels' eight."""

    caption: str
    emotion: str
    instruction: str
    target_emotion: str


@dataclass(frozen=True, kw_only=True)
class EditedCaption:
    """What the edited model wrote, and the emotion it was edited to."""

    text: str
    emotion: str


def prompt_of(request: CaptionRequest) -> str:
    """The question that edited and unedited models answer alike."""
    return f"Caption: {request.caption} Emotion: {request.emotion}. {request.instruction} Edited caption:"


def instruction_for(emotion: str, target_emotion: str) -> str:
    """The paper's sentence, for who names an emotion in place of an instruction."""
    return f"Please change the emotion of this image from {emotion} to {target_emotion}."


def require_emotions(request: CaptionRequest) -> None:
    """EditError where one of the two is none of Mikels' eight."""
    for name, value in (("emotion", request.emotion), ("target emotion", request.target_emotion)):
        if value not in MIKELS_EIGHT:
            raise EditError(f"the {name} {value[:40]!r} is none of {', '.join(MIKELS_EIGHT)}; remedy: one of these")
