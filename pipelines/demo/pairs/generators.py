"""Random numbers of a place and of a mood: each part has a generator of its own, so that none shifts another's."""

import hashlib
import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Generators:
    """All generators under one name; equal names give equal numbers on any machine."""

    name: str

    def of(self, part: str) -> random.Random:
        """A new generator of a part, at its first number."""
        digest = hashlib.sha256(f"{self.name}/{part}".encode()).digest()
        return random.Random(int.from_bytes(digest[:16], "big"))
