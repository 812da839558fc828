"""Rows of taken-down images lose all that tells of them, part by part in the order of the flow, and keep their key."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from moodarchive.archive.pruned import keep_pruned
from moodarchive.archive.takedown import ERASED_PROVENANCE
from moodarchive.storage.store import Store
from moodarchive.tables.layout import TAKEN_DOWN
from moodarchive.tables.parts import (
    Origin,
    Sidecar,
    finished_parts,
    input_digest,
    part_path,
    read_part,
    write_part,
    write_sidecar,
)
from moodarchive.tables.schemas import CANDIDATES, CAPTIONS, IMAGES, ITEMS, REDISCOVERED, SAFETY, SCORES, Table
from pipelines.change.derived_files import forget_beside
from pipelines.change.matching import parts_holding

_ERASED: Mapping[str, tuple[str, ...]] = {
    CANDIDATES.name: ERASED_PROVENANCE,
    ITEMS.name: ERASED_PROVENANCE,
    IMAGES.name: ("bytes", "stored_sha256"),
    CAPTIONS.name: ("summary", "stimuli", "assessment", "emotions"),
}
"""What goes. Hash, perceptual hash, score and cell stay: by them the cut keeps copies and look-alikes out."""
_FLOW = (CANDIDATES, ITEMS, REDISCOVERED, IMAGES, SAFETY, CAPTIONS, SCORES)


@dataclass(frozen=True)
class Eraser:
    """Erases the keys everywhere before the cut. Repeated after a kill, it ends with the same bytes."""

    store: Store
    keys: frozenset[str]

    def erase(self) -> None:
        """Every part that holds a key is written anew, its sidecar last; parts made from it name their new inputs."""
        digests: dict[str, str] = {}
        for table in _FLOW:
            done = finished_parts(self.store, table)
            runs = {name for sidecar in done.values() for name in sidecar.inputs if "-" in name}
            digests |= {name: sha256 for name in runs if (sha256 := self._run_digest(name))}
            holding = set(parts_holding(self.store, table, self.keys)) if table.name in _ERASED else set()
            for part, sidecar in done.items():
                inputs = {name: digests.get(name, sha256) for name, sha256 in sidecar.inputs.items()}
                current = replace(sidecar, inputs=inputs)
                if part in holding:
                    fresh = self._rewrite(table, part, current)
                    digests[f"{table.name}/{part:05d}"] = fresh.sha256
                    keep_pruned(self.store, part_path(table, part), fresh)
                elif current != sidecar:
                    write_sidecar(self.store, table, current)
        forget_beside(self.store, self.keys)

    def _rewrite(self, table: Table, part: int, old: Sidecar) -> Sidecar:
        origin = Origin(settings=old.settings, inputs=old.inputs, started=time.time())
        return write_part(self.store, table, part, self._erase_rows(table, part), origin)

    def _run_digest(self, name: str) -> str | None:
        table = next(table for table in _FLOW if name.startswith(f"{table.name}/"))
        parts = finished_parts(self.store, table)
        return input_digest(name, {f"{table.name}/{part:05d}": sidecar.sha256 for part, sidecar in parts.items()})

    def _erase_rows(self, table: Table, part: int) -> Iterator[pa.RecordBatch]:
        keys = pa.array(sorted(self.keys), pa.string())
        for batch in read_part(self.store, table, part):
            gone = pc.is_in(batch["key"], value_set=keys)
            columns = {name: batch[name] for name in batch.schema.names}
            for name in _ERASED[table.name]:
                columns[name] = _null_where(columns[name], gone)
            if "status" in columns:
                # a caption that failed has nothing to erase, and keeps saying why it is not there
                fallen = gone if table is IMAGES else pc.and_(gone, pc.equal(columns["status"], "ok"))
                columns["status"] = pc.if_else(fallen, TAKEN_DOWN, columns["status"])
                columns["error"] = _null_where(columns["error"], fallen)
            yield pa.RecordBatch.from_arrays(list(columns.values()), schema=table.schema)


def _null_where(column: pa.Array, gone: pa.Array) -> pa.Array:
    """The column with null where ``gone``."""
    indices: Sequence[int | None] = [None if is_gone else row for row, is_gone in enumerate(gone.to_pylist())]
    return column.take(pa.array(indices, pa.int64()))
