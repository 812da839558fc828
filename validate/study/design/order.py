"""Which of the two texts stands first: random, unlike between workers, and known to us alone."""

from moodarchive.tables.keys import digest


def generated_first(seed: int, item: str, viewer: str = "") -> bool:
    """True when the generated caption stands first (on the left) for this viewer of the item."""
    return int(digest(["order", seed, item, viewer])[:8], 16) % 2 == 0


def turn(seed: int, item: str, viewer: str = "") -> str:
    """The item's place in the viewer's queue: sort by it; gold questions lie among the others."""
    return digest(["turn", seed, item, viewer])
