"""Embeddings of a list's pictures or captions: in a column of it, or in files beside it, in its order or by id."""

import re
import tokenize
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from crawl.catalogues.files import LeftOut, ListFile, find_files, open_list, refuse
from crawl.catalogues.formats.columns import Reading, find_column, fold, to_texts
from crawl.catalogues.formats.parquet import DAMAGE, ParquetList
from crawl.catalogues.presets import Preset
from crawl.catalogues.rows import count_rows, read_ids
from moodarchive.errors import ConfigError

BLOCK_ROWS = 16_384
MOST_WIDTH = 1 << 13
"""Numbers of one embedding."""
ROW, IDS = "row", ("id", "source_id", "key", "photoid", "photo_id", "imageid")
"""Columns of a file of embeddings that say which row of the list each belongs to."""
VECTORS = ("embedding", "embeddings", "vector", "clip_embedding", "image_embedding", "img_emb")
_ENDINGS = {".npy": "npy", ".parquet": "parquet"}
_SUFFIX = re.compile(r"\.(npy|parquet|pq|csv|tsv|jsonl|ndjson|tar|tgz|gz|bz2)$")
_NO_HEADING = (ValueError, KeyError, TypeError, EOFError, OSError, SyntaxError, tokenize.TokenError, RecursionError)
"""What NumPy raises for the heading of a file that it did not write."""
Block = tuple[npt.NDArray[np.int64], npt.NDArray[np.floating]]


@dataclass(frozen=True)
class Segment:
    """Which rows of a file of embeddings belong to a file of the list.

    Rows ``first`` to ``first + rows`` belong to the list's rows from ``start`` on; of ``rows`` None the file itself
    says which, by a column.
    """

    file: ListFile
    first: int = 0
    rows: int | None = None
    start: int = 0


def match_embeddings(
    files: Sequence[ListFile], preset: Preset, columns: Mapping[str, str], roots: Sequence[str]
) -> dict[str, tuple[Segment, ...]]:
    """For each file of the list, by name, where its embeddings stand; nothing when no roots are named.

    A file of embeddings (.npy or .parquet) belongs to the file of the list that is called alike. Where the names do not
    pair, those with a column of ids belong to all, and the others are the list's rows from the first file to the last.
    ConfigError when their numbers of rows differ from the list's.
    """
    if not roots:
        return {}
    found = [_open_vectors(file) for file in find_files(roots, endings=_ENDINGS)]
    by_column = [bool(vectors.by_column) for vectors in found]
    if any(by_column) and not all(by_column):
        raise refuse(roots[0], "holds embeddings with ids and without", "name files of one kind")
    pairs = _pair(files, found)
    if all(by_column):
        everything = tuple(Segment(vectors.file) for vectors in found)
        return {file.name: (Segment(pairs[file.name].file),) if pairs else everything for file in files}
    rows = {file.name: count_rows(file, preset, columns) for file in files}
    if pairs:
        for file in files:
            _require_equal(file.path, rows[file.name], pairs[file.name].file.path, pairs[file.name].rows)
        return {file.name: (Segment(pairs[file.name].file, 0, rows[file.name]),) for file in files}
    _require_equal("the list", sum(rows.values()), "its embeddings", sum(vectors.rows for vectors in found))
    return _cut(files, rows, found)


def read_embeddings(
    file: ListFile,
    preset: Preset,
    columns: Mapping[str, str],
    left_out: LeftOut,
    segments: Sequence[Segment] = (),
) -> Iterator[Block]:
    """(positions in the list's file, float16 or float32 [rows, width]) in blocks of at most 16,384 rows.

    ``segments`` are the file's of ``match_embeddings``; without any, the embeddings stand in a column of the list. An
    embedding that is missing, of another width than the first, or holds a number that is not finite is left out and
    counted. Positions are those of ``read_rows``, which may leave out rows that have an embedding.
    """
    checked = _Checks(left_out)
    if not segments:
        yield from checked.check(_read_column(file, preset, columns, left_out))
        return
    ids = None
    for segment in segments:
        vectors = _open_vectors(segment.file)
        if vectors.by_column and vectors.by_column != ROW and ids is None:
            ids = read_ids(file, preset, columns)
        yield from checked.check(vectors.read(segment, ids, left_out))


@dataclass(frozen=True)
class _Vectors(ABC):
    """A file of embeddings; ``by_column`` names the column that says which rows they belong to."""

    file: ListFile
    rows: int
    by_column: str = ""

    @abstractmethod
    def read(self, segment: Segment, ids: pa.Array | None, left_out: LeftOut) -> Iterator[Block]:
        """The segment's blocks, positions being those of the list's file."""


@dataclass(frozen=True)
class _Npy(_Vectors):
    width: int = 0
    kind: str = ""
    begins: int = 0

    def read(self, segment: Segment, ids: pa.Array | None, left_out: LeftOut) -> Iterator[Block]:
        kind = np.dtype(self.kind)
        size = self.width * kind.itemsize
        rows = self.rows if segment.rows is None else segment.rows
        with open_list(self.file) as raw:
            for done in range(0, rows, BLOCK_ROWS):
                some = min(BLOCK_ROWS, rows - done)
                raw.seek(self.begins + (segment.first + done) * size)
                block = np.frombuffer(_read_exactly(raw, some * size, self.file), kind).reshape(some, self.width)
                yield np.arange(segment.start + done, segment.start + done + some), _narrow(block)


@dataclass(frozen=True)
class _Parquet(_Vectors):
    column: str = ""

    def read(self, segment: Segment, ids: pa.Array | None, left_out: LeftOut) -> Iterator[Block]:
        keys = [self.column] + ([self.by_column] if self.by_column else [])
        for rows, columns in _batches(self.file, keys, left_out):
            positions, array = rows, columns[self.column]
            if not self.by_column:
                inside = (rows >= segment.first) & (rows < segment.first + (segment.rows or 0))
                positions, array = rows[inside] - segment.first + segment.start, array.filter(pa.array(inside))
            else:
                stated = columns[self.by_column]
                if self.by_column == ROW:
                    known = pc.fill_null(stated.cast(pa.int64()), -1)
                else:
                    known = pc.fill_null(pc.index_in(to_texts("source_id", stated), ids), -1)
                positions = np.asarray(known).astype(np.int64)
                array = array.filter(pa.array(positions >= 0))
                positions = positions[positions >= 0]
            yield from _vectors_of(positions, array, left_out, self.file.name)


class _Checks:
    """What holds for all blocks of a file: one width, finite numbers, one embedding a row."""

    def __init__(self, left_out: LeftOut) -> None:
        self._left_out = left_out
        self._width = 0
        self._last = -1
        self._given: set[int] | None = None

    def check(self, blocks: Iterator[Block]) -> Iterator[Block]:
        for rows, block in blocks:
            if not len(rows):
                continue
            self._width = self._width or block.shape[1]
            if block.shape[1] != self._width:
                why = f"embeddings that are not {self._width} numbers"
                self._left_out.add(why, f"row {rows[0]}: {block.shape[1]}", len(rows))
                continue
            good: npt.NDArray[np.bool_] = np.all(np.isfinite(block), axis=1)
            self._count("embeddings with numbers that are not finite", rows, good)
            new = self._are_new(rows)
            self._count("second embeddings of a row", rows, new)
            good &= new
            if good.all():
                yield rows, block
            elif good.any():
                yield rows[good], block[good]

    def _count(self, why: str, rows: npt.NDArray[np.int64], good: npt.NDArray[np.bool_]) -> None:
        if not good.all():
            self._left_out.add(why, f"row {rows[int(np.argmin(good))]}", int((~good).sum()))

    def _are_new(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Rows in order need no memory of those before."""
        if self._given is None and rows[0] > self._last and (np.diff(rows) > 0).all():
            self._last = int(rows[-1])
            return np.ones(len(rows), bool)
        if self._given is None:
            self._given = set(range(self._last + 1))
        new = np.zeros(len(rows), bool)
        for index, row in enumerate(rows.tolist()):
            new[index] = row not in self._given
            self._given.add(row)
        return new


def _read_column(file: ListFile, preset: Preset, columns: Mapping[str, str], left_out: LeftOut) -> Iterator[Block]:
    reading = Reading(file, preset, columns, (), left_out)
    if reading.kind != "parquet":
        raise refuse(file.path, "holds no embeddings", "name files of them in the setting embeddings")
    with ParquetList(file) as table:
        names = {key: key for key in table.paths}
        key = find_column("embedding", names, preset, columns) or next(
            (name for name in VECTORS if name in names), None
        )
        if key is None or key not in names:
            why = f"has no column called {' or '.join(VECTORS)}"
            raise refuse(file.path, why, "name it by columns.embedding, or name files in the setting embeddings")
    for rows, batch in _batches(file, [key], left_out):
        yield from _vectors_of(rows, batch[key], left_out, file.name)


def _batches(
    file: ListFile, keys: Sequence[str], left_out: LeftOut
) -> Iterator[tuple[npt.NDArray[np.int64], Mapping[str, pa.Array]]]:
    """(positions, columns) of a Parquet file; a row group that cannot be read is counted."""
    with ParquetList(file) as table:
        for group, first, rows in table.groups():
            done = 0
            try:
                table.require_values(group, keys, MOST_WIDTH)
                for columns in table.batches(group, keys, BLOCK_ROWS, bounded=False):
                    size = len(columns[keys[0]])
                    yield np.arange(first + done, first + done + size), columns
                    done += size
            except DAMAGE as error:
                says = (str(error) or type(error).__name__).splitlines()[0][:120]
                left_out.add(f"embeddings that cannot be read ({says})", f"{file.name}: row group {group}", rows - done)


def _vectors_of(rows: npt.NDArray[np.int64], array: pa.Array, left_out: LeftOut, name: str) -> Iterator[Block]:
    """The lists of numbers as a matrix; rows whose list is null or of another length than the first are counted."""
    kind = array.type
    if not _is_list(kind) or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise refuse(name, f"has embeddings of the type {kind}", "write lists of numbers")
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0))
    if not (lengths > 0).any():
        left_out.add("rows without an embedding", f"row {rows[0]}" if len(rows) else name, len(rows))
        return
    width = int(lengths[np.argmax(lengths > 0)])
    good = lengths == width
    if not good.all():
        left_out.add(
            f"embeddings that are not {width} numbers", f"row {rows[int(np.argmin(good))]}", int((~good).sum())
        )
        rows, array = rows[good], array.filter(pa.array(good))
    values = array.flatten()
    numbers = values.to_numpy(zero_copy_only=False) if values.null_count == 0 else _with_nans(values)
    yield rows, _narrow(numbers.reshape(-1, width))


def _with_nans(values: pa.Array) -> npt.NDArray[np.floating]:
    return np.asarray(pc.fill_null(values.cast(pa.float32()), float("nan")))


def _narrow(block: npt.NDArray[np.generic]) -> npt.NDArray[np.floating]:
    """As float16 if it is, else as float32, in this machine's order of bytes."""
    wanted = np.float16 if block.dtype.kind == "f" and block.dtype.itemsize == 2 else np.float32
    return block.astype(wanted, copy=False)


def _open_vectors(file: ListFile) -> _Vectors:
    if not file.name.lower().endswith(".npy"):
        with ParquetList(file) as table:
            column = next((name for name in VECTORS if name in table.paths), None) or next(
                (fold(field.name) for field in table.schema if _is_list(field.type)), None
            )
            if column is None:
                raise refuse(file.path, f"has no column called {' or '.join(VECTORS)}", "name the column embedding")
            by_column = next((name for name in (ROW, *IDS) if name in table.paths), "")
            return _Parquet(file, table.metadata.num_rows, by_column, column)
    with open_list(file) as raw:
        try:
            shape, in_columns, kind = _read_heading(raw)
        except _NO_HEADING as error:
            raise refuse(file.path, f"is no .npy file ({str(error)[:80]})", "write it with numpy.save") from None
        begins = raw.tell()
    if len(shape) != 2 or in_columns or kind.kind not in "fiu" or not 0 < shape[1] <= MOST_WIDTH:
        order = ", column after column" if in_columns else ""
        why = f"holds {kind} {shape}{order}, not numbers [rows, width]"
        raise refuse(file.path, why, "save a float16 or float32 array of two dimensions")
    needs = begins + shape[0] * shape[1] * kind.itemsize
    if file.bytes != needs:
        raise refuse(file.path, f"has {file.bytes:,} bytes, its heading says {needs:,}", "copy or write it anew")
    return _Npy(file, shape[0], "", shape[1], kind.str, begins)


def _read_heading(raw: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns come first, and type; of a pickle the type is an object's, and nothing of it is read."""
    form: Any = np.lib.format
    return {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}[form.read_magic(raw)](raw)  # type: ignore[no-any-return]


def _is_list(kind: pa.DataType) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in tests)


def _read_exactly(raw: IO[bytes], size: int, file: ListFile) -> bytes:
    content = raw.read(size)
    if len(content) != size:
        raise refuse(file.path, "ends too early", "copy or write it anew")
    return content


def _cut(
    files: Sequence[ListFile], rows: Mapping[str, int], found: Sequence[_Vectors]
) -> dict[str, tuple[Segment, ...]]:
    """Both in the order of their names, each list file takes the next so many rows."""
    edges = np.cumsum([0, *(vectors.rows for vectors in found)])
    cut: dict[str, tuple[Segment, ...]] = {}
    at = 0
    for file in files:
        end = at + rows[file.name]
        segments = []
        for vectors, (begin, stop) in zip(found, pairwise(edges.tolist()), strict=True):
            first, last = max(at, begin), min(end, stop)
            if first < last:
                segments.append(Segment(vectors.file, first - begin, last - first, first - at))
        cut[file.name] = tuple(segments)
        at = end
    return cut


def _require_equal(one: str, rows: int, other: str, others: int) -> None:
    if rows != others:
        raise ConfigError(
            f"{one} has {rows:,} rows, {other} {others:,}; remedy: name the files that belong together, each in whole"
        )


def _pair(files: Sequence[ListFile], found: Sequence[_Vectors]) -> dict[str, _Vectors]:
    """The file of embeddings that is called like each file of the list, folders included or not; all, or none."""
    for stem in (_stem, lambda name: _stem(name.rpartition("/")[2])):
        vectors = {stem(one.file.name): one for one in found}
        names = {stem(file.name): file.name for file in files}
        if len(vectors) == len(found) == len(files) and vectors.keys() == names.keys():
            return {names[key]: one for key, one in vectors.items()}
    return {}


def _stem(name: str) -> str:
    while (shorter := _SUFFIX.sub("", name.lower())) != name:
        name = shorter
    return name
