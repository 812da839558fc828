"""What a drawer says it has drawn."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Depiction:
    """The words for one drawing, all of them true of its pixels."""

    alt_text: str
    """A plain sentence, capital first and full stop last."""
    stimuli: tuple[str, str, str]
    """Short phrases for the three things that carry the emotion."""
    about: tuple[str, ...]
    """Words of which a lexicon phrase must hold one to be a fair name for the drawing."""
    detail: str
    """A few words that may follow a comma in a title, such as 'evening light'."""
