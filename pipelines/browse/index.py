"""The rows of a root as the page filters and sorts them: one narrow DuckDB table, made part by part."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from moodarchive.emotions.taxonomy import EMOTIONS
from moodarchive.storage.store import Store
from moodarchive.tables.parts import Sidecar, finished_parts, part_path, read_part
from moodarchive.tables.schemas import (
    CAPTIONS,
    HUMAN_VERDICTS,
    IMAGES,
    ITEMS,
    REPEATS,
    SAFETY,
    SCORES,
    SELECTION,
    SHARD_INDEX,
    Table,
)
from moodarchive.tables.sql import spill_folder
from pipelines.browse.cache import begin_draft, publish
from pipelines.browse.vectors import write_vectors
from pipelines.browse.words import WordsWriter

DATABASE, KEYS, NUMBERS, WORDS, VECTORS_FOLDER = "rows.duckdb", "keys.npy", "numbers.npy", "words", "vectors"
KEPT, WAITING = "kept", "waiting"
"""What stands for the reason of a row that is in the archive, or that no cut has judged yet."""
_LONGEST_TITLE = 160
_TELL_EVERY = 10.0
_ROWS = """
CREATE TABLE rows (
    id UINTEGER, key UBIGINT, part UINTEGER, place UINTEGER, emotion VARCHAR, context VARCHAR, phrase VARCHAR,
    source VARCHAR, licence VARCHAR, round INTEGER, score FLOAT, reason VARCHAR, "set" VARCHAR, verdict VARCHAR,
    phash UBIGINT, width INTEGER, height INTEGER, stored BOOLEAN, jpg_offset BIGINT, jpg_size BIGINT, title VARCHAR)
"""
# The first condition that holds is where the image ended; the cut's own word, once there is one, is the last.
_OF_PART = f"""
SELECT ($first + row_number() OVER (ORDER BY d.key) - 1)::UINTEGER AS id, ('0x' || d.key)::UBIGINT AS key,
       $part AS part, row_number() OVER (ORDER BY d.key) - 1 AS place,
       coalesce(k.emotion, sc.emotion, d.queries[1].emotion) AS emotion,
       coalesce(k.context, sc.context, d.queries[1].context) AS context,
       coalesce(d.queries[list_position(list_transform(d.queries, lambda q: q.emotion),
                                        coalesce(k.emotion, sc.emotion))], d.queries[1]).phrase AS phrase,
       d.source, coalesce(d.licence, 'not stated') AS licence, d.round,
       CASE WHEN k.emotion <> sc.emotion THEN sc.emotion_scores[list_position($emotions, k.emotion)]
            ELSE sc.score END AS score,
       CASE WHEN k.kept THEN '{KEPT}' WHEN k.key IS NOT NULL THEN k.reason
            WHEN i.status = 'taken_down' THEN 'taken_down' WHEN i.status = 'failed' THEN 'failed_download'
            WHEN f.verdict = 'unsafe' THEN 'unsafe' WHEN f.status = 'failed' THEN 'failed_safety'
            WHEN r.reason IS NOT NULL THEN r.reason WHEN c.status = 'failed' THEN 'failed_caption'
            WHEN sc.status = 'failed' THEN 'failed_score' ELSE '{WAITING}' END AS reason,
       p."set", coalesce(k.verdict, f.verdict) AS verdict, i.phash, i.width, i.height,
       coalesce(i.status = 'ok', false) AS stored, p.jpg_offset, p.jpg_size, left(d.title, {_LONGEST_TITLE}) AS title
FROM items d LEFT JOIN images i USING (key) LEFT JOIN safety f USING (key) LEFT JOIN captions c USING (key)
     LEFT JOIN scores sc USING (key) LEFT JOIN selection k USING (key) LEFT JOIN repeats r USING (key)
     LEFT JOIN packed p USING (key)
ORDER BY id
"""
_READ: tuple[tuple[Table, tuple[str, ...]], ...] = (
    (ITEMS, ("key", "title", "alt_text", "source", "licence", "queries", "round")),
    (IMAGES, ("key", "status", "phash", "width", "height")),
    (SAFETY, ("key", "status", "verdict")),
    (CAPTIONS, ("key", "status", "summary", "stimuli", "assessment")),
    (SCORES, ("key", "status", "score", "emotion", "context", "emotion_scores")),
    (SELECTION, ("key", "kept", "reason", "emotion", "context", "verdict")),
    (REPEATS, ("key", "reason")),
)
_TEXTS = """
SELECT concat_ws(chr(10), d.title, d.alt_text, c.summary, array_to_string(c.stimuli, chr(10)), c.assessment) AS text
FROM items d LEFT JOIN captions c USING (key) ORDER BY d.key
"""
_PACKED = pa.schema([("key", pa.string()), ("set", pa.string()), ("jpg_offset", pa.int64()), ("jpg_size", pa.int64())])


@dataclass(frozen=True, kw_only=True)
class _Built:
    rows: int
    keys: list[np.ndarray]


def ensure_index(store: Store, folder: Path, tell: Callable[[str], None]) -> None:
    """Makes the index in ``folder`` unless it is there; a killed start leaves nothing that counts."""
    if folder.exists():
        return
    draft = begin_draft(folder)
    began = time.monotonic()
    done = {table: finished_parts(store, table) for table, _ in _READ}
    total = sum(sidecar.rows for sidecar in done[ITEMS].values())
    tell(f"reading {total:,} rows for the first time in this state of the archive")
    with duckdb.connect(str(draft / DATABASE), config={"memory_limit": "1GB", "temp_directory": spill_folder()}) as sql:
        sql.execute(_ROWS)
        with WordsWriter(draft / WORDS) as words:
            built = _add_parts(store, sql, words, done, _progress(tell, total))
        _add_verdicts(store, sql)
        sql.execute("CHECKPOINT")
    keys = np.concatenate(built.keys) if built.keys else np.empty(0, np.uint64)
    order = np.argsort(keys, kind="stable")
    np.save(draft / KEYS, keys[order])
    np.save(draft / NUMBERS, order.astype(np.uint32))
    write_vectors(store, draft / VECTORS_FOLDER, _numbers_by(keys[order], order), tell)
    publish(draft, folder)
    tell(f"read in {time.monotonic() - began:.0f} s")


def _numbers_by(
    keys: NDArray[np.uint64], order: NDArray[np.int64]
) -> Callable[[NDArray[np.uint64]], NDArray[np.int64]]:
    """From keys, sorted, and their rows' numbers: keys to numbers, -1 for a key that there is not."""

    def find(wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[places] == wanted, order[places], -1)

    return find


def _progress(tell: Callable[[str], None], total: int) -> Callable[[int], None]:
    told = time.monotonic()

    def note(rows: int) -> None:
        nonlocal told
        if time.monotonic() - told > _TELL_EVERY:
            told = time.monotonic()
            tell(f"  {rows:,} of {total:,} rows")

    return note


def _add_parts(
    store: Store,
    sql: duckdb.DuckDBPyConnection,
    words: WordsWriter,
    done: Mapping[Table, Mapping[int, Sidecar]],
    note: Callable[[int], None],
) -> _Built:
    first, keys = 0, []
    shards = finished_parts(store, SHARD_INDEX)
    for part in done[ITEMS]:
        for table, columns in _READ:
            sql.register(table.name, _read_columns(store, table, part, columns, done[table]))
        sql.register("packed", _read_packed(store, shards.get(part)))
        values = {"first": first, "part": part, "emotions": list(EMOTIONS)}
        rows = sql.sql(_OF_PART, params=values).to_arrow_table()
        sql.register("fresh", rows)
        sql.execute("INSERT INTO rows FROM fresh")
        words.add(rows, sql.sql(_TEXTS).to_arrow_table())
        keys.append(rows["key"].to_numpy().copy())  # a view would keep all columns of the part in memory
        first += rows.num_rows
        note(first)
    return _Built(rows=first, keys=keys)


def _read_columns(
    store: Store, table: Table, part: int, columns: tuple[str, ...], done: Mapping[int, Sidecar]
) -> pa.Table:
    schema = pa.schema([table.schema.field(name) for name in columns])
    if part not in done:
        return schema.empty_table()
    try:
        batches = [
            batch.select(list(columns)) for batch in read_part(store, table, part, columns=columns, batch_rows=65_536)
        ]
    except FileNotFoundError:  # pruning takes the pictures away and may leave the record that they were there
        return schema.empty_table()
    return pa.Table.from_batches([batch.cast(schema) for batch in batches], schema=schema)


def _read_packed(store: Store, sidecar: Sidecar | None) -> pa.Table:
    """Where the part's pictures lie in the shards: key, set, and the span in the set's tar."""
    if sidecar is None:
        return _PACKED.empty_table()
    tables = []
    for name in sidecar.sets:
        index = replace(SHARD_INDEX, name=f"{SHARD_INDEX.name}/{name}")
        columns = ["key", "jpg_offset", "jpg_size"]
        batches = [
            batch.select(columns) for batch in read_part(store, index, sidecar.part, columns=columns, batch_rows=65_536)
        ]
        for batch in batches:
            sets = pa.array([name] * batch.num_rows, pa.string())
            arrays = [batch["key"], sets, batch["jpg_offset"], batch["jpg_size"]]
            tables.append(pa.Table.from_arrays(arrays, schema=_PACKED))
    return pa.concat_tables(tables) if tables else _PACKED.empty_table()


def _add_verdicts(store: Store, sql: duckdb.DuckDBPyConnection) -> None:
    sql.execute("CREATE TABLE human (key UBIGINT, accepted BOOLEAN)")
    for part in finished_parts(store, HUMAN_VERDICTS):
        for batch in read_part(store, HUMAN_VERDICTS, part, columns=["key", "accepted"], batch_rows=65_536):
            sql.register("verdicts", pa.Table.from_batches([batch]))
            sql.execute("INSERT INTO human SELECT ('0x' || key)::UBIGINT, accepted FROM verdicts")


class Index:
    """An open index: a connection for each question, and the way from a key to its row's number."""

    def __init__(self, folder: Path, memory_limit: str = "600MB", threads: int | None = None) -> None:
        config: dict[str, Any] = {"memory_limit": memory_limit, "temp_directory": spill_folder()}
        if threads:
            config["threads"] = threads
        self.folder = folder
        self._sql = duckdb.connect(":memory:", config=config)
        path = str(folder / DATABASE).replace("'", "''")
        self._sql.execute(f"ATTACH '{path}' AS known (READ_ONLY)")
        self._keys = np.load(folder / KEYS, mmap_mode="r")
        self._numbers = np.load(folder / NUMBERS, mmap_mode="r")
        self.rows = len(self._keys)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of the caller's own thread; it sees ``rows``, ``human`` and what was created in memory."""
        return self._sql.cursor()

    def number_of(self, key: str) -> int | None:
        """The row's number; None for a key that the archive has not."""
        word = np.uint64(int(key, 16))
        place = int(np.searchsorted(self._keys, word))
        if place == self.rows or self._keys[place] != word:
            return None
        return int(self._numbers[place])

    def close(self) -> None:
        """Ends the connection."""
        self._sql.close()


def name_key(word: int) -> str:
    """16 hex digits, as in every table."""
    return f"{word:016x}"


def pictured(index: Index, number: int) -> dict[str, Any] | None:
    """Where the row's picture lies: part, place in it, and set with span for one that is in a shard."""
    columns = ("key", "part", "place", "set", "jpg_offset", "jpg_size", "stored")
    names = ", ".join(f'"{name}"' for name in columns)
    row = index.cursor().execute(f"SELECT {names} FROM known.rows WHERE id = ?", [number]).fetchone()
    return None if row is None else dict(zip(columns, row, strict=True))


def part_files(store: Store, table: Table) -> Iterator[str]:
    """The table's Parquet files that are there."""
    files = store.files(table.name)
    yield from (part_path(table, part) for part in finished_parts(store, table) if part_path(table, part) in files)
