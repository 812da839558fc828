"""How the five sentences of a caption become one text."""

from collections.abc import Sequence


def caption_text(summary: str, stimuli: Sequence[str], assessment: str) -> str:
    """The sentences in reading order, a space between: summary, the stimuli, assessment."""
    return " ".join((summary, *stimuli, assessment))
