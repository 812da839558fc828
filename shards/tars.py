"""Samples become tar files whose bytes depend on the samples alone, each with an index."""

import hashlib
import io
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from moodarchive.storage.large_file import LargeFile
from moodarchive.storage.store import HashingFile, Store
from moodarchive.tables.layout import SETS
from moodarchive.tables.parts import Origin, Sidecar, write_sidecar
from moodarchive.tables.schemas import Table
from moodarchive.tables.spans import sample_sha256

MEMBERS = {"jpg": "jpg", "json": "json", "txt": "txt"}
"""The members of a sample, in the tar's order: the name in batches and indexes → the ending of the file's name."""
SAMPLES = pa.schema(
    [
        ("set", pa.string()),
        ("key", pa.string()),
        ("jpg", pa.binary()),
        ("jpg_sha256", pa.string()),
        ("json", pa.binary()),
        ("txt", pa.binary()),
    ]
)
"""What a packing worker yields: set, key, the bytes of each member, and the digest that the picture came with."""

_PADDING = [bytes(size) for size in range(tarfile.BLOCKSIZE)]
_SMALL = 8192
_NAME_BYTES, _SIZE_AT, _SIZE_DIGITS, _CHECKSUM_AT = 100, 124, 11, 148


def _blank_header() -> bytes:
    """A header without name and size."""
    info = tarfile.TarInfo("")
    info.mode, info.mtime = 0o644, 0
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    header[_SIZE_AT : _SIZE_AT + _SIZE_DIGITS] = bytes(_SIZE_DIGITS)
    return bytes(header)


_BLANK = _blank_header()
_BEFORE_SIZE = _BLANK[_NAME_BYTES:_SIZE_AT]
_BEFORE_CHECKSUM = _BLANK[_SIZE_AT + _SIZE_DIGITS : _CHECKSUM_AT]
_THE_REST = _BLANK[_CHECKSUM_AT + 6 :]
# the checksum counts its own field as spaces
_BLANK_SUM = sum(_BLANK) - sum(_BLANK[_CHECKSUM_AT : _CHECKSUM_AT + 8]) + 8 * ord(" ")


@dataclass
class _Tar:
    """One set's tar of a part, being written."""

    file: HashingFile | LargeFile
    members: Mapping[str, str]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, key: str, contents: Sequence[memoryview], digests: Sequence[bytes]) -> None:
        """Writes the sample's members and notes where they lie; ``digests`` are their SHA-256."""
        start = end = self.file.bytes_written
        row: dict[str, Any] = {"key": key, "offset": start}
        blocks: list[bytes | memoryview] = []
        for (member, ending), data in zip(self.members.items(), contents, strict=True):
            size = len(data)
            padding = -size % tarfile.BLOCKSIZE
            row[f"{member}_offset"], row[f"{member}_size"] = end + tarfile.BLOCKSIZE, size
            blocks.append(member_header(f"{key}.{ending}", size))
            if size < _SMALL:
                blocks.append(data)
            else:  # a picture is not copied
                self.file.write(b"".join(blocks))
                self.file.write(data)
                blocks = []
            blocks.append(_PADDING[padding])
            end += tarfile.BLOCKSIZE + size + padding
        self.file.write(b"".join(blocks))
        row |= {"size": end - start, "sha256": sample_sha256(*digests)}
        self.rows.append(row)

    def close(self) -> None:
        """Ends the tar: two empty blocks, then up to a whole record."""
        end = 2 * tarfile.BLOCKSIZE
        self.file.write(bytes(end + -(self.file.bytes_written + end) % tarfile.RECORDSIZE))


def write_shards(  # noqa: PLR0917  the first five are a stage's ``finish``
    store: Store,
    table: Table,
    part: int,
    batches: Iterator[pa.RecordBatch],
    origin: Origin,
    members: Mapping[str, str] = MEMBERS,
) -> Sidecar:
    """Writes the part's tars and indexes, removes those of sets that became empty, then marks the part done.

    A batch has ``set``, ``key``, the bytes of each of ``members``, and for those whose digest is known ``NAME_sha256``.
    Memory is bounded by one batch of samples: bytes go to the drafts as they come.
    """
    tars: dict[str, _Tar] = {}
    with ExitStack() as drafts:
        for batch in batches:
            contents = zip(*(_views(batch[member]) for member in members), strict=True)
            known = [f"{member}_sha256" if f"{member}_sha256" in batch.schema.names else None for member in members]
            given = (batch[name].to_pylist() if name else [None] * batch.num_rows for name in known)
            names, keys = batch["set"].to_pylist(), batch["key"].to_pylist()
            for name, key, data, digests in zip(names, keys, contents, zip(*given, strict=True), strict=True):
                if name not in tars:
                    tars[name] = _Tar(drafts.enter_context(store.large_draft(tar_path(name, part))), members)
                taken = [bytes.fromhex(sha) if sha else _digest(one) for sha, one in zip(digests, data, strict=True)]
                tars[name].add(key, data, taken)
        for tar in tars.values():
            tar.close()
    files: dict[str, str] = {}
    written = 0
    for name, tar in sorted(tars.items()):
        files[tar_path(name, part)] = tar.file.sha256
        files[index_path(name, part)] = store.write_bytes(index_path(name, part), _index(table, tar))
        written += tar.file.bytes_written
    _remove_leftovers(store, part, files)
    sidecar = Sidecar(
        table=table.name,
        part=part,
        rows=sum(len(tar.rows) for tar in tars.values()),
        failures={},
        files=files,
        bytes=written,
        settings=origin.settings,
        inputs=dict(origin.inputs),
        started=origin.started,
        finished=time.time(),
        sets={name: len(tar.rows) for name, tar in sorted(tars.items())},
    )
    write_sidecar(store, table, sidecar)
    return sidecar


def _digest(data: memoryview) -> bytes:
    return hashlib.sha256(data).digest()


def _views(column: pa.Array) -> list[memoryview]:
    """The bytes as views into the batch, which keep it in memory."""
    return [memoryview(value.as_buffer()) for value in column]


def member_header(name: str, size: int) -> bytes:
    """The header block of a member. Owner, time and mode are fixed: they would differ between runs.

    ``tarfile`` makes the block; name, size and checksum are then put into a copy (POSIX.1-1988, ustar).
    """
    encoded, digits = name.encode("ascii"), b"%011o" % size
    assert len(encoded) <= _NAME_BYTES and len(digits) == _SIZE_DIGITS, (name, size)
    checksum = b"%06o" % (_BLANK_SUM + sum(encoded) + sum(digits))
    return b"".join((encoded.ljust(_NAME_BYTES, b"\0"), _BEFORE_SIZE, digits, _BEFORE_CHECKSUM, checksum, _THE_REST))


def tar_path(name: str, part: int) -> str:
    """``shards/SET/NNNNN.tar``."""
    return f"shards/{name}/{part:05d}.tar"


def index_path(name: str, part: int) -> str:
    """``shards/SET/NNNNN.parquet``."""
    return f"shards/{name}/{part:05d}.parquet"


def _index(table: Table, tar: _Tar) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(tar.rows, schema=table.schema), sink, compression="zstd")
    return sink.getvalue()


def _remove_leftovers(store: Store, part: int, files: dict[str, str]) -> None:
    for name in SETS:
        for path in (tar_path(name, part), index_path(name, part)):
            if path not in files:
                store.remove(path)
