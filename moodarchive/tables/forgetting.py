"""Rows of images that were taken down lose what tells of them; each table's owner says which columns those are."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from moodarchive.storage.store import Store
from moodarchive.tables.layout import TAKEN_DOWN
from moodarchive.tables.parts import Origin, finished_parts, input_digest, read_part, write_part, write_sidecar
from moodarchive.tables.schemas import TABLES, Table
from moodarchive.tables.sql import PART, connect, view


def parts_holding(store: Store, table: Table, keys: frozenset[str]) -> list[int]:
    """The table's finished parts with a row of any of the keys."""
    parts = finished_parts(store, table)
    if not parts or not keys:
        return []
    with connect(store) as connection:
        view(connection, store, table, parts, f"key, {PART}")
        connection.register("keys", pa.table({"key": pa.array(sorted(keys), pa.string())}))
        query = f"SELECT DISTINCT part FROM {table.name} WHERE key IN (FROM keys) ORDER BY part"
        return [int(part) for (part,) in connection.execute(query).fetchall()]


def forget_rows(
    store: Store, table: Table, keys: frozenset[str], columns: Sequence[str], *, failed_too: bool = False
) -> dict[str, str]:
    """Writes each part that holds a key anew, the columns null in the keys' rows; its sidecar last.

    Returns the sha256 of each such part by ``table/NNNNN``; repeated after a kill, it writes and returns the same. A
    row that was ok becomes ``taken_down``; one that failed has nothing to lose and keeps saying why, unless
    ``failed_too``.
    """
    digests: dict[str, str] = {}
    done = finished_parts(store, table)
    for part in parts_holding(store, table, keys):
        old = done[part]
        origin = Origin(settings=old.settings, inputs=old.inputs, started=time.time())
        rows = _erase_rows(store, table, part, keys, columns, failed_too=failed_too)
        digests[f"{table.name}/{part:05d}"] = write_part(store, table, part, rows, origin).sha256
    return digests


def carry_inputs(store: Store, table: Table, digests: Mapping[str, str]) -> None:
    """Says in the table's sidecars what their inputs are known by since they were written anew.

    Only for a table that loses rows with its inputs: any other is to be found out of date, and made anew.
    """
    rewritten = {name.partition("/")[0] for name in digests}
    runs: dict[str, str | None] = {}
    for sidecar in finished_parts(store, table).values():
        for name in sidecar.inputs:
            folder, _, numbers = name.partition("/")
            if "-" in numbers and folder in rewritten and name not in runs:
                runs[name] = _digest_run(store, name)
        known = {name: sha256 for name, sha256 in runs.items() if sha256} | dict(digests)
        inputs = {name: known.get(name, sha256) for name, sha256 in sidecar.inputs.items()}
        if inputs != sidecar.inputs:
            write_sidecar(store, table, replace(sidecar, inputs=inputs))


def _digest_run(store: Store, name: str) -> str | None:
    table = next(table for table in TABLES if name.startswith(f"{table.name}/"))
    parts = finished_parts(store, table)
    return input_digest(name, {f"{table.name}/{part:05d}": sidecar.sha256 for part, sidecar in parts.items()})


def _erase_rows(
    store: Store, table: Table, part: int, keys: frozenset[str], names: Sequence[str], *, failed_too: bool
) -> Iterator[pa.RecordBatch]:
    values = pa.array(sorted(keys), pa.string())
    for batch in read_part(store, table, part):
        gone = pc.is_in(batch["key"], value_set=values)
        columns = {name: batch[name] for name in batch.schema.names}
        for name in names:
            columns[name] = _null_where(columns[name], gone)
        if "status" in columns:
            fallen = gone if failed_too else pc.and_(gone, pc.equal(columns["status"], "ok"))
            columns["status"] = pc.if_else(fallen, TAKEN_DOWN, columns["status"])
            columns["error"] = _null_where(columns["error"], fallen)
        yield pa.RecordBatch.from_arrays(list(columns.values()), schema=table.schema)


def _null_where(column: pa.Array, gone: pa.Array) -> pa.Array:
    """The column with null where ``gone``."""
    indices: Sequence[int | None] = [None if is_gone else row for row, is_gone in enumerate(gone.to_pylist())]
    return column.take(pa.array(indices, pa.int64()))
