"""A takedown list as people write it: CSV, TSV, Parquet or plain lines that name images, addresses or creators."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from moodarchive.archive.takedown import Identifiers, creator_digest, url_digest
from moodarchive.errors import TakedownListError
from moodarchive.tables.parquet import read_table as read_parquet

_KINDS = {
    "key": "keys", "keys": "keys", "__key__": "keys", "image_key": "keys",
    "url": "urls", "image_url": "urls", "landing_url": "urls", "page": "urls", "link": "urls", "address": "urls",
    "sha256": "hashes", "hash": "hashes", "content_hash": "hashes",
    "creator": "creators", "creator_url": "creators", "author": "creators", "photographer": "creators",
}  # fmt: skip
"""Column name, or what stands before the colon of a line → what it names."""
_LEGAL = "url, key, sha256, creator"
_NORMAL: dict[str, tuple[str, Callable[[str], str]]] = {
    "keys": (r"[0-9a-fA-F]{16}", str.lower),
    "hashes": (r"[0-9a-fA-F]{64}", str.lower),
    "urls": (r"https?://[^\s/]+\S*", url_digest),
    "creators": (r".*\S.*", creator_digest),
}
_SAYS = {
    "keys": "a key has 16 hex digits",
    "hashes": "a hash is a sha256 of 64 hex digits",
    "urls": "an address begins with http:// or https://",
    "creators": "a creator has a name or a page",
}


@dataclass(frozen=True)
class _Entry:
    where: str
    kind: str
    text: str


def read_list(path: str) -> Identifiers:
    """What the list names. TakedownListError names the file, the line and what is legal there.

    A column is told by its name; lines, and a single column of another name, by what they look like. A creator must be
    told as such (``creator: NAME``): a mistyped hash must not pass for a person.
    """
    found: dict[str, set[str]] = {kind: set() for kind in _NORMAL}
    for entry in _entries(Path(path)):
        pattern, normal = _NORMAL[entry.kind]
        if not re.fullmatch(pattern, entry.text):
            raise TakedownListError(f"{path}, {entry.where}: {entry.text!r}: {_SAYS[entry.kind]}")
        found[entry.kind].add(normal(entry.text))
    named = Identifiers(**{kind: frozenset(values) for kind, values in found.items()})
    if not named:
        raise TakedownListError(f"{path} names nothing; remedy: one {_LEGAL} a line, or a table with such columns")
    return named


def _entries(path: Path) -> Iterator[_Entry]:
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            yield from _parquet_entries(path)
            return
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TakedownListError(f"the list {path} cannot be read: {error}") from None
    if path.suffix.lower() in (".csv", ".tsv"):
        yield from _csv_entries(path, text, "\t" if path.suffix.lower() == ".tsv" else ",")
    else:
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                yield _told_by_look(path, f"line {number}", line.strip())


def _csv_entries(path: Path, text: str, delimiter: str) -> Iterator[_Entry]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    head = next(rows, [])
    if len(head) == 1 and _kind(head[0]) is None:
        yield from (_told_by_look(path, "line 1", head[0].strip()) for _ in head if head[0].strip())
        for row in rows:
            yield from (_told_by_look(path, f"line {rows.line_num}", cell.strip()) for cell in row if cell.strip())
        return
    columns = _columns(path, head)
    for row in rows:
        for index, kind in columns:
            if index < len(row) and row[index].strip():
                yield _Entry(f"line {rows.line_num}", kind, row[index].strip())


def _parquet_entries(path: Path) -> Iterator[_Entry]:
    import pyarrow as pa

    try:
        table = read_parquet(path)
    except pa.ArrowInvalid as error:
        raise TakedownListError(f"the list {path} is no Parquet file: {error}") from None
    for index, kind in _columns(path, table.column_names):
        for number, value in enumerate(table.column(index).to_pylist(), 1):
            if value is not None and str(value).strip():
                yield _Entry(f"row {number}", kind, str(value).strip())


def _columns(path: Path, head: Iterable[str]) -> list[tuple[int, str]]:
    """(index, kind) of each column that names images; others, such as remarks, are passed over."""
    names = list(head)
    found = [(index, kind) for index, name in enumerate(names) if (kind := _kind(name))]
    if not found:
        raise TakedownListError(f"{path}: no column that names images among {', '.join(names)}; legal: {_LEGAL}")
    return found


def _kind(name: str) -> str | None:
    return _KINDS.get(name.strip().lower().replace(" ", "_"))


def _told_by_look(path: Path, where: str, text: str) -> _Entry:
    before, colon, after = text.partition(":")
    if colon and (kind := _kind(before)):
        return _Entry(where, kind, after.strip())
    for kind in ("keys", "hashes", "urls"):
        if re.fullmatch(_NORMAL[kind][0], text):
            return _Entry(where, kind, text)
    raise TakedownListError(
        f"{path}, {where}: {text!r} is no key (16 hex digits), sha256 (64) or address (http…); remedy: mend it, or "
        "write creator: NAME"
    )
