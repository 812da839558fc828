"""Tells a site which of its pictures are used, where its terms ask for that: once a picture, within its quota."""

import json
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from crawl.http.search_client import WebClient
from crawl.source import Source
from moodarchive.errors import ServiceError
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import ITEMS, SELECTION
from moodarchive.tables.sql import connect, view

_USED = """
SELECT d.part, d.key, d.source, d.source_id FROM items d JOIN selection k USING (key)
WHERE k.kept AND list_contains($names, d.source) ORDER BY d.part, d.key
"""


@runtime_checkable
class WantsUses(Protocol):
    """A source whose terms ask to be told of every picture that is used."""

    def report_use(self, source_id: str, web: WebClient) -> None:
        """Tells the site; ServiceError when it does not listen or its quota is spent."""
        ...


def report_uses(store: Store, parts: Sequence[int], sources: Iterable[Source], web: WebClient) -> str:
    """Reports every kept picture that was not reported yet; returns what is left to do, empty when nothing is.

    What is done is written down under crawl/uses/ picture by picture. A site that does not listen ends this run's
    reports to it, and no more: the next run goes on.
    """
    asking = {source.name: source for source in sources if isinstance(source, WantsUses)}
    if not asking or not parts:
        return ""
    with connect(store) as connection:
        view(connection, store, ITEMS, parts, "key, source, source_id, parse_filename(filename, true)::INTEGER AS part")
        view(connection, store, SELECTION, parts, "key, kept")
        used = connection.execute(_USED, {"names": sorted(asking)}).fetchall()
    silent: dict[str, str] = {}
    left = 0
    for part, rows in _by_part(used).items():
        done = _read(store, part)
        for key, name, source_id in rows:
            if key in done:
                continue
            if name not in silent:
                try:
                    asking[name].report_use(source_id, web)
                    done.append(key)
                    store.write_bytes(_path(part), json.dumps(done).encode())
                    continue
                except ServiceError as error:
                    silent[name] = str(error)
            left += 1
    return f"{left:,} uses are still to be reported ({'; '.join(silent.values())})" if left else ""


def _by_part(rows: Sequence[tuple[int, str, str, str]]) -> dict[int, list[tuple[str, str, str]]]:
    by_part: dict[int, list[tuple[str, str, str]]] = {}
    for part, *row in rows:
        by_part.setdefault(part, []).append((row[0], row[1], row[2]))
    return by_part


def _path(part: int) -> str:
    return f"crawl/uses/{part:05d}.json"


def _read(store: Store, part: int) -> list[str]:
    try:
        return [str(key) for key in json.loads(store.read_bytes(_path(part)))]
    except FileNotFoundError:
        return []
