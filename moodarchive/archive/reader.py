"""An archive as other people's programs read it: manifest, tables, samples, and where each picture is from."""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from moodarchive.archive.manifest import ArchiveManifest
from moodarchive.archive.version import read_settings_record, require_current_version
from moodarchive.errors import ConfigError, DamagedPartError, NotAnArchiveError, UnknownKeyError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH, SETS
from moodarchive.tables.parquet import read_table as read_parquet
from moodarchive.tables.parts import finished_parts, read_part
from moodarchive.tables.schemas import HUMAN_VERDICTS, ITEMS, SHARD_INDEX, TABLES, Table
from moodarchive.tables.spans import member_span, sample_sha256, sample_span

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from PIL.Image import Image

_TABLES = {table.name: table for table in (*TABLES, HUMAN_VERDICTS) if table is not SHARD_INDEX}
_MEMBERS = ("jpg", "json", "txt")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a picture is from, and on what terms: pass it on with the picture."""

    source: str
    """The stock site's name."""
    source_id: str | None
    """The site's own identifier of the picture."""
    url: str | None
    """Where the picture lay; None, like all that names it, once it was taken down."""
    landing_url: str | None
    """The page that shows it to people."""
    title: str | None
    creator: str | None
    creator_url: str | None
    licence: str | None
    """Short name with version, such as ``by 2.0``; None where the site stated none."""
    licence_url: str | None
    retrieved_on: str | None
    """When the site said all this (YYYY-MM-DD)."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Provenance":
        """From a row of items/, or from a sample's metadata."""
        fields: dict[str, Any] = {name: row.get(name) for name in cls.__dataclass_fields__}
        return cls(**fields)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One picture with its caption, as the shards hold it."""

    key: str
    """16 hex digits: the same in every table."""
    set: str
    """The shard set that it lies in: ``train``, ``validation``, ``heldout`` or ``private``."""
    jpg: bytes
    """The picture, a JPEG."""
    caption: str
    """Five sentences: a summary, three visual triggers, an overall assessment."""
    metadata: Mapping[str, Any]
    """Every field of the sample's json: provenance, queries, caption sentences, its model, sizes, score, split."""

    @property
    def emotion(self) -> str:
        """The emotion under which it was judged, one of 27."""
        return str(self.metadata["emotion"])

    @property
    def context(self) -> str:
        """The context in which that emotion was searched, one of four."""
        return str(self.metadata["context"])

    @property
    def provenance(self) -> Provenance:
        """Where it is from, and on what terms."""
        return Provenance.from_row(self.metadata)

    def image(self) -> "Image":
        """The decoded picture. DamagedPartError when the bytes are no JPEG."""
        from PIL import Image

        try:
            # what Pillow takes for a decompression bomb is refused before it is decoded
            with Image.open(io.BytesIO(self.jpg), formats=("JPEG",)) as picture:
                picture.load()
                return picture
        except (OSError, Image.DecompressionBombError) as error:
            raise DamagedPartError(f"the picture of {self.key} cannot be decoded: {error}") from None


@dataclass(frozen=True)
class TableReader:
    """One table of an archive, read part by part as it is asked for."""

    store: Store
    table: Table
    parts: Sequence[int]
    """The numbers of its finished parts."""

    @property
    def schema(self) -> "pa.Schema":
        """Its columns; each field's metadata says under ``doc`` what it means."""
        return self.table.schema

    def batches(self, columns: Sequence[str] | None = None, *, rows: int = 1_000) -> "Iterator[pa.RecordBatch]":
        """The rows in the order of the parts, at most ``rows`` at a time; ConfigError for an unknown column.

        Name columns where you can: those of images/ hold the pictures.
        """
        names = self._require_columns(columns)
        for part in self.parts:
            for batch in read_part(self.store, self.table, part, columns=names, batch_rows=rows):
                yield batch.select(names)

    def to_arrow(self, columns: Sequence[str] | None = None) -> "pa.Table":
        """All rows at once, in memory."""
        import pyarrow as pa

        names = self._require_columns(columns)
        schema = pa.schema([self.schema.field(name) for name in names])
        return pa.Table.from_batches(self.batches(names), schema=schema)

    def _require_columns(self, columns: Sequence[str] | None) -> list[str]:
        names = self.schema.names if columns is None else list(columns)
        if unknown := [name for name in names if name not in self.schema.names]:
            raise ConfigError(
                f"{self.table.name}/ has no column {', '.join(unknown)}; it has: {', '.join(self.schema.names)}"
            )
        return list(names)


@dataclass(frozen=True)
class Archive:
    """A MoodArchive under a root, sealed or still being built; made by ``moodarchive.open``. It only reads."""

    store: Store

    @property
    def root(self) -> str:
        """The folder or URL."""
        return self.store.root

    @property
    def is_sealed(self) -> bool:
        """True when a seal describes the archive as a whole."""
        return self.store.exists(MANIFEST_PATH)

    @cached_property
    def manifest(self) -> ArchiveManifest:
        """What the seal says: counts, sets, licences, settings and the digest of every file. Read once.

        NotAnArchiveError when the archive is not sealed, or its manifest cannot be read.
        """
        try:
            return ArchiveManifest.from_json(self.store.read_bytes(MANIFEST_PATH))
        except FileNotFoundError:
            raise NotAnArchiveError(
                f"{self.root} is not sealed: it has no {MANIFEST_PATH}; remedy: moodarchive run finishes it"
            ) from None
        except ValueError as error:
            raise NotAnArchiveError(
                f"{self.root}/{MANIFEST_PATH} cannot be read: {error}; remedy: moodarchive verify {self.root}"
            ) from None

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables' names, in the order of the flow."""
        return tuple(_TABLES)

    def table(self, name: str) -> TableReader:
        """One table, such as ``captions``. ConfigError for an unknown name."""
        if name not in _TABLES:
            raise ConfigError(f"no table is called {name!r}; legal: {', '.join(_TABLES)}")
        table = _TABLES[name]
        return TableReader(self.store, table, tuple(finished_parts(self.store, table)))

    def connect(self, *names: str) -> "duckdb.DuckDBPyConnection":
        """A DuckDB connection in which the tables, all unless some are named, are views; close it, or use a ``with``.

        Whole tables of millions of rows are read in bounded memory. ConfigError for an unknown name.
        """
        from moodarchive.tables.sql import connect, view

        connection = connect(self.store)
        for reader in map(self.table, names or self.tables):
            view(connection, self.store, reader.table, reader.parts)
        return connection

    @property
    def sets(self) -> dict[str, int]:
        """Samples of each shard set that there is."""
        counts = dict.fromkeys(SETS, 0)
        for sidecar in finished_parts(self.store, SHARD_INDEX).values():
            for name, samples in sidecar.sets.items():
                counts[name] += samples
        return {name: samples for name, samples in counts.items() if samples}

    def samples(self, set: str = "train") -> Iterator[Sample]:
        """The set's samples in the order of the shards, one in memory at a time.

        ConfigError for an unknown set; DamagedPartError for a sample that is not what its index says. ``private`` are
        those that may not be passed on.
        """
        if set not in SETS:
            raise ConfigError(f"no shard set is called {set!r}; legal: {', '.join(SETS)}")
        return self._samples(set)

    def sample(self, key: str) -> Sample:
        """The sample of this key. UnknownKeyError when no shard holds it."""
        for sidecar in finished_parts(self.store, SHARD_INDEX).values():
            for name in sidecar.sets:
                for row in self._index(name, sidecar.part):
                    if row["key"] == key:
                        with self.store.open_read(f"shards/{name}/{sidecar.part:05d}.tar") as tar:
                            return _read_sample(tar, row, name, self.root)
        raise UnknownKeyError(f"no shard of {self.root} holds {key!r}; remedy: moodarchive show {self.root} {key}")

    def provenance(self, key: str) -> Provenance:
        """Where the picture of this key is from, kept or not. UnknownKeyError when the archive never met it."""
        columns = tuple(Provenance.__dataclass_fields__)
        query = f"SELECT {', '.join(columns)} FROM {ITEMS.name} WHERE key = ?"
        with self.connect(ITEMS.name) as connection:
            row = connection.execute(query, [key]).fetchone()
        if row is None:
            raise UnknownKeyError(f"{self.root} has met no image {key!r}; remedy: take a key from a table or a shard")
        return Provenance.from_row(dict(zip(columns, row, strict=True)))

    def _samples(self, name: str) -> Iterator[Sample]:
        for sidecar in finished_parts(self.store, SHARD_INDEX).values():
            if name in sidecar.sets:
                with self.store.open_read(f"shards/{name}/{sidecar.part:05d}.tar") as tar:
                    for row in self._index(name, sidecar.part):
                        yield _read_sample(tar, row, name, self.root)

    def _index(self, name: str, part: int) -> list[dict[str, Any]]:
        with self.store.open_read(f"shards/{name}/{part:05d}.parquet") as file:
            rows: list[dict[str, Any]] = read_parquet(file).to_pylist()
        return rows


def open(root: str) -> Archive:
    """Opens the archive under a folder, ``s3://…`` or any other URL that fsspec knows; nothing is read ahead.

    NotAnArchiveError when there is none, or one of another schema version; StorageError when the store refuses.
    """
    store = Store(str(root))
    require_current_version(store)
    read_settings_record(store)
    return Archive(store)


def _read_sample(tar: Any, row: Mapping[str, Any], name: str, root: str) -> Sample:
    """One read of the sample's span, checked against the index's digest."""
    span = sample_span(row)
    data = span.read(tar)
    members = {member: member_span(row, member).within(span, data) for member in _MEMBERS}
    digests = (hashlib.sha256(members[member]).digest() for member in _MEMBERS)
    if sample_sha256(*digests) != row["sha256"]:
        raise DamagedPartError(
            f"{row['key']} in shards/{name}/ is not what its index says; remedy: moodarchive verify {root}"
        )
    return Sample(
        key=row["key"],
        set=name,
        jpg=members["jpg"],
        caption=members["txt"].decode(),
        metadata=json.loads(members["json"]),
    )
