"""How many images each stratum gives, and which: the sample for a larger n holds every smaller one."""

import hashlib
import heapq
import math
from collections.abc import Mapping, Sequence

SMALLEST = 2
"""Images that every stratum gives first: fewer would hide how much its images differ."""


def allocate(population: Mapping[str, int], n: int) -> dict[str, int]:
    """``n`` images over the strata by the square root of their size, at least SMALLEST each.

    Seats are given one by one to the stratum of the highest quotient (Sainte-Laguë), so that a larger n never takes an
    image away from a stratum.
    """
    taken = {name: min(size, SMALLEST) for name, size in population.items()}
    rest = n - sum(taken.values())
    queue = [(-math.sqrt(size) / (taken[name] + 0.5), name) for name, size in population.items() if taken[name] < size]
    heapq.heapify(queue)
    while rest > 0 and queue:
        _, name = heapq.heappop(queue)
        taken[name] += 1
        rest -= 1
        if taken[name] < population[name]:
            heapq.heappush(queue, (-math.sqrt(population[name]) / (taken[name] + 0.5), name))
    return taken


def draw_number(seed: int, key: str) -> str:
    """An image's place in its stratum's order, for good: 16 hex digits, as if drawn by lot."""
    return hashlib.blake2b(f"{seed}\0{key}".encode(), digest_size=8).hexdigest()


def take_first(order: Sequence[tuple[str, str]], wanted: int, asked: frozenset[str]) -> list[str]:
    """Keys of the ``wanted`` first of a stratum, (number, key) in order, and of all up to the last that was asked.

    Images that came into the archive later and drew an early number are taken too: all images up to the last asked are
    in, so that what is in remains a draw by lot of so many of the stratum.
    """
    reach = max((count for count, (_, key) in enumerate(order, 1) if key in asked), default=0)
    return [key for _, key in order[: max(wanted, reach)]]
