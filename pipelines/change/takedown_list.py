"""A takedown list as people write it: CSV, TSV, Parquet or plain lines that name images, addresses or creators."""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path

from moodarchive.archive.takedown import Identifiers, creator_digest, url_digest
from moodarchive.errors import TakedownListError
from moodarchive.tables.keys import image_key
from moodarchive.tables.parquet import read_table as read_parquet

_KINDS = {
    "key": "keys", "keys": "keys", "__key__": "keys", "image_key": "keys",
    "source_and_id": "ids",
    "url": "urls", "image_url": "urls", "landing_url": "urls", "page": "urls", "link": "urls", "address": "urls",
    "sha256": "hashes", "hash": "hashes", "content_hash": "hashes",
    "creator": "creators", "creator_url": "creators", "author": "creators", "photographer": "creators",
}  # fmt: skip
"""Column name, or what stands before the colon of a line → what it names."""
_LEGAL = "url, key, source_and_id, sha256, creator"
_ADDRESS = r"(?i:https?)://[^\s/?#]+(?:(?!\s+(?i:https?)://).)*"
_NO_SCHEME = r"(?:[\w-]+\.)+(?!\d+[/:])[\w-]{2,}(?::\d+)?/.*"
"""``www.a.example/1.jpg``: a host with a dot in it and a path; a file's name alone is none."""
_NORMAL: dict[str, tuple[str, Callable[[str], str]]] = {
    "keys": (r"[0-9a-fA-F]{16}", str.lower),
    "ids": (r"[^\s/]+/.*\S", lambda text: image_key(*text.split("/", 1))),
    "hashes": (r"[0-9a-fA-F]{64}", str.lower),
    "urls": (_ADDRESS, url_digest),
    "creators": (r".*\S.*", creator_digest),
}
_SAYS = {
    "keys": "a key has 16 hex digits",
    "ids": "a source_and_id is SOURCE/ID: a site's or a catalogue's name, and its own name of the image",
    "hashes": "a hash is a sha256 of 64 hex digits",
    "urls": "an address begins with http:// or https://, and stands alone",
    "creators": "a creator has a name or a page",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SEPARATORS = (",", ";", "\t", "|")
_QUOTES = {"<": ">", '"': '"', "'": "'", "“": "”", "„": "“", "«": "»"}


@dataclass(frozen=True)
class _Entry:
    location: str
    kind: str
    text: str


@dataclass(frozen=True)
class ListLine:
    """One line or row of a list: where it stands, what it says, and what that names."""

    location: str
    text: str
    identifiers: Identifiers


@dataclass(frozen=True)
class TakedownList:
    """A list, line by line."""

    lines: tuple[ListLine, ...]

    @property
    def identifiers(self) -> Identifiers:
        """All that the list names."""
        return reduce(or_, (line.identifiers for line in self.lines), Identifiers())

    def lines_within(self, unmet: Identifiers) -> list[ListLine]:
        """The lines of which nothing but what is ``unmet`` is left."""
        return [line for line in self.lines if not line.identifiers - unmet]


def read_list(path: str) -> TakedownList:
    """What the list names. TakedownListError names the file, the line and what is legal there.

    A column is known by its name; lines, and a single column of another name, by what they look like. A creator must be
    named as such (``creator: NAME``): a mistyped hash must not pass for a person.
    """
    lines: dict[str, tuple[list[str], dict[str, set[str]]]] = {}
    for entry in _entries(Path(path)):
        pattern, normalise = _NORMAL[entry.kind]
        if _CONTROL.search(entry.text):
            raise TakedownListError(
                f"{path}, {entry.location}: {entry.text!r} holds a control character; remedy: remove it"
            )
        text = entry.text if entry.kind == "creators" else _without_quotes(entry.text)
        if entry.kind == "urls" and re.fullmatch(_NO_SCHEME, text):
            text = f"https://{text}"
        if not re.fullmatch(pattern, text):
            raise TakedownListError(f"{path}, {entry.location}: {entry.text!r}: {_SAYS[entry.kind]}")
        texts, named = lines.setdefault(entry.location, ([], {kind: set() for kind in _NORMAL if kind != "ids"}))
        texts.append(entry.text)
        named["keys" if entry.kind == "ids" else entry.kind].add(normalise(text))
    if not lines:
        raise TakedownListError(f"{path} names nothing; remedy: one {_LEGAL} a line, or a table with such columns")
    return TakedownList(
        tuple(
            ListLine(location, ", ".join(texts), Identifiers(**{kind: frozenset(of) for kind, of in named.items()}))
            for location, (texts, named) in lines.items()
        )
    )


def _entries(path: Path) -> Iterator[_Entry]:
    suffix = path.suffix.lower()
    try:
        if suffix in (".parquet", ".pq"):
            yield from _parquet_entries(path)
            return
        text = _decode(path, path.read_bytes())
    except OSError as error:
        raise TakedownListError(f"the list {path} cannot be read: {error}") from None
    if suffix in (".csv", ".tsv"):
        yield from _csv_entries(path, text, "\t" if suffix == ".tsv" else ",")
    else:
        yield from _line_entries(path, text)


def _decode(path: Path, content: bytes) -> str:
    """UTF-8, or what a byte order mark says."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TakedownListError(
            f"{path}, line {line}: the byte 0x{content[error.start]:02x} is no UTF-8, so names cannot be read; "
            'remedy: save the list as UTF-8 (a spreadsheet calls it "CSV UTF-8")'
        ) from None


def _line_entries(path: Path, text: str) -> Iterator[_Entry]:
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield _classify(path, f"line {number}", line.strip())


def _csv_entries(path: Path, text: str, separator: str) -> Iterator[_Entry]:
    """By the columns' names; line by line where the first line is no heading but names something itself."""
    skipped = 0
    if mark := re.match(r'"?sep=(.)"?[^\S\r\n]*(\r\n|\r|\n|$)', text):  # Excel's own line
        separator, skipped, text = mark[1], 1, text[mark.end() :]
    else:
        first = re.split(r"[\r\n]", text, maxsplit=1)[0]
        fitting = [
            sign for sign in (separator, *_SEPARATORS) if any(map(_kind, next(csv.reader([first], delimiter=sign), [])))
        ]
        if not fitting and (_looks_like_an_entry(first) or not re.search(r"[,;\t|]", first)):
            yield from _line_entries(path, text)
            return
        separator = fitting[0] if fitting else separator
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        columns = _columns(path, next(rows, []))
        for row in rows:
            for index, kind in columns:
                if index < len(row) and row[index].strip():
                    yield _Entry(f"line {rows.line_num + skipped}", kind, row[index].strip())
    except csv.Error as error:
        raise TakedownListError(f"{path}, line {rows.line_num + skipped}: no CSV: {error}") from None


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
    columns = [(index, kind) for index, name in enumerate(names) if (kind := _kind(name))]
    if not columns:
        raise TakedownListError(f"{path}: no column that names images among {', '.join(names)}; legal: {_LEGAL}")
    return columns


def _kind(name: str) -> str | None:
    return _KINDS.get(name.strip().lower().replace(" ", "_"))


def _without_quotes(text: str) -> str:
    """Without what a mail or a spreadsheet puts around an address."""
    return text[1:-1].strip() if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] else text


def _looks_like_an_entry(text: str) -> bool:
    text = _without_quotes(text.strip())
    before, colon, _ = text.partition(":")
    patterns = [*(_NORMAL[kind][0] for kind in ("keys", "hashes", "urls")), _NO_SCHEME]
    return bool(colon and _kind(before)) or any(re.fullmatch(pattern, text) for pattern in patterns)


def _classify(path: Path, location: str, text: str) -> _Entry:
    """What a line without a heading names, by its look."""
    before, colon, after = text.partition(":")
    if colon and (kind := _kind(before)):
        return _Entry(location, kind, after.strip())
    bare = _without_quotes(text)
    for kind in ("keys", "hashes"):
        if re.fullmatch(_NORMAL[kind][0], bare):
            return _Entry(location, kind, bare)
    if re.match("(?i:https?)://", bare) or re.fullmatch(_NO_SCHEME, bare):
        return _Entry(location, "urls", bare)
    raise TakedownListError(
        f"{path}, {location}: {text!r} is no key (16 hex digits), sha256 (64) or address (http…); remedy: mend it, or "
        "write creator: NAME"
    )
