"""The emotions, the contexts and the coarser groupings, read from data/taxonomy.toml."""

import tomllib
from importlib.resources import files
from typing import NamedTuple

_TAXONOMY = tomllib.loads((files("moodarchive.emotions") / "data" / "taxonomy.toml").read_text("utf-8"))

EMOTIONS: tuple[str, ...] = tuple(_TAXONOMY["emotions"])
CONTEXTS: tuple[str, ...] = tuple(_TAXONOMY["contexts"])


class Cell(NamedTuple):
    """One emotion in one context: the unit of search, of quotas and of the cut."""

    emotion: str
    context: str


def _members_to_group(grouping: str) -> dict[str, str]:
    return {member: group for group, members in _TAXONOMY[grouping].items() for member in members}


EKMAN: dict[str, str] = _members_to_group("ekman")
"""emotion → one of the six Ekman emotions; every emotion has one."""

SENTIMENT: dict[str, str] = _members_to_group("sentiment")
"""emotion → positive, negative or ambiguous; every emotion has one."""

MIKELS: dict[str, str] = _members_to_group("mikels")
"""emotion → one of Mikels' eight; realization, confusion and curiosity have none."""

MIKELS_EIGHT: tuple[str, ...] = tuple(sorted(_TAXONOMY["mikels"]))
"""Mikels' eight in their alphabetical order, which is that of every distribution over them."""

MIKELS_POSITIVE = frozenset({"amusement", "awe", "contentment", "excitement"})
"""Those of Mikels' eight that are pleasant; the other four are not."""


TARGETS: tuple[str, ...] = (*EMOTIONS, *(emotion for emotion in MIKELS_EIGHT if emotion not in EMOTIONS))
"""What a picture may be edited towards: the 27 emotions, and Mikels' eight."""


def words(name: str) -> str:
    """The name as a person writes it: ``facial_expressions`` → ``facial expressions``."""
    return name.replace("_", " ")
