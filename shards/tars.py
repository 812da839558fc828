"""Samples become tar files whose bytes depend on the samples alone, each with an index."""

import hashlib
import io
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from moodarchive.layout import SETS
from moodarchive.parts import Origin, Sidecar, write_sidecar
from moodarchive.schemas import Table
from moodarchive.store import HashingFile, Store

MEMBERS = ("jpg", "json", "txt")
SAMPLES = pa.schema([("set", pa.string()), ("key", pa.string()), *((member, pa.binary()) for member in MEMBERS)])
"""What a packing worker yields: the set, the key and the bytes of each member."""


@dataclass
class _Tar:
    """One set's tar of a part, being written. Owner, time and mode are fixed: they would differ between runs."""

    file: HashingFile
    rows: list[dict[str, object]] = field(default_factory=list)

    def add(self, sample: dict[str, Any]) -> None:
        """Appends the sample's members and notes where they lie."""
        start = self.file.bytes_written
        row: dict[str, object] = {"key": sample["key"], "offset": start}
        span = bytearray()
        for member in MEMBERS:
            data: bytes = sample[member]
            info = tarfile.TarInfo(f"{sample['key']}.{member}")
            info.size, info.mode, info.mtime = len(data), 0o644, 0
            span += info.tobuf(tarfile.USTAR_FORMAT)
            row |= {f"{member}_offset": start + len(span), f"{member}_size": len(data)}
            span += data + bytes(-len(data) % tarfile.BLOCKSIZE)
        self.file.write(span)
        self.rows.append(row | {"size": len(span), "sha256": hashlib.sha256(span).hexdigest()})

    def close(self) -> None:
        """Ends the tar: two empty blocks, then up to a whole record."""
        end = 2 * tarfile.BLOCKSIZE
        self.file.write(bytes(end + -(self.file.bytes_written + end) % tarfile.RECORDSIZE))


def write_shards(store: Store, table: Table, part: int, batches: Iterator[pa.RecordBatch], origin: Origin) -> Sidecar:
    """Writes the part's tars and indexes, removes those of sets that became empty, then marks the part done.

    Memory is bounded by one batch of samples: bytes go to the drafts as they come.
    """
    tars: dict[str, _Tar] = {}
    with ExitStack() as drafts:
        for batch in batches:
            for sample in batch.to_pylist():
                if sample["set"] not in tars:
                    tars[sample["set"]] = _Tar(drafts.enter_context(store.draft(tar_path(sample["set"], part))))
                tars[sample["set"]].add(sample)
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
