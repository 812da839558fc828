"""Lists as CSV and TSV: by RFC 4180, as they stream in; a line that is none costs that line, not those after it."""

import codecs
import csv
import io
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crawl.catalogues.files import LOGGER, LeftOut, ListFile, find_files, open_decompressed, refuse
from crawl.catalogues.formats.columns import Chunk, Plan, Reading, fold
from crawl.catalogues.presets import PRESETS, Companion, Format, Preset
from moodarchive.storage.remote import explain_refusals, open_file_system

BATCH_ROWS = 20_000
MOST_LINE = 1 << 20
"""Characters."""
MOST_CELL = 1 << 17
"""Characters."""
DAMAGE = (EOFError, OSError, zlib.error)
"""What a compressed file raises that is cut off or damaged."""
_MOST_REREAD = 1000
"""How often what a stray quotation mark swallowed is read again; each time may cost 128 KiB."""
_HEAD = 1 << 20
_DELIMITERS = (",", ";", "\t", "|")
_NO_DELIMITER = "\x1f"
"""Which no text holds: every line is one value."""
_NUMBERED = "#"
"""Before the number of a column, in lists without a heading."""


def read_chunks(reading: Reading) -> Iterator[tuple[Plan, Chunk]]:
    """The list's chunks; ConfigError for what is not UTF-8, and for a compressed file that is not whole.

    The delimiter is the preset's or the heading's: comma, semicolon, tab or bar; of a single column every line is one
    value. A row of another length than the heading is left out. A quote may come at any line: nothing is guessed from
    the first ones.
    """
    file, compression = reading.file, reading.compression
    try:
        with open_decompressed(file, compression) as raw:
            opened = _open(reading, raw)
            plan = reading.plan(opened.written)
            at = dict(reversed([(fold(name), index) for index, name in enumerate(opened.written)]))
            for positions, numbers, rows in _batches(opened.records(reading.left_out), reading.chosen):
                values = {key: pa.array([row[at[key]] for row in rows], pa.string()) for key in plan.keys}
                yield plan, Chunk(positions, values, [f"line {number}" for number in numbers].__getitem__)
    except DAMAGE as error:
        if not compression:
            raise
        raise refuse_damaged(file, compression, error) from None


def read_companion(file: ListFile, companion: Companion, ids: pa.Array) -> pa.Array:
    """For each id the words that the files beside the list have for it, in their alphabet's order; null for none.

    Rows of other ids are passed over as they stream in. ConfigError for a companion without its columns.
    """
    fs, path = open_file_system(file.path)
    known, words = [], []
    with explain_refusals(file.path, companion.pattern):
        others = sorted(fs.glob(f"{path.rpartition('/')[0]}/{companion.pattern}"))
    if not others:
        LOGGER.warning("%s: there is no %s beside it, and its words do not count", file.path, companion.pattern)
    for other in others:
        one = ListFile(other.rpartition("/")[2], other if "://" not in file.path else fs.unstrip_protocol(other), 0, "")
        preset = Preset("companion", PRESETS["own"].policy, {}, required=(), format=Format(kind="tsv", delimiter="\t"))
        columns = {"source_id": companion.key, "searched": companion.value}
        reading = Reading(one, preset, columns, ("source_id", "searched"), LeftOut(other))
        for _, chunk in read_chunks(reading):
            at = pc.index_in(chunk.columns[fold(companion.key)], ids)
            here = pc.is_valid(at)
            known.append(at.filter(here))
            words.append(chunk.columns[fold(companion.value)].filter(here))
        reading.left_out.report()
    pairs = pa.table({"at": pa.chunked_array(known, pa.int32()), "word": pa.chunked_array(words, pa.string())})
    pairs = pairs.sort_by([("at", "ascending"), ("word", "ascending")])
    found = pairs.group_by("at", use_threads=False).aggregate([("word", "list")]).combine_chunks()
    at = pc.index_in(pa.array(range(len(ids)), pa.int32()), found["at"].combine_chunks())
    return pc.binary_join(found["word_list"].combine_chunks(), ", ").take(at)


def refuse_damaged(file: ListFile, compression: str, error: BaseException) -> Exception:
    """The error for a compressed file that ends too early or is none."""
    says = str(error)[:120] or type(error).__name__
    return refuse(file.path, f"is no whole .{compression} file ({says})", "copy or write it anew")


def read_csv(path: Path, left_out: LeftOut) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names of the columns and (line, values) of each row of a CSV file here; ConfigError as for a list."""
    (file,) = find_files([str(path)])
    with open_decompressed(file, "") as raw:  # read whole, so that it is closed whatever becomes of the rows
        opened = _open(Reading(file, PRESETS["own"], {}, (), left_out), io.BytesIO(raw.read()))
    return opened.written, ((line, row) for _, line, row in opened.records(left_out))


@dataclass(frozen=True)
class _Opened:
    """A list of which the heading was read."""

    lines: "_Lines"
    reader: Iterator[list[str]]
    written: list[str]
    """The names of the columns."""

    def records(self, left_out: LeftOut) -> Iterator[tuple[int, int, list[str]]]:
        return _records(self.lines, self.reader, len(self.written), left_out)


def _open(reading: Reading, raw: IO[bytes]) -> _Opened:
    file, preset = reading.file, reading.preset
    _refuse_other_encodings(file, raw.read(_HEAD))
    raw.seek(0)
    text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
    lines = _Lines(text, reading.left_out)
    first = next(lines, "")
    if first.lower().startswith("sep="):  # what spreadsheets write before the heading
        first = next(lines, "")
    delimiter = preset.format.delimiter or _delimiter_of(first, file.name)
    quoting: Any = csv.QUOTE_MINIMAL if preset.format.quoting else csv.QUOTE_NONE
    csv.field_size_limit(MOST_CELL)  # of the whole process; a library that lifts it would let one quote swallow a file
    dialect: dict[str, Any] = {"delimiter": delimiter or _NO_DELIMITER, "strict": True, "quoting": quoting}
    try:
        written = next(csv.reader([first], **dialect), [])
    except csv.Error as error:
        raise refuse(file.path, f"begins with a line that is not quoted as CSV is ({error})", "mend it") from None
    if preset.format.headings or any(name.startswith(_NUMBERED) for name in reading.columns.values()):
        lines.give_back(1)
        numbers = [f"{_NUMBERED}{number}" for number in range(1, len(written) + 1)]
        written = next((list(names) for names in preset.format.headings if len(names) == len(written)), numbers)
    return _Opened(lines, csv.reader(lines, **dialect), [name.strip() for name in written])


class _Lines(Iterator[str]):
    """The lines of a text, as a CSV reader takes them; those of one record are held until it is whole."""

    def __init__(self, text: io.TextIOBase, left_out: LeftOut) -> None:
        self._text = text
        self._left_out = left_out
        self._number = 0
        self._again: deque[tuple[int, str]] = deque()
        self._reread = 0
        self.held: list[tuple[int, str]] = []

    def __next__(self) -> str:
        number, line = self._again.popleft() if self._again else self._read()
        self.held.append((number, line))
        return line

    def give_back(self, lines: int) -> int:
        """Lets the last lines be read again; returns how many are not, because it happened too often."""
        if lines > 0 and self._reread >= _MOST_REREAD:
            return lines
        if lines > 0:
            self._reread += 1
            self._again.extendleft(reversed(self.held[-lines:]))
        return 0

    def _read(self) -> tuple[int, str]:
        while line := self._text.readline(MOST_LINE):
            self._number += 1
            if len(line) >= MOST_LINE and line[-1] not in "\r\n":
                while (rest := self._text.readline(MOST_LINE)) and rest[-1] not in "\r\n":
                    pass
                self._left_out.rows += 1
                self._left_out.add(f"lines of more than {MOST_LINE:,} characters", f"line {self._number}")
            elif line.isascii() or _is_unicode(line):
                return self._number, line
            else:
                self._left_out.rows += 1
                self._left_out.add("lines that are not UTF-8", f"line {self._number}")
        raise StopIteration


def _records(
    lines: _Lines, reader: Iterator[list[str]], width: int, left_out: LeftOut
) -> Iterator[tuple[int, int, list[str]]]:
    """(position, line, values) of each whole record; the others are counted and keep their position."""
    position = -1
    while True:
        lines.held.clear()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            position += 1
            lost = 1 + lines.give_back(len(lines.held) - 1)
            left_out.rows += lost
            left_out.add(f"not quoted as CSV is ({error})", f"line {lines.held[0][0]}", lost)
            continue
        if not any(value.strip() for value in row):
            continue
        position += 1
        if len(row) == width:
            yield position, lines.held[0][0], row
        else:
            left_out.rows += 1
            left_out.add(f"not the {width} values that the heading has", f"line {lines.held[0][0]}: {len(row)}")


def _batches(
    records: Iterator[tuple[int, int, list[str]]], chosen: np.ndarray | None
) -> Iterator[tuple[np.ndarray, list[int], list[list[str]]]]:
    wanted = None if chosen is None else set(chosen.tolist())
    last = max(wanted or (), default=-1)
    positions, numbers, rows = [], [], []
    for position, number, row in records:
        if wanted is not None and position not in wanted:
            if position > last:
                break
            continue
        positions.append(position)
        numbers.append(number)
        rows.append(row)
        if len(rows) == BATCH_ROWS:
            yield np.array(positions, np.int64), numbers, rows
            positions, numbers, rows = [], [], []
    if rows:
        yield np.array(positions, np.int64), numbers, rows


def _delimiter_of(heading: str, name: str) -> str:
    if ".tsv" in name.lower() and "\t" in heading:
        return "\t"
    counts = {delimiter: heading.count(delimiter) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda delimiter: counts[delimiter])
    return best if counts[best] else ""


def _is_unicode(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_other_encodings(file: ListFile, head: bytes) -> None:
    """One odd line of millions is left out; a file whose beginning is not UTF-8 is written in another encoding."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        line = head.count(b"\n", 0, error.start) + 1
        why = f"is not UTF-8 (line {line} holds the byte {head[error.start]:#04x})"
        raise refuse(file.path, why, "save it as UTF-8") from None
