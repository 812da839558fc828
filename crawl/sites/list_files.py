"""Reads lists of images as people have them: CSV, TSV, Parquet, WebDataset tars; what of them is no row is counted."""

import csv
import json
import logging
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from crawl.images.local_folder import SCHEME
from moodarchive.errors import ConfigError
from moodarchive.tables.keys import digest

LOGGER = logging.getLogger("moodarchive.urls")
PICTURES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".png", ".apng", ".webp", ".gif", ".tif", ".tiff",
     ".bmp", ".dib", ".avif")
)  # fmt: skip
LISTS = (".parquet", ".csv", ".tsv", ".tar")
MOST_MEMBER_BYTES = 1 << 20
_BATCH_ROWS = 20_000
_SHOWN = 3
_DELIMITERS = (",", ";", "\t", "|")
_NO_DELIMITER = "\x1f"
"""Which no text holds: every line is one value."""


@dataclass
class LeftOut:
    """What of a list is no row, by reason; a few of each are named."""

    path: Path
    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, why: str, which: str, count: int = 1) -> None:
        """``which`` names the line, the member or the file."""
        self.counts[why] = self.counts.get(why, 0) + count
        if len(named := self.examples.setdefault(why, [])) < _SHOWN:
            named.append(which)

    def report(self) -> None:
        """One warning a reason."""
        for why, count in self.counts.items():
            LOGGER.warning("%s: %d left out: %s (%s)", self.path, count, why, ", ".join(self.examples[why]))


def refuse(path: Path, why: str, remedy: str) -> ConfigError:
    """The error for a list that cannot be read."""
    return ConfigError(f"{path} {why}; remedy: {remedy}")


def parquet_files(path: Path) -> list[Path]:
    """The file, or the parts of a folder; ConfigError names the one that cannot be read."""
    hidden = ("_", ".")
    parts = [part for part in sorted(path.rglob("*")) if part.suffix.lower() == ".parquet" and part.is_file()]
    files = [part for part in parts if not part.name.startswith(hidden)] if path.is_dir() else [path]
    for file in files:
        try:
            pq.read_schema(file)
        except (pa.ArrowException, OSError) as error:
            raise refuse(file, f"is no whole Parquet file ({str(error)[:120]})", "copy or write it anew") from None
    return files


def read_csv(path: Path, left_out: LeftOut) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names of the columns and (line, values) of each row, by RFC 4180; ConfigError for what is no UTF-8.

    The delimiter is the heading's: comma, semicolon, tab or bar; of a single column every line is one value. A row of
    another length than the heading is left out. A quote may come at any line: nothing is guessed from the first ones.
    """
    _refuse_other_encodings(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        start = 1
        if first.lower().startswith("sep="):  # what spreadsheets write before the heading
            first, start = file.readline(), 2
    delimiter = _delimiter_of(first, path)
    names = next(csv.reader([first], delimiter=delimiter or _NO_DELIMITER), [])
    return [name.strip() for name in names], _csv_rows(path, start, delimiter, len(names), left_out)


def _csv_rows(
    path: Path, skipped: int, delimiter: str, columns: int, left_out: LeftOut
) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for _ in range(skipped):
            file.readline()
        rows = csv.reader(file, delimiter=delimiter or _NO_DELIMITER, strict=True)
        while True:
            line = rows.line_num + skipped + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                left_out.add(f"not quoted as CSV is ({error})", f"line {line}")
                continue
            if not any(value.strip() for value in row):
                continue
            if len(row) == columns:
                yield line, row
            else:
                left_out.add(f"not the {columns} values that the heading has", f"line {line}: {len(row)}")


def _delimiter_of(heading: str, path: Path) -> str:
    if path.suffix.lower() == ".tsv" and "\t" in heading:
        return "\t"
    counts = {delimiter: heading.count(delimiter) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda delimiter: counts[delimiter])
    return best if counts[best] else ""


def _refuse_other_encodings(path: Path) -> None:
    with path.open("rb") as file:
        number = 0
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = line[error.start]
                raise refuse(
                    path, f"is not UTF-8 (line {number} holds the byte {byte:#04x})", "save it as UTF-8"
                ) from None


def batches_of(names: Sequence[str], rows: Iterator[tuple[int, list[str]]]) -> Iterator[pa.Table]:
    """Rows as tables of texts, with the line as ``line``."""
    while some := list(islice(rows, _BATCH_ROWS)):
        columns = {name: [row[index] for _, row in some] for index, name in reversed(list(enumerate(names)))}
        yield pa.table({**columns, "line": [f"line {line}" for line, _ in some]})


def read_samples(path: Path, left_out: LeftOut) -> Iterator[dict[str, Any]]:
    """The JSON of each sample of a WebDataset tar; a text beside it is its description. ConfigError when cut off."""
    samples: dict[str, dict[str, Any]] = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                name, _, kind = member.name.rpartition(".")
                if not member.isfile() or kind.lower() not in ("json", "txt"):
                    continue
                if member.size > MOST_MEMBER_BYTES:
                    left_out.add(f"members of more than {MOST_MEMBER_BYTES:,} bytes", ascii(member.name))
                    continue
                file = tar.extractfile(member)
                content = file.read() if file else b""
                if kind.lower() == "txt":
                    samples.setdefault(name, {}).setdefault("text", content.decode("utf-8-sig", "replace").strip())
                elif (values := _json_object(content)) is None:
                    left_out.add("members that are no JSON object", ascii(member.name))
                else:
                    samples.setdefault(name, {}).update(values)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise refuse(path, f"is no whole tar ({error})", "copy or write it anew") from None
    for name, sample in samples.items():
        yield {**sample, "line": ascii(name)}


def _json_object(content: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(content.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def text_of(value: Any) -> str | None:
    """A value of a JSON object as a text that a table can hold; None for none."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode(errors="replace").decode()


def read_folder(folder: Path, left_out: LeftOut) -> Iterator[Mapping[str, str]]:
    """A row for each picture, by its suffix or, without one that is known, its first bytes."""
    for path in sorted(folder.rglob("*"), key=os.fsencode):
        if not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() not in PICTURES and not _starts_as_picture(path):
            left_out.add("files that are no pictures", ascii(name))
            continue
        inside = quote(os.fsencode(name))
        title = os.fsencode(path.stem).decode(errors="ignore").replace("-", " ").replace("_", " ")
        yield {
            "url": f"{SCHEME}:{inside}",
            "source_id": digest(name if _is_utf8(name) else inside),
            "title": " ".join(title.split()),
        }


def _is_utf8(name: str) -> bool:
    return name.encode(errors="replace").decode() == name


def _starts_as_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    starts = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
    return head.startswith(starts) or head[8:12] == b"WEBP" or head[4:12] in (b"ftypavif", b"ftypavis")
