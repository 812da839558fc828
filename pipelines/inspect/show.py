"""One image's history, from the query that found it to the shard that holds it."""

import re
from collections.abc import Iterator
from typing import Any

import pyarrow.compute as pc
from rich.console import Console
from rich.markup import escape

from moodarchive.errors import UnknownKeyError
from moodarchive.storage.store import Store
from moodarchive.tables.parquet import read_table as read_parquet
from moodarchive.tables.parts import finished_parts, read_part, read_sidecar
from moodarchive.tables.schemas import (
    CAPTIONS,
    IMAGES,
    ITEMS,
    REDISCOVERED,
    SAFETY,
    SCORES,
    SELECTION,
    SHARD_INDEX,
    Table,
)
from pipelines.runner.settings_record import require_recorded_settings

_FOLLOWED = (IMAGES, SAFETY, CAPTIONS, SCORES, SELECTION)
_LEFT_OUT = ("bytes", "key", "emotion_scores", "emotion_phrases")


def show_image(store: Store, key: str, console: Console) -> None:
    """Prints what every table says of the key; UnknownKeyError when none has it."""
    require_recorded_settings(store)
    for title, row in collect_history(store, key):
        if isinstance(row, str):
            console.print(f"[bold]{title}[/]: {row}", highlight=False)
        else:
            _print_row(console, title, row)


def collect_history(store: Store, key: str, part: int | None = None) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """What every table says of the key, in the order of the flow: a title with a row, or with a word on its absence.

    ``part`` spares the search for it. UnknownKeyError when no table has the key.
    """
    part, item = _item_row(store, key, part)
    yield f"item part {part:05d}", item
    for number in finished_parts(store, REDISCOVERED):
        if again := _row(store, REDISCOVERED, number, key, ["queries"]):
            yield f"found again in round {number}", again
    for table in _FOLLOWED:
        columns = [name for name in table.schema.names if name not in _LEFT_OUT]
        if read_sidecar(store, table, part) is not None:
            yield table.name, _row(store, table, part, key, columns) or {"": "no such row"}
        else:
            yield table.name, "not done yet"
    sidecar = read_sidecar(store, SHARD_INDEX, part)
    holding = [
        path for path in (sidecar.files if sidecar else ()) if path.endswith(".parquet") and _has(store, path, key)
    ]
    yield "shard", holding[0].replace(".parquet", ".tar") if holding else "in none"


def _item_row(store: Store, key: str, part: int | None) -> tuple[int, dict[str, Any]]:
    if not re.fullmatch("[0-9a-f]{16}", key):
        raise UnknownKeyError(f"{key!r} is no key: keys are 16 hex digits; remedy: take one from the report or a shard")
    for number in finished_parts(store, ITEMS) if part is None else (part,):
        if row := _row(store, ITEMS, number, key, ITEMS.schema.names):
            return number, row
    raise UnknownKeyError(f"no image of {store.root} has the key {key}; remedy: take one from the report or a shard")


def _row(store: Store, table: Table, part: int, key: str, columns: list[str]) -> dict[str, Any] | None:
    for batch in read_part(store, table, part, columns=list({"key", *columns}), batch_rows=10_000):
        for row in batch.filter(pc.equal(batch["key"], key)).select(columns).to_pylist():
            return dict(row)
    return None


def _has(store: Store, path: str, key: str) -> bool:
    with store.open_read(path) as file:
        return key in read_parquet(file, columns=["key"])["key"].to_pylist()


def _print_row(console: Console, title: str, row: dict[str, Any]) -> None:
    console.print(f"[bold]{title}[/]", highlight=False)
    for name, value in row.items():
        if value is not None and name != "key":
            console.print(f"  {name}: {escape(printable(value))}", highlight=False, soft_wrap=True)


def printable(value: Any) -> str:
    """A value in one line, without control characters."""
    if isinstance(value, list):
        return "; ".join(printable(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    # control characters of a hostile title must not reach the terminal
    return "".join(char if char.isprintable() else "?" for char in str(value))
