"""The curated search phrases of every emotion and context, read from data/lexicon/<emotion>.toml."""

import tomllib
from importlib.resources import files

from moodarchive.emotions.taxonomy import CONTEXTS, EMOTIONS, Cell


def load_lexicon() -> dict[Cell, tuple[str, ...]]:
    """Cell → its phrases as the file lists them; cells come in EMOTIONS order, then CONTEXTS order.

    The dict is new on each call. FileNotFoundError and KeyError mean an incomplete installation: an emotion
    without its file, or a file without one of the contexts.
    """
    lexicon = {}
    for emotion in EMOTIONS:
        phrases = _phrases_by_context(emotion)
        for context in CONTEXTS:
            lexicon[Cell(emotion, context)] = tuple(phrases[context])
    return lexicon


def _phrases_by_context(emotion: str) -> dict[str, list[str]]:
    path = files("moodarchive.emotions") / "data" / "lexicon" / f"{emotion}.toml"
    return tomllib.loads(path.read_text("utf-8"))
