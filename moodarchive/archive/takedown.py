"""What people asked to have taken down: recorded under the root before anything is erased, and binding for good.

``takedowns/ID.json`` holds keys and content hashes as they are, since they tell nothing of the picture; addresses and
creators as sha256 of their normal form: who knows one can ask whether it is on the list, nobody can read it there.
"""

import hashlib
import json
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from moodarchive.errors import DamagedPartError
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest, normalise_url
from moodarchive.tables.sql import define_normalised, define_text_function

if TYPE_CHECKING:
    import duckdb

FOLDER = "takedowns"
ERASED_PROVENANCE = ("url", "source_id", "landing_url", "title", "alt_text", "creator", "creator_url")
"""What candidates and items no longer say of an image that was taken down; a row without ``url`` is such a row."""


def url_digest(url: str) -> str:
    """sha256 of the address's normal form."""
    return hashlib.sha256(normalise_url(url).encode("utf-8", "surrogatepass")).hexdigest()


def creator_digest(creator: str) -> str:
    """sha256 of a name without regard to case, width and spacing; of an address (a creator's page), its url_digest."""
    if creator.strip().lower().startswith(("http://", "https://")):
        return url_digest(creator)
    name = " ".join(unicodedata.normalize("NFKC", creator).casefold().split())
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Identifiers:
    """Images by key, by address (url_digest), by content (sha256 of the bytes as served) and by creator."""

    keys: frozenset[str] = field(default_factory=frozenset)
    urls: frozenset[str] = field(default_factory=frozenset)
    hashes: frozenset[str] = field(default_factory=frozenset)
    creators: frozenset[str] = field(default_factory=frozenset)

    def __or__(self, other: "Identifiers") -> "Identifiers":
        return Identifiers(
            keys=self.keys | other.keys,
            urls=self.urls | other.urls,
            hashes=self.hashes | other.hashes,
            creators=self.creators | other.creators,
        )

    def __sub__(self, other: "Identifiers") -> "Identifiers":
        return Identifiers(
            keys=self.keys - other.keys,
            urls=self.urls - other.urls,
            hashes=self.hashes - other.hashes,
            creators=self.creators - other.creators,
        )

    def __bool__(self) -> bool:
        return bool(self.keys or self.urls or self.hashes or self.creators)

    def binds(self, key: str, addresses: Iterable[str | None], creators: Iterable[str | None]) -> bool:
        """True when a candidate of this key, with these addresses and creator's name and page, may not come back."""
        return (
            key in self.keys
            or bool(self.urls and any(url_digest(url) in self.urls for url in addresses if url))
            or bool(self.creators and any(creator_digest(name) in self.creators for name in creators if name))
        )


@dataclass(frozen=True, kw_only=True)
class Takedown:
    """One list: what was asked, which images it met, and whether they have been erased everywhere.

    What a met image was known by (key, address, content) binds like what was asked: its copy does not come back either.
    ``unmet`` is what was asked and meant no image so far; it binds as well.
    """

    asked: Identifiers
    met: Identifiers
    unmet: Identifiers = field(default_factory=Identifiers)
    done: bool = False

    @property
    def path(self) -> str:
        """Where its record lies; equal lists have one record."""
        return f"{FOLDER}/{digest(_plain(self.asked))}.json"


def record(store: Store, takedown: Takedown) -> None:
    """Writes the record whole."""
    parts = {name: _plain(getattr(takedown, name)) for name in ("asked", "met", "unmet")}
    fields = {**parts, "done": takedown.done}
    store.write_bytes(takedown.path, (json.dumps(fields, indent=1, sort_keys=True) + "\n").encode())


def mark_done(store: Store, takedown: Takedown) -> None:
    """Says that nothing of the list is left in the tables."""
    record(store, replace(takedown, done=True))


def takedown_paths(store: Store) -> list[str]:
    """The records, in order of their names."""
    return [f"{FOLDER}/{name}" for name in store.names(FOLDER) if name.endswith(".json")]


def read_takedowns(store: Store) -> list[Takedown]:
    """Every list that the archive was given. DamagedPartError for a record that cannot be read."""
    return [_read(store, path) for path in takedown_paths(store)]


def bound_by(store: Store) -> Identifiers:
    """All that may never come back."""
    bound = Identifiers()
    for takedown in read_takedowns(store):
        bound = bound | takedown.asked | takedown.met
    return bound


def _read(store: Store, path: str) -> Takedown:
    try:
        fields = json.loads(store.read_bytes(path))
        asked, met, unmet = (
            Identifiers(**{name: frozenset(of) for name, of in identifiers.items()})
            for identifiers in (fields["asked"], fields["met"], fields.get("unmet", {}))
        )
        takedown = Takedown(asked=asked, met=met, unmet=unmet, done=bool(fields["done"]))
        if takedown.path != path:
            raise ValueError("its name is not that of what it asks")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedPartError(
            f"{store.root}/{path} is no record of a takedown ({error}); remedy: restore it from a copy, "
            "it binds later rounds"
        ) from None
    return takedown


def _plain(named: Identifiers) -> dict[str, list[str]]:
    return {name: sorted(values) for name, values in asdict(named).items()}


def define_digests(connection: "duckdb.DuckDBPyConnection") -> None:
    """Makes ``address_of(url)`` (``url_digest``) and ``creator_of(name)`` (``creator_digest``) known to SQL."""
    define_normalised(connection)
    connection.execute("CREATE MACRO address_of(url) AS sha256(normalised(url))")
    define_text_function(connection, "creator_of", creator_digest)
