"""A stage: what it reads and writes, how a worker is made and what it needs; runs one part without Ray."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol

import pyarrow as pa

from moodarchive.errors import StageError
from moodarchive.running.metrics import collect_figures
from moodarchive.storage.store import Store
from moodarchive.tables.layout import TAKEN_DOWN
from moodarchive.tables.parts import Origin, Sidecar, finished_parts, read_part, read_sidecar, write_part
from moodarchive.tables.schemas import Table

Readers = Mapping[str, Callable[[], Iterator[pa.RecordBatch]]]
"""Table name → a function that starts reading the part's rows of that table from the top, 64 rows a batch."""


class Worker(Protocol):
    """Built once a process, so that it can hold a model; then called once a part.

    It yields record batches of the stage's output table, rows in the input's key order.
    """

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]: ...


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one worker takes (CPUs, GPUs), how many workers there may be, and how many parts one works on at a time.

    A worker with ``parts_at_once`` above 1 is called by so many threads.
    """

    cpus: float
    gpus: float = 0.0
    min_workers: int = 1
    max_workers: int = 1
    parts_at_once: int = 1


Finish = Callable[[Store, Table, int, Iterator[pa.RecordBatch], Origin], Sidecar]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the flow over parts; ``finish`` writes what the worker yields and marks the part done last."""

    name: str
    reads: tuple[Table, ...]
    writes: Table
    make_worker: Callable[[], Worker]
    resources: Resources
    settings: str
    finish: Finish = write_part
    keeps_rows: bool = False
    """Its worker takes over what is well of an earlier version of the part, which it finds among its readers."""


def inputs_of(stage: Stage, store: Store, part: int) -> dict[str, str]:
    """``table/NNNNN`` → sha256 of each input; StageError names the first that is not done."""
    inputs = {}
    for table in stage.reads:
        sidecar = read_sidecar(store, table, part)
        if sidecar is None:
            raise StageError(f"{stage.name}: {table.name}/{part:05d} is not done yet")
        inputs[f"{table.name}/{part:05d}"] = sidecar.sha256
    return inputs


def is_current(stage: Stage, sidecar: Sidecar | None, inputs: Mapping[str, str]) -> bool:
    """True when the part was made from these inputs with these settings."""
    return sidecar is not None and sidecar.settings == stage.settings and dict(sidecar.inputs) == dict(inputs)


def retry_path(table: Table, part: int) -> str:
    """The mark that the part's failed rows are to be tried again; it goes when they have been."""
    return f"{table.name}/{part:05d}.retry"


def marked_parts(store: Store, table: Table) -> set[int]:
    """The parts that bear the mark."""
    names = [name.removesuffix(".retry") for name in store.names(table.name) if name.endswith(".retry")]
    return {int(name) for name in names if name.isdigit()}


def mark_failed_rows(store: Store, table: Table) -> dict[int, int]:
    """Marks every part that has failed rows; returns how many each has. What was taken down has not failed."""
    counts = {
        part: sum(count for kind, count in sidecar.failures.items() if kind != TAKEN_DOWN)
        for part, sidecar in finished_parts(store, table).items()
    }
    failed = {part: count for part, count in counts.items() if count}
    for part in failed:
        store.write_bytes(retry_path(table, part), b"")
    return failed


def run_part(stage: Stage, store: Store, worker: Worker, part: int) -> Sidecar:
    """Brings one part up to date; a current one is left alone, unless its failed rows are to be tried again."""
    inputs = inputs_of(stage, store, part)
    done = read_sidecar(store, stage.writes, part)
    is_marked = stage.keeps_rows and store.exists(retry_path(stage.writes, part))
    readers = {table.name: _reader(store, table, part) for table in stage.reads}
    if done is not None and is_current(stage, done, inputs):
        if not is_marked:
            return done
        readers[stage.writes.name] = _reader(store, stage.writes, part)
    with collect_figures() as measured:
        origin = Origin(settings=stage.settings, inputs=inputs, started=time.time(), measured=measured)
        sidecar = stage.finish(store, stage.writes, part, worker(part, readers), origin)
    if is_marked:
        store.remove(retry_path(stage.writes, part))
    return sidecar


def _reader(store: Store, table: Table, part: int) -> Callable[[], Iterator[pa.RecordBatch]]:
    return lambda: read_part(store, table, part)


def join_rows(readers: Readers, *tables: str) -> Iterator[tuple[list[dict[str, object]], ...]]:
    """The tables' rows side by side, 64 at a time: element i of every list has the same key; StageError when not."""
    for batches in join_batches(readers, *tables):
        yield tuple(batch.to_pylist() for batch in batches)


def join_batches(readers: Readers, *tables: str) -> Iterator[tuple[pa.RecordBatch, ...]]:
    """The tables' record batches side by side: row i of every batch has the same key; StageError when not.

    Tables of one part hold the same keys in the same order, so no sorting or hashing is needed.
    """
    for batches in zip_longest(*(readers[name]() for name in tables)):
        # a table that ended before the others gives None
        keys = [None if batch is None else batch["key"] for batch in batches]
        if any(some is None or not some.equals(keys[0]) for some in keys):
            raise StageError(f"the keys of {' and '.join(tables)} differ; remedy: moodarchive verify names the part")
        yield batches
