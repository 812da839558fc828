"""The index and the sidecar of a shard whose tar is not written: what the seal reads of it."""

import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from moodarchive.running.stage import Stage, inputs_of
from moodarchive.storage.store import Store
from moodarchive.tables.layout import SETS
from moodarchive.tables.parts import Sidecar, part_path, write_sidecar
from moodarchive.tables.schemas import SELECTION, SHARD_INDEX
from shards.tars import index_path, tar_path
from synthetic.words import hashed

SAMPLE_BYTES = 110_000


def write_index_alone(store: Store, pack: Stage, part: int) -> None:
    """As packing would, but the tar's digest is made up."""
    verdicts = pq.read_table(store.path(part_path(SELECTION, part)), columns=["key", "kept", "split"])
    verdicts = verdicts.filter(verdicts["kept"])
    files: dict[str, str] = {}
    sets: dict[str, int] = {}
    for name in SETS:
        key = verdicts.filter(pa.compute.equal(verdicts["split"], name))["key"].combine_chunks()
        if len(key):
            sets[name] = len(key)
            files[tar_path(name, part)] = f"{int(hashed(np.array([part]), 99)[0]):016x}" * 4
            with store.draft(index_path(name, part)) as file:
                pq.write_table(_index(key), file, compression="zstd")
            files[index_path(name, part)] = file.sha256
    sidecar = Sidecar(
        table=SHARD_INDEX.name, part=part, rows=verdicts.num_rows, failures={}, files=files,
        bytes=verdicts.num_rows * SAMPLE_BYTES, settings=pack.settings, inputs=inputs_of(pack, store, part),
        started=time.time(), finished=time.time(), sets=dict(sorted(sets.items())),
    )  # fmt: skip
    write_sidecar(store, SHARD_INDEX, sidecar)


def _index(key: pa.Array) -> pa.Table:
    offset = np.arange(len(key)) * SAMPLE_BYTES
    columns = {"key": key, "offset": offset, "sha256": pa.array(["0" * 64] * len(key))}
    size = pa.array(np.full(len(key), SAMPLE_BYTES))
    return pa.table([columns.get(field.name, size) for field in SHARD_INDEX.schema], schema=SHARD_INDEX.schema)
