"""A round is one crawl: its record fixes the queries, the candidate parts and, once merged, the image parts."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from crawl.source import Query
from moodarchive.storage.store import Store
from moodarchive.tables.keys import canonical_json

QUERIES_PER_PART = 100


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round. ``parts`` is 0 until the round is merged; ``growth`` holds the growth settings it was opened with."""

    number: int
    growth: dict[str, Any]
    queries: tuple[Query, ...]
    first_candidates_part: int
    first_part: int
    parts: int = 0
    merged: bool = False

    @property
    def candidates_parts(self) -> range:
        """Part numbers of the round in candidates/."""
        return range(self.first_candidates_part, self.first_candidates_part + len(query_groups(self.queries)))

    @property
    def image_parts(self) -> range:
        """Part numbers of the round from items/ on."""
        return range(self.first_part, self.first_part + self.parts)


def query_groups(queries: Sequence[Query]) -> list[tuple[Query, ...]]:
    """The queries of each candidates part: at most a hundred, of one source."""
    sources = list(dict.fromkeys(query.source for query in queries))
    groups: list[tuple[Query, ...]] = []
    for source in sources:
        mine = [query for query in queries if query.source == source]
        groups += [tuple(mine[i : i + QUERIES_PER_PART]) for i in range(0, len(mine), QUERIES_PER_PART)]
    return groups


def round_path(number: int) -> str:
    """``rounds/NNNN.json``."""
    return f"rounds/{number:04d}.json"


def read_rounds(store: Store) -> list[Round]:
    """Every round of the root, in order."""
    return [_parse(store.read_bytes(path)) for path in store.files("rounds") if path.endswith(".json")]


def read_round(store: Store, number: int) -> Round:
    """One round's record."""
    return _parse(store.read_bytes(round_path(number)))


def _parse(text: bytes) -> Round:
    fields = json.loads(text)
    return Round(**{**fields, "queries": tuple(Query(**query) for query in fields["queries"])})


def write_round(store: Store, record: Round) -> None:
    """Writes the round's record whole."""
    store.write_bytes(round_path(record.number), (canonical_json(asdict(record)) + "\n").encode())


def open_round(
    store: Store, rounds: Sequence[Round], wanted: Sequence[Query], growth: dict[str, Any], most: int
) -> Round | None:
    """Records and returns the next round: the first ``most`` wanted queries that no earlier round has asked.

    A catalogue's queries are not counted, and come all together: its rows are read once for all of them. None when
    every query has been asked.
    """
    known = {query for earlier in rounds for query in earlier.queries}
    fresh = [query for query in wanted if query not in known]
    of_sites = [query for query in fresh if not query.release][:most]
    fresh = [query for query in fresh if query.release] + of_sites
    if not fresh:
        return None
    last = rounds[-1] if rounds else None
    record = Round(
        number=len(rounds),
        growth=growth,
        queries=tuple(fresh),
        first_candidates_part=last.candidates_parts.stop if last else 0,
        first_part=last.image_parts.stop if last else 0,
    )
    write_round(store, record)
    return record


def mark_merged(store: Store, record: Round, parts: int) -> Round:
    """Fixes the number of the round's image parts, for good."""
    merged = replace(record, parts=parts, merged=True)
    write_round(store, merged)
    return merged
