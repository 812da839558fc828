"""The archive at a glance: its name, whether it is sealed, and what the reader must know before the figures."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH
from moodarchive.tables.schemas import CAPTIONS, IMAGES, ITEMS, SAFETY, SCORES, SELECTION, SHARD_INDEX
from pipelines.inspect.report.flow import Flow
from pipelines.inspect.report.spread import CONDITION, Basis
from pipelines.inspect.report.tables import Tables

_DIGEST_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the header says."""

    name: str
    digest: str | None
    emotions: int
    first_day: str | None
    last_day: str | None
    unfinished: tuple[str, ...]
    contradictions: tuple[str, ...]

    @property
    def sealed(self) -> bool:
        """True when the archive has a manifest."""
        return self.digest is not None


def archive_name(store: Store) -> str:
    """The root's last path element."""
    return store.path("").rstrip("/").rsplit("/", 1)[-1] or "archive"


def manifest_digest(store: Store) -> str | None:
    """The first digits of the manifest's sha256; None while the archive is not sealed."""
    try:
        return hashlib.sha256(store.read_bytes(MANIFEST_PATH)).hexdigest()[:_DIGEST_DIGITS]
    except FileNotFoundError:
        return None


def facts_of(tables: Tables, flow: Flow, basis: Basis, digest: str | None) -> Facts:
    """Gathers the header."""
    (emotions,) = tables.numbers(f"SELECT count(DISTINCT emotion) FROM journey WHERE {CONDITION[basis]}")
    first, last = tables.rows("SELECT min(retrieved_on), max(retrieved_on) FROM items")[0]
    return Facts(
        name=archive_name(tables.store),
        digest=digest,
        emotions=emotions,
        first_day=first,
        last_day=last,
        unfinished=tuple(_unfinished(tables, sealed=digest is not None)),
        contradictions=tuple(_contradictions(tables, flow)),
    )


def _unfinished(tables: Tables, *, sealed: bool) -> Iterator[str]:
    by_name = {coverage.name: coverage for coverage in tables.coverage}
    for table in (ITEMS, IMAGES, SAFETY, CAPTIONS, SCORES, SELECTION, SHARD_INDEX):
        coverage = by_name[table.name]
        # a sealed archive without images/ has been pruned
        if coverage.whole or (sealed and table is IMAGES):
            continue
        of = f" of {coverage.expected}" if coverage.expected else ""
        yield f"{coverage.name}: {coverage.parts}{of} parts" if coverage.parts else f"{coverage.name}: nothing yet"


def _contradictions(tables: Tables, flow: Flow) -> Iterator[str]:
    (samples,) = tables.numbers("SELECT count(*) FROM packed")
    if samples != flow.packed:
        yield (
            f"The shards hold {samples:,} samples, but {flow.packed:,} of the images that are kept lie in them; "
            "the shards are older than the cut, or damaged."
        )
