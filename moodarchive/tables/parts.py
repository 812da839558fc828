"""A part: one Parquet file of a table and the sidecar, written last, that says it is done."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

import pyarrow as pa
import pyarrow.parquet as pq

from moodarchive.errors import NotAnArchiveError
from moodarchive.storage.store import HashingFile, Store
from moodarchive.tables.keys import canonical_json, digest
from moodarchive.tables.layout import DOUBTFUL, TAKEN_DOWN
from moodarchive.tables.parquet import row_groups
from moodarchive.tables.schemas import SCHEMA_VERSION, Table, explain_version

TIMINGS = ("started", "finished", "measured")
"""What differs between the sidecars of equal runs."""
ROW_GROUP_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """What is known of a finished part without opening it.

    ``failures`` counts rows by error kind (and unsafe or dropped rows by reason), ``doubtful`` those whose picture may
    not be safe and is kept all the same (release 0.2.0 counted them among the failures); ``inputs`` maps
    ``table/NNNNN`` (or a run of parts) to the digest of what the part was made from; ``files`` maps every file of the
    part to its sha256; ``sets`` counts a shard part's samples by set. ``started`` and ``finished`` are Unix seconds;
    they and ``measured``, figures that the worker took of its own work, differ between equal runs.
    """

    table: str
    part: int
    rows: int
    failures: Mapping[str, int]
    files: Mapping[str, str]
    bytes: int
    settings: str
    inputs: Mapping[str, str]
    started: float
    finished: float
    sets: Mapping[str, int]
    measured: Mapping[str, float] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    doubtful: int = 0

    @property
    def lost(self) -> int:
        """Rows that failed or were dropped."""
        return sum(count for kind, count in self.failures.items() if kind != DOUBTFUL)

    @property
    def doubts(self) -> int:
        """Rows whose picture is doubtful, whatever release counted them."""
        return self.doubtful + self.failures.get(DOUBTFUL, 0)

    @property
    def sha256(self) -> str:
        """One digest for the part: its file's, or that of the list of its files."""
        digests = list(self.files.values())
        return digests[0] if len(digests) == 1 else canonical_json(dict(self.files))

    def to_fields(self) -> dict[str, object]:
        """What its file holds; ``doubtful`` only where there are any: earlier sidecars stay as they were sealed."""
        return {name: value for name, value in asdict(self).items() if name != "doubtful" or value}

    def without_timings(self) -> dict[str, object]:
        """The fields that equal runs share."""
        return {name: value for name, value in self.to_fields().items() if name not in TIMINGS}


def part_path(table: Table, part: int) -> str:
    """``table/NNNNN.parquet``."""
    return f"{table.name}/{part:05d}.parquet"


def sidecar_path(table: Table, part: int) -> str:
    """``table/NNNNN.json``."""
    return f"{table.name}/{part:05d}.json"


def read_sidecar(store: Store, table: Table, part: int) -> Sidecar | None:
    """The part's sidecar; None while the part is not done. NotAnArchiveError for another schema version."""
    try:
        text = store.read_bytes(sidecar_path(table, part))
    except FileNotFoundError:
        return None
    return _parse_sidecar(store, sidecar_path(table, part), text)


def _parse_sidecar(store: Store, path: str, text: bytes) -> Sidecar:
    try:
        fields = json.loads(text)
        version = fields["schema_version"]
        if version == SCHEMA_VERSION:
            return Sidecar(**fields)
    except (ValueError, KeyError, TypeError) as error:
        raise NotAnArchiveError(
            f"{store.root}/{path} is no sidecar ({error}); remedy: remove it and run again"
        ) from None
    raise NotAnArchiveError(f"{store.root}/{path} has {explain_version(store.root, version)}")


def finished_parts(store: Store, table: Table, known: Mapping[int, Sidecar] | None = None) -> dict[int, Sidecar]:
    """All sidecars of the table by part number; those in ``known`` are not read again."""
    known = known or {}
    names = [name for name in store.names(table.name) if name.endswith(".json")]
    numbers = sorted(int(name[:-5]) for name in names if name[:-5].isdigit())
    missing = [number for number in numbers if number not in known]
    paths = [sidecar_path(table, number) for number in missing]
    texts = store.read_many(paths)
    fresh = {
        number: _parse_sidecar(store, path, text)
        for number, path, text in zip(missing, paths, texts, strict=True)
        if text is not None
    }
    sidecars = {number: known.get(number) or fresh.get(number) for number in numbers}
    return {number: sidecar for number, sidecar in sidecars.items() if sidecar is not None}


def run_of_parts(table: Table, done: Mapping[int, Sidecar], parts: Sequence[int]) -> dict[str, str]:
    """The entry in ``inputs`` for consecutive parts, ``table/NNNNN-NNNNN`` and one digest; none without parts.

    What was made from a whole table names it so: each of its parts with a digest would make the sidecars of 4,000 parts
    hold millions of digests.
    """
    if not parts:
        return {}
    return {f"{table.name}/{parts[0]:05d}-{parts[-1]:05d}": digest([done[part].sha256 for part in parts])}


def input_digest(name: str, digests: Mapping[str, str]) -> str | None:
    """What an input, a part or a run of parts, has for its digest when parts have these; None when one is unknown."""
    table, _, numbers = name.rpartition("/")
    first, dash, last = numbers.partition("-")
    if not dash:
        return digests.get(name)
    members = [digests.get(f"{table}/{part:05d}") for part in range(int(first), int(last) + 1)]
    return None if None in members else digest(members)


def read_part(
    store: Store, table: Table, part: int, *, columns: Sequence[str] | None = None, batch_rows: int = 64
) -> Iterator[pa.RecordBatch]:
    """The part's rows in order, a bounded number at a time; nulls for later columns that it lacks."""
    wanted = table.schema.names if columns is None else list(columns)
    with store.open_for_arrow(part_path(table, part)) as file:
        parquet = pq.ParquetFile(file, pre_buffer=False)
        lacking = {*table.later} & {*wanted} - {*parquet.schema_arrow.names}
        if not lacking:
            yield from parquet.iter_batches(batch_size=batch_rows, columns=None if columns is None else wanted)
            return
        # a batch of no column would not know how many rows it has
        present = [name for name in wanted if name not in lacking] or [parquet.schema_arrow.names[0]]
        for batch in parquet.iter_batches(batch_size=batch_rows, columns=present):
            yield _add_nulls(table, batch, wanted, lacking)


def _add_nulls(table: Table, batch: pa.RecordBatch, wanted: Sequence[str], lacking: AbstractSet[str]) -> pa.RecordBatch:
    """The wanted columns in the table's order, null where they are lacking."""
    fields = [field for field in table.schema if field.name in wanted]
    columns = [pa.nulls(batch.num_rows, field.type) if field.name in lacking else batch[field.name] for field in fields]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a part is made from: the settings' digest, its inputs' digests, and when the work began."""

    settings: str
    inputs: Mapping[str, str]
    started: float
    measured: Mapping[str, float] = field(default_factory=dict)
    """What the worker notes while the part is written; full once its last batch is."""


def write_part(  # noqa: PLR0917  the first five are a stage's ``finish``
    store: Store,
    table: Table,
    part: int,
    batches: Iterable[pa.RecordBatch],
    origin: Origin,
    beside: Mapping[str, str] = MappingProxyType({}),
) -> Sidecar:
    """Writes the part's rows, then its sidecar. Memory is bounded by one row group.

    ``beside``: files that are the part's, too, with their sha256; full once the last batch is given.
    """
    file, rows, counts = _write_file(store, table, part, batches)
    doubtful = counts.pop(DOUBTFUL, 0)
    sidecar = Sidecar(
        table=table.name,
        part=part,
        rows=rows,
        failures=dict(sorted(counts.items())),
        files={part_path(table, part): file.sha256, **beside},
        bytes=file.bytes_written,
        settings=origin.settings,
        inputs=dict(origin.inputs),
        started=origin.started,
        finished=time.time(),
        sets={},
        measured=dict(origin.measured),
        doubtful=doubtful,
    )
    write_sidecar(store, table, sidecar)
    return sidecar


def write_part_file(store: Store, table: Table, part: int, batches: Iterable[pa.RecordBatch]) -> str:
    """Writes the part's rows, and leaves its sidecar as it is; returns the file's sha256."""
    return _write_file(store, table, part, batches)[0].sha256


def _write_file(
    store: Store, table: Table, part: int, batches: Iterable[pa.RecordBatch]
) -> tuple[HashingFile, int, Counter[str]]:
    """The written file, its rows, and its failures by kind, doubtful rows among them."""
    counts: Counter[str] = Counter()
    rows = 0
    with store.draft(part_path(table, part)) as file, _parquet_writer(table, file) as writer:
        for group in _row_groups(table, batches):
            writer.write_table(group, row_group_size=max(1, group.num_rows))
            counts.update(_count_kinds(group))
            rows += group.num_rows
    return file, rows, counts


def write_sidecar(store: Store, table: Table, sidecar: Sidecar) -> None:
    """Marks the part as done."""
    store.write_bytes(sidecar_path(table, sidecar.part), (canonical_json(sidecar.to_fields()) + "\n").encode())


def _parquet_writer(table: Table, file: HashingFile) -> pq.ParquetWriter:
    # pictures do not compress further; everything else does
    compression = {name: "none" if name == "bytes" else "zstd" for name in table.schema.names}
    return pq.ParquetWriter(file, table.schema, compression=compression, write_statistics=True)


def _row_groups(table: Table, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Groups of ``rows_per_group`` rows, fewer where those would be too many bytes."""
    tables = (pa.Table.from_batches([batch], schema=table.schema) for batch in batches)
    for group in row_groups(table.schema, table.rows_per_group, tables):
        yield from _within_bytes(group)


def _within_bytes(group: pa.Table) -> Iterator[pa.Table]:
    # nbytes counts the slice; the buffers may be those of all rows that arrived together
    if group.nbytes <= ROW_GROUP_BYTES or group.num_rows == 1:
        yield group
        return
    half = group.num_rows // 2
    yield from _within_bytes(group.slice(0, half).combine_chunks())
    yield from _within_bytes(group.slice(half).combine_chunks())


def _count_kinds(group: pa.Table) -> Counter[str]:
    counts: Counter[str] = Counter()
    for column in ("error", "reason"):
        if column in group.column_names:
            counts.update(value for value in group[column].to_pylist() if value)
    if "status" in group.column_names:
        counts.update(value for value in group["status"].to_pylist() if value == TAKEN_DOWN)
    if "verdict" in group.column_names:
        # what selection/ drops is counted by its reason
        judged = group.filter(group["kept"]) if "kept" in group.column_names else group
        counts.update(value for value in judged["verdict"].to_pylist() if value in ("unsafe", DOUBTFUL))
    return counts
