"""Lists whose rows are JSON objects: JSON lines, and WebDataset tars with or without the pictures."""

import codecs
import json
import tarfile
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import pyarrow as pa

from crawl.catalogues.files import LeftOut, ListFile, open_decompressed, refuse
from crawl.catalogues.formats.columns import Chunk, Plan, Reading, fold, relevant_names, text_of
from crawl.catalogues.formats.delimited import DAMAGE, refuse_damaged
from moodarchive.errors import RowError

BATCH_ROWS = 20_000
MOST_OBJECT_BYTES = 1 << 20
"""Of one JSON object or text."""
_PIECE = 1 << 20
_DEPTH = 4
_SHOWN_NAMES = 50
_HEADERS = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip


@dataclass
class Sample:
    """One row: its position, the name that messages give it, its values, and the kinds of pictures that lie in it."""

    position: int
    name: str
    key: str | None = None
    """The members' common name, without their endings."""
    values: dict[str, Any] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)


def read_chunks(reading: Reading) -> Iterator[tuple[Plan, Chunk]]:
    """The list's chunks: of a tar the JSON of each sample, with a text beside it as ``text``, else one object a line.

    ConfigError for a tar or a compressed file that is cut off.
    """
    if reading.kind == "tar":
        yield from _chunks(reading, _samples(reading))
        return
    try:
        with open_decompressed(reading.file, reading.compression) as raw:
            yield from _chunks(reading, _lines(raw, reading.left_out))
    except DAMAGE as error:
        if not reading.compression:
            raise
        raise refuse_damaged(reading.file, reading.compression, error) from None


def read_tar_pictures(
    reading: Reading, wanted: Mapping[tuple[int, int], str], most_bytes: int
) -> Iterator[tuple[str, bytes | RowError]]:
    """The pictures of the samples at (0, position), in the tar's order."""
    file, kinds = reading.file, picture_kinds(reading)
    left = dict(wanted)
    for position, name, kind, size, read in _members(file, reading.compression):
        key = left.get((0, position))
        if key is None or kind not in kinds:
            continue
        del left[0, position]
        where = f"{file.name}: {name!a}"
        if size > most_bytes:
            yield key, RowError("too_many_bytes", f"{where}: {size} bytes, limit {most_bytes}")
        elif size == 0:
            yield key, RowError("missing_file", f"{where} is empty")
        else:
            yield key, read()
        if not left:
            return
    for (_, position), key in left.items():
        yield key, RowError("missing_file", f"{file.name}: sample {position} holds no picture")


def picture_kinds(reading: Reading) -> tuple[str, ...]:
    """The endings of the members that are pictures."""
    if "bytes" in reading.columns:
        return (fold(reading.columns["bytes"]),)
    return reading.preset.columns.get("bytes", ())


def _lines(raw: IO[bytes], left_out: LeftOut) -> Iterator[Sample]:
    position = number = -1
    while line := raw.readline(MOST_OBJECT_BYTES + 1):
        number += 1
        if len(line) > MOST_OBJECT_BYTES:
            while not line.endswith(b"\n") and (line := raw.readline(_PIECE)):
                pass
            position += 1
            left_out.rows += 1
            left_out.add(f"lines of more than {MOST_OBJECT_BYTES:,} bytes", f"line {number + 1}")
        elif line.strip(b" \t\r\n\xef\xbb\xbf"):
            position += 1
            if (values := _json_object(line)) is None:
                left_out.rows += 1
                left_out.add("lines that are no JSON object", f"line {number + 1}")
            else:
                yield Sample(position, f"line {number + 1}", values=values)


def _samples(reading: Reading) -> Iterator[Sample]:
    """Members of one name that follow each other are a sample, as WebDataset has it."""
    sample: Sample | None = None
    left_out = reading.left_out
    for position, name, kind, size, read in _members(reading.file, reading.compression):
        if sample is None or sample.position != position:
            if sample is not None and (sample.values or sample.pictures):
                yield sample
            stem = name.rpartition(".")[0]
            sample = Sample(position, ascii(stem), stem)
        if kind not in ("json", "txt"):
            sample.pictures.append(kind)
        elif size > MOST_OBJECT_BYTES:
            left_out.add(f"members of more than {MOST_OBJECT_BYTES:,} bytes", ascii(name))
        elif kind == "txt":
            sample.values.setdefault("text", read().decode("utf-8-sig", "replace").strip())
        elif (values := _json_object(read())) is None:
            left_out.add("members that are no JSON object", ascii(name))
        else:
            sample.values.update(values)
    if sample is not None and (sample.values or sample.pictures):
        yield sample


def _members(file: ListFile, compression: str) -> Iterator[tuple[int, str, str, int, Callable[[], bytes]]]:
    """(sample's position, name, ending, bytes, how to read it) of the tar's files, one after the other."""
    position, last = -1, None
    try:
        with open_decompressed(file, compression) as raw:
            mode = "r|" if compression else "r:"
            with tarfile.open(fileobj=raw, mode=mode, tarinfo=_BoundedHeader) as tar:  # type: ignore[call-overload]
                while member := tar.next():
                    tar.members.clear()  # else a tar of millions of members fills the memory
                    stem, _, kind = member.name.rpartition(".")
                    if not member.isreg() or not stem or stem.rpartition("/")[2].startswith("."):
                        continue
                    if stem != last:
                        position, last = position + 1, stem
                    yield position, member.name, kind.lower(), member.size, _reader(tar, member)
    except (tarfile.TarError, *DAMAGE) as error:
        raise refuse(file.path, f"is no whole tar ({str(error)[:120]})", "copy or write it anew") from None


def _reader(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        opened = tar.extractfile(member)
        return opened.read() if opened else b""

    return read


class _BoundedHeader(tarfile.TarInfo):
    """A member whose name and extended header fit in memory: tarfile itself would read gigabytes of them."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _HEADERS and self.size > MOST_OBJECT_BYTES:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        return super()._proc_member(tar)  # type: ignore[misc, no-any-return]


def _chunks(reading: Reading, samples: Iterator[Sample]) -> Iterator[tuple[Plan, Chunk]]:
    """The plan is made of the names seen so far: later rows may hold more of them than the first."""
    relevant = relevant_names(reading.preset, reading.columns)
    wanted = None if reading.chosen is None else set(reading.chosen.tolist())
    last = max(wanted or (), default=-1)
    names: dict[str, None] = {}
    some: list[tuple[Sample, dict[str, Any]]] = []
    for sample in samples:
        if wanted is not None and sample.position > last:
            break
        values = _flatten(sample, relevant, names)
        if not values.keys() <= names.keys():
            names.update(dict.fromkeys(values))
        if wanted is None or sample.position in wanted:
            some.append((sample, values))
        if len(some) == BATCH_ROWS:
            yield _chunk(reading, some, list(names))
            some = []
    if some or (names and wanted is None):
        yield _chunk(reading, some, list(names))


def _chunk(reading: Reading, some: list[tuple[Sample, dict[str, Any]]], names: list[str]) -> tuple[Plan, Chunk]:
    plan = reading.plan(names)
    field_of = {key: name for name, key in reversed(list(plan.sources.items()))}
    columns = {
        key: pa.array([text_of(field_of.get(key, ""), values.get(key)) for _, values in some], pa.string())
        for key in plan.keys
    }
    pictures = None
    if plan.has_bytes:
        kinds = set(picture_kinds(reading))
        inside = [f"0.{sample.position}" if kinds & set(sample.pictures) else None for sample, _ in some]
        pictures = pa.array(inside, pa.string())
    rows = np.array([sample.position for sample, _ in some], np.int64)
    return plan, Chunk(rows, columns, [sample.name for sample, _ in some].__getitem__, pictures)


def _flatten(sample: Sample, relevant: Container[str], names: dict[str, None]) -> dict[str, Any]:
    """The values of relevant names, those inside of objects by names with dots; a few other names join ``names``."""
    found: dict[str, Any] = {name: None for name in sample.pictures if name in relevant}
    if sample.key is not None and "__key__" in relevant:
        found["__key__"] = sample.key
    objects = [("", sample.values, 1)]
    for prefix, values, depth in objects:
        for name, value in values.items():
            key = prefix + fold(name) if prefix else fold(name)
            if key in relevant:
                found.setdefault(key, value)
            elif len(names) < _SHOWN_NAMES:
                names[key] = None
            if isinstance(value, dict) and depth < _DEPTH:
                objects.append((f"{key}.", value, depth + 1))
    return found


def _json_object(content: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
