"""The table of an evaluation's folder: one row an edited picture, with its source, its mask and what was asked."""

import csv
import hashlib
import io
import math
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath

from moodarchive.emotions.taxonomy import TARGETS
from moodarchive.errors import EditError
from moodarchive.storage.store import Store
from moodarchive.tables.parquet import read_table

TABLE_CSV, TABLE_PARQUET = "pairs.csv", "pairs.parquet"
SOURCES = "sources"
MOST_ROWS, LONGEST_VALUE = 1_000_000, 10_000


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An edited picture and its source, by paths below the evaluation's folder.

    ``mask`` is white where the edit was allowed; empty where there was none. ``prompt`` is what the edit was told to
    show; empty where it was told the emotion only. ``marked`` is white where people say that the source's emotion comes
    from; empty where nobody was asked. ``truth`` is the edit as it ought to be, where that is known; ``seconds``, a
    number, is what the edit took. Each ``edited`` stands once in a table.
    """

    source: str
    edited: str
    emotion: str
    mask: str = ""
    category: str = "all"
    prompt: str = ""
    method: str = "edit"
    marked: str = ""
    truth: str = ""
    seconds: str = ""


COLUMNS = tuple(field.name for field in fields(Pair))
_NEEDED = ("source", "edited", "emotion")
_Row = Mapping[str, str | None]


def read_pairs(folder: Path) -> list[Pair]:
    """Every row in its order; EditError names the line and the remedy."""
    tables = [path for name in (TABLE_CSV, TABLE_PARQUET) if (path := folder / name).is_file()]
    if len(tables) != 1:
        what = f"holds both {TABLE_CSV} and {TABLE_PARQUET}" if tables else f"holds no {TABLE_CSV} or {TABLE_PARQUET}"
        raise EditError(f"{folder} {what}; remedy: one table with the columns {', '.join(COLUMNS)}")
    try:
        rows = _csv_rows(tables[0]) if tables[0].suffix == ".csv" else _parquet_rows(tables[0])
        pairs = [_pair(tables[0], line, row) for line, row in enumerate(rows, start=2)]
    except (OSError, ValueError, csv.Error) as error:  # Arrow's errors are ValueErrors
        raise EditError(f"{tables[0]} cannot be read: {str(error)[:200]}") from None
    if not pairs:
        raise EditError(f"{tables[0]} has no rows; remedy: one row an edited picture")
    lines: dict[str, int] = {}
    for line, pair in enumerate(pairs, start=2):
        if (earlier := lines.setdefault(pair.edited, line)) != line:
            raise EditError(f"{tables[0]}, line {line}: {pair.edited} stands in line {earlier} already")
    return pairs


def write_pairs(folder: Path, pairs: Iterable[Pair]) -> None:
    """Writes pairs.csv whole, in the order given; equal pairs give equal bytes."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(pair) for pair in pairs)
    Store(str(folder)).write_bytes(TABLE_CSV, text.getvalue().encode())


def add_pairs(folder: Path, pairs: Iterable[Pair]) -> None:
    """Adds rows to the folder's table, which becomes pairs.csv; a row replaces one of the same edited picture."""
    known = {}
    if (folder / TABLE_CSV).is_file() or (folder / TABLE_PARQUET).is_file():
        known = {pair.edited: pair for pair in read_pairs(folder)}
    write_pairs(folder, (known | {pair.edited: pair for pair in pairs}).values())
    (folder / TABLE_PARQUET).unlink(missing_ok=True)


def adopt_source(folder: Path, source: Path) -> str:
    """Copies a picture from outside to sources/, named by its digest; returns its path below the folder."""
    with source.open("rb") as file:
        name = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    relative = f"{SOURCES}/{name}{source.suffix.lower()}"
    if not (folder / relative).exists():
        with source.open("rb") as file, Store(str(folder)).draft(relative) as copy:
            shutil.copyfileobj(file, copy)
    return relative


def _csv_rows(path: Path) -> list[_Row]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        _refuse_columns(path, reader.fieldnames or ())
        rows: list[_Row] = []
        for row in reader:
            if len(rows) == MOST_ROWS:
                raise EditError(f"{path} has more than {MOST_ROWS:,} rows; remedy: several folders")
            if None in row:
                raise EditError(f"{path}, line {reader.line_num}: more values than columns; remedy: quote commas")
            rows.append(row)
        return rows


def _parquet_rows(path: Path) -> list[_Row]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        _refuse_columns(path, file.schema_arrow.names)
        if file.metadata.num_rows > MOST_ROWS:
            raise EditError(f"{path} has more than {MOST_ROWS:,} rows; remedy: several folders")
        names = [name for name in COLUMNS if name in file.schema_arrow.names]
    rows = read_table(str(path), names).to_pylist()
    return [{name: None if value is None else str(value) for name, value in row.items()} for row in rows]


def _refuse_columns(path: Path, names: Iterable[str]) -> None:
    if missing := [name for name in _NEEDED if name not in set(names)]:
        raise EditError(f"{path} lacks {', '.join(missing)}; legal columns: {', '.join(COLUMNS)}")


def _pair(path: Path, line: int, row: _Row) -> Pair:
    given = {name: value for name in COLUMNS if (value := (row.get(name) or "").strip())}
    where = f"{path}, line {line}"
    if missing := [name for name in _NEEDED if name not in given]:
        raise EditError(f"{where}: {', '.join(missing)} is empty")
    if long := [name for name, value in given.items() if len(value) > LONGEST_VALUE]:
        raise EditError(f"{where}: {', '.join(long)} has more than {LONGEST_VALUE:,} characters")
    pair = Pair(**given)
    if pair.emotion not in TARGETS:
        raise EditError(f"{where}: no emotion is called {pair.emotion[:40]!r}; legal: {', '.join(TARGETS)}")
    if pair.seconds and not _is_duration(pair.seconds):
        raise EditError(f"{where}: seconds = {pair.seconds[:40]!r} is no number of 0 or more")
    for name in (pair.source, pair.edited, pair.mask, pair.marked, pair.truth):
        parts = PurePosixPath(name).parts
        if name and ("\\" in name or "\0" in name or ".." in parts or PurePosixPath(name).is_absolute()):
            raise EditError(f"{where}: {name[:120]!r} leads out of the folder; remedy: paths below {path.parent}")
    return pair


def _is_duration(text: str) -> bool:
    try:
        return 0 <= float(text) < math.inf
    except ValueError:
        return False
