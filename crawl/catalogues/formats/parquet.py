"""Lists in Parquet: read by columns and row groups, with bounds on what a few compressed bytes may become."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crawl.catalogues.files import ListFile, open_list, refuse
from crawl.catalogues.formats.columns import Chunk, Plan, Reading, find_column, fold
from crawl.catalogues.presets import Preset
from moodarchive.errors import RowError

BATCH_ROWS = 20_000
MOST_ROWS = 2_000_000_000
"""Of one file; what claims more is none."""
MOST_CHUNK_BYTES = 1 << 30
"""Of one column of one row group, decompressed, when its values are longer than captions on the average."""
MOST_MEAN_BYTES = 1 << 12
MOST_VALUES = 100
"""Of one row's list, on the average."""
_LONG_VALUE = 1 << 14
"""Bytes of a value that, standing in every row, would fill the memory."""
_PICTURE_ROWS = 8
_DEPTH = 4
DAMAGE = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
"""What Arrow raises for a damaged file, and this module for one that would not fit in memory."""


class ParquetList:
    """One open file; ConfigError when it is no whole Parquet file."""

    def __init__(self, file: ListFile) -> None:
        self.file = file
        self._raw = open_list(file)
        try:
            self._reader = pq.ParquetFile(self._raw, pre_buffer="://" in file.path)
            self.metadata = self._reader.metadata
            self.schema: pa.Schema = self._reader.schema_arrow
            rows = self.metadata.num_rows
            sizes = [self.metadata.row_group(group).num_rows for group in range(self.metadata.num_row_groups)]
            if min(sizes, default=0) < 0 or sum(sizes) != rows:
                raise ValueError(f"{rows:,} rows, and {sum(sizes):,} in its row groups")
        except DAMAGE as error:
            self._raw.close()
            raise refuse(file.path, f"is no whole Parquet file ({str(error)[:120]})", "copy or write it anew") from None
        if rows > MOST_ROWS:
            self._raw.close()
            raise refuse(file.path, f"claims {rows:,} rows, more than {MOST_ROWS:,}", "split it")
        self.paths: dict[str, tuple[str, ...]] = {}
        """Folded name → the column, or the part of a structure; of two of one name the first."""
        for path in _leaf_paths(self.schema):
            self.paths.setdefault(fold(".".join(path)), path)

    def __enter__(self) -> "ParquetList":
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()

    @property
    def names(self) -> list[str]:
        """The columns as written; parts of structures with dots."""
        return [".".join(path) for path in self.paths.values()]

    def groups(self) -> Iterator[tuple[int, int, int]]:
        """(row group, its first row in the file, its rows)."""
        first = 0
        for group in range(self.metadata.num_row_groups):
            rows = self.metadata.row_group(group).num_rows
            yield group, first, rows
            first += rows

    def batches(
        self, group: int, keys: Sequence[str], size: int, *, bounded: bool = True
    ) -> Iterator[Mapping[str, pa.Array]]:
        """The columns of a row group, by folded name, in batches. ValueError for what would not fit in memory."""
        paths = {key: self.paths[key] for key in keys}
        tops = tuple(dict.fromkeys(".".join(path) for path in paths.values()))
        long = self._long_columns(group, tops) if bounded else []
        reader = self._reader
        if long:
            reader = pq.ParquetFile(self._raw, metadata=self.metadata, read_dictionary=long)
        for batch in reader.iter_batches(size, [group], list(tops), use_threads=False):
            yield {key: _part(batch, path) for key, path in paths.items()}

    def present(self, group: int, path: tuple[str, ...]) -> bool:
        """False when the row group's statistics say that it holds no value of the column."""
        nulls = [
            chunk.statistics.null_count if chunk.statistics and chunk.statistics.has_null_count else None
            for chunk in self._chunks(group, path)
        ]
        rows = self.metadata.row_group(group).num_rows
        return not nulls or any(count is None or count < rows for count in nulls)

    def require_values(self, group: int, keys: Sequence[str], most: int) -> None:
        """ValueError when a row's list holds more values than ``most`` on the average."""
        rows = self.metadata.row_group(group).num_rows
        for key in keys:
            for chunk in self._chunks(group, self.paths.get(key, tuple(key.split(".")))):
                if chunk.num_values > most * rows + BATCH_ROWS:
                    raise ValueError(f"{chunk.num_values:,} values in the column {key}")

    def _chunks(self, group: int, path: tuple[str, ...]) -> list[Any]:
        row_group = self.metadata.row_group(group)
        name = ".".join(path)
        chunks = (row_group.column(index) for index in range(row_group.num_columns))
        return [
            chunk for chunk in chunks if chunk.path_in_schema == name or chunk.path_in_schema.startswith(f"{name}.")
        ]

    def _long_columns(self, group: int, names: Sequence[str]) -> list[str]:
        """Those whose dictionary holds a text so long that it must not be written out for each row."""
        found = []
        self.require_values(group, names, MOST_VALUES)
        for name in names:
            for chunk in self._chunks(group, tuple(name.split("."))):
                values, size = max(1, chunk.num_values), chunk.total_uncompressed_size
                if size > MOST_CHUNK_BYTES and size / values > MOST_MEAN_BYTES:
                    raise ValueError(f"{size >> 20:,} MiB in the column {name}")
                flat = chunk.path_in_schema == name and chunk.physical_type == "BYTE_ARRAY"
                if (
                    flat
                    and chunk.has_dictionary_page
                    and size > _LONG_VALUE
                    and self._longest(group, name) > _LONG_VALUE
                ):
                    found.append(name)
        return found

    def _longest(self, group: int, name: str) -> int:
        probe = pq.ParquetFile(self._raw, metadata=self.metadata, read_dictionary=[name])
        for batch in probe.iter_batches(1, [group], [name], use_threads=False):
            array = _part(batch, tuple(name.split(".")))
            if pa.types.is_dictionary(array.type):
                lengths = pc.binary_length(array.dictionary.cast(pa.binary()))
                return int(pc.max(lengths).as_py() or 0)
        return 0


def read_chunks(reading: Reading) -> Iterator[tuple[Plan, Chunk]]:
    """The list's chunks in order; a row group that cannot be read is left out and counted."""
    left_out, chosen = reading.left_out, reading.chosen
    with ParquetList(reading.file) as table:
        plan = reading.plan(table.names)
        picture = bytes_path(table, reading.preset, reading.columns) if plan.has_bytes else None
        for group, first, rows in table.groups():
            wanted = None
            if chosen is not None:
                wanted = chosen[np.searchsorted(chosen, first) : np.searchsorted(chosen, first + rows)] - first
                if not len(wanted):
                    continue
            done = 0
            try:
                has_pictures = picture is not None and table.present(group, picture)
                for size, columns in _sized(table, group, plan.keys, rows):
                    inside = np.arange(done, done + size)
                    done += size
                    chunk = _chunk(group, first, inside, columns, has_pictures)
                    if wanted is not None:
                        chunk = _choose(chunk, np.isin(inside, wanted, assume_unique=True))
                    yield plan, chunk
            except DAMAGE as error:
                says = (str(error) or type(error).__name__).splitlines()[0][:120]
                left_out.rows += rows - done
                left_out.add(f"rows that cannot be read ({says})", f"row group {group}", rows - done)


def bytes_path(table: ParquetList, preset: Preset, columns: Mapping[str, str]) -> tuple[str, ...] | None:
    """Where the pictures lie: the column, or the part called bytes of a structure."""
    names = {key: key for key in table.paths}
    key = find_column("bytes", names, preset, columns)
    if key is None:
        return None
    return table.paths.get(f"{key}.bytes", table.paths[key])


def read_pictures(
    reading: Reading, wanted: Mapping[tuple[int, int], str], most_bytes: int
) -> Iterator[tuple[str, bytes | RowError]]:
    """The pictures at (row group, row in the group), each row group read once, in the file's order."""
    file = reading.file
    with ParquetList(file) as table:
        path = bytes_path(table, reading.preset, reading.columns)
        if path is None:
            raise refuse(file.path, "has no column with pictures", "name it by columns.bytes")
        by_group: dict[int, dict[int, str]] = {}
        for (group, row), key in wanted.items():
            by_group.setdefault(group, {})[row] = key
        for group in sorted(by_group):
            rows = by_group[group]
            given: set[int] = set()
            try:
                for row, picture in _pictures_of(table, group, path, rows, most_bytes):
                    given.add(row)
                    yield rows[row], picture
            except DAMAGE as error:
                damage = RowError("unreadable_row", f"{file.name}: row group {group}: {str(error)[:120]}")
                yield from ((key, damage) for row, key in rows.items() if row not in given)
                continue
            for row, key in rows.items():
                if row not in given:
                    yield key, RowError("missing_file", f"{file.name}: row group {group} has no row {row}")


def _pictures_of(
    table: ParquetList, group: int, path: tuple[str, ...], rows: Mapping[int, str], most_bytes: int
) -> Iterator[tuple[int, bytes | RowError]]:
    if group >= table.metadata.num_row_groups:
        return
    key, last, first = fold(".".join(path)), max(rows), 0
    for batch in table.batches(group, [key], _PICTURE_ROWS, bounded=False):
        array = batch[key]
        lengths = pc.binary_length(array).to_pylist()
        for index, length in enumerate(lengths):
            if (row := first + index) in rows:
                where = f"{table.file.name}: row {row} of row group {group}"
                if not length:
                    yield row, RowError("missing_file", f"{where} holds no picture")
                elif length > most_bytes:
                    yield row, RowError("too_many_bytes", f"{where}: {length} bytes, limit {most_bytes}")
                else:
                    yield row, array[index].as_buffer().to_pybytes()
        first += len(lengths)
        if first > last:
            return


def _sized(
    table: ParquetList, group: int, keys: Sequence[str], rows: int
) -> Iterator[tuple[int, Mapping[str, pa.Array]]]:
    if not keys:  # bytes alone: nothing of the file need be read
        for first in range(0, rows, BATCH_ROWS):
            yield min(BATCH_ROWS, rows - first), {}
        return
    for columns in table.batches(group, keys, BATCH_ROWS):
        yield len(next(iter(columns.values()))), columns


def _chunk(group: int, first: int, inside: np.ndarray, columns: Mapping[str, pa.Array], pictures: bool) -> Chunk:
    rows = inside + first
    address = None
    if pictures:
        address = pc.binary_join_element_wise(str(group), pa.array(inside).cast(pa.string()), ".")
    return Chunk(rows, columns, lambda index: f"row {rows[index]}", address)


def _choose(chunk: Chunk, mask: np.ndarray) -> Chunk:
    keep = pa.array(mask)
    rows = chunk.rows[mask]
    columns = {name: array.filter(keep) for name, array in chunk.columns.items()}
    pictures = None if chunk.pictures is None else chunk.pictures.filter(keep)
    return Chunk(rows, columns, lambda index: f"row {rows[index]}", pictures)


def _leaf_paths(schema: pa.Schema) -> list[tuple[str, ...]]:
    """Columns and, below structures, their parts; a structure itself counts too."""
    found: list[tuple[str, ...]] = []

    def walk(path: tuple[str, ...], kind: pa.DataType) -> None:
        found.append(path)
        if pa.types.is_struct(kind) and len(path) < _DEPTH:
            for index in range(kind.num_fields):
                walk((*path, kind.field(index).name), kind.field(index).type)

    for field in schema:
        walk((field.name,), field.type)
    return found


def _part(batch: pa.RecordBatch, path: tuple[str, ...]) -> pa.Array:
    array = batch.column(batch.schema.get_all_field_indices(path[0])[0])
    for name in path[1:]:
        array = pc.struct_field(array, [name])
    return array
