"""Which column of a list holds what, and its values as clean texts: trimmed, bounded, without the words for nothing."""

import html
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crawl.catalogues.files import LeftOut, ListFile, kind_of, refuse
from crawl.catalogues.presets import FIELDS, Preset
from moodarchive.errors import ConfigError

MOST_CHARACTERS = 4096
"""Of one text; what is longer is cut."""
MOST_MATURE = 0.5
"""Scores above it say that a picture is not safe for work."""
_NOTHING = ("", "?", "null", "none", "nan", "n/a", "<na>")
"""What lists write for no value."""
_LONGEST_NOTHING = max(map(len, _NOTHING))
_MATURE = ("nsfw", "true", "t", "yes")
_NUMBER = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_BRACES = re.compile(r"\{([^{}]+)\}")
_WHOLE = ":number"
"""After a column in a template: only a whole number that no zeros fill up makes the text."""
_WHOLE_NUMBER = r"^[1-9][0-9]*$"
_TAG = r"<[^<>]*>"
_SEPARATOR = "\x1e\x1f\x1e"
_JOINED = ("title", "alt_text", "searched")
_SHOWN_COLUMNS = 10


@dataclass(frozen=True)
class Chunk:
    """Some rows of a list: their positions in the file and, by folded column name, their values as texts."""

    rows: np.ndarray
    columns: Mapping[str, pa.Array]
    where: Callable[[int], str]
    """How a message names the row at a position of the chunk."""
    pictures: pa.Array | None = None
    """``group.row`` of the picture that lies in the row; null where none does."""


@dataclass(frozen=True)
class Reading:
    """What is read of which file: the fields, of all rows or of those at the ``chosen`` positions (sorted)."""

    file: ListFile
    preset: Preset
    columns: Mapping[str, str]
    """What the settings say: field → the list's column."""
    fields: Sequence[str]
    left_out: LeftOut
    chosen: np.ndarray | None = None

    @property
    def kind(self) -> str:
        """One of crawl.catalogues.files.KINDS."""
        return self._kind_and_compression[0]

    @property
    def compression(self) -> str:
        """How the file is compressed as a whole: not at all, gz or bz2."""
        return self._kind_and_compression[1]

    @property
    def _kind_and_compression(self) -> tuple[str, str]:
        found = kind_of(self.file.name, self.preset.format.kind)
        if found is None:
            raise refuse(self.file.path, "has no ending of a list", "give it the ending of its kind")
        return found

    def plan(self, written: Sequence[str]) -> "Plan":
        """Where the fields stand in a list of these columns; ConfigError when it is not of the preset's format."""
        return make_plan(self, written)


@dataclass(frozen=True)
class Plan:
    """For each field the column that holds it, or the template that makes it, for one list."""

    preset: Preset
    sources: Mapping[str, str]
    templates: Mapping[str, tuple[str, ...]]
    """Texts and placeholders by turns, a text first."""
    has_bytes: bool

    @property
    def keys(self) -> tuple[str, ...]:
        """The folded names of the columns that must be read, each once."""
        parts = (_key_of(part) for template in self.templates.values() for part in template[1::2])
        return tuple(dict.fromkeys((*self.sources.values(), *parts)))


@lru_cache(4096)
def fold(name: str) -> str:
    """A column's name as names are compared."""
    return name.strip().lstrip("\ufeff").strip().casefold()


def find_column(field: str, names: Mapping[str, str], preset: Preset, columns: Mapping[str, str]) -> str | None:
    """The folded name of the column that holds a field; ``names`` are the list's, folded → as written."""
    if field in columns:
        return fold(columns[field])
    return next((alias for alias in preset.columns.get(field, ()) if alias in names), None)


def relevant_names(preset: Preset, columns: Mapping[str, str]) -> frozenset[str]:
    """All folded names under which a list may hold something of worth."""
    aliases = (alias for names in preset.columns.values() for alias in names)
    return frozenset((*aliases, *map(fold, columns.values()), *map(_key_of, _placeholders(preset))))


def make_plan(reading: Reading, written: Sequence[str]) -> Plan:
    """Finds the fields' columns among those of the list; ConfigError names the one that is missing, and the preset."""
    file, preset, columns, fields = reading.file.path, reading.preset, reading.columns, reading.fields
    if unknown := [field for field in columns if field not in FIELDS]:
        raise ConfigError(f"columns.{unknown[0]} is no field of a list; legal: {', '.join(FIELDS)}")
    names = {fold(name): name for name in reversed(written)}
    for field, column in columns.items():
        if fold(column) not in names:
            why = f"has no column {column}, which columns.{field} names; it has {_shown(written)}"
            raise refuse(file, why, "correct it")
    found = {field: key for field in FIELDS if (key := find_column(field, names, preset, columns))}
    for field in preset.required:
        here = {"url", "bytes"} & set(found) if field == "picture" else field in found
        if not here:
            _refuse_missing(file, preset, field, written)
    sources = {field: found[field] for field in fields if field in found}
    templates = {
        field: tuple(_BRACES.split(template))
        for field, template in preset.templates.items()
        if field in fields
        and field not in sources
        and all(_key_of(part) in names for part in _BRACES.findall(template))
    }
    return Plan(preset, sources, templates, "bytes" in found)


def fields_of(plan: Plan, chunk: Chunk, fields: Sequence[str], left_out: LeftOut) -> dict[str, pa.Array]:
    """The fields' values of a chunk as clean texts; nulls where the list holds nothing."""
    size = len(chunk.rows)
    values = {}
    for field in fields:
        if (key := plan.sources.get(field)) is not None:
            value = chunk.columns.get(key)
        elif field in plan.templates:
            value = _fill(plan.templates[field], chunk.columns)
        else:
            value = None
        values[field] = pa.nulls(size, pa.string()) if value is None else _clean(plan, field, value, left_out)
    return values


def to_texts(field: str, array: pa.Array) -> pa.Array:
    """Any column as valid texts of at most ``MOST_CHARACTERS`` and one; lists of texts joined, other values as JSON."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        short = pc.utf8_slice_codeunits(to_texts(field, array.dictionary), 0, MOST_CHARACTERS + 1)
        return short.take(array.indices)  # cut before: one long text may stand in every row
    if isinstance(array, pa.ExtensionArray):
        return to_texts(field, array.storage)
    if _is_text(kind):
        return _valid_texts(array)
    if pa.types.is_floating(kind):
        return pc.replace_substring_regex(array.cast(pa.float64()).cast(pa.string()), r"^(-?\d+)$", r"\1.0")
    if not pa.types.is_nested(kind):
        with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return array.cast(pa.string())
    return pa.array([text_of(field, value) for value in array.to_pylist()], pa.string())


def text_of(field: str, value: Any) -> str | None:
    """One value as a text that a table can hold; None for none."""
    if isinstance(value, str) and value.isascii() and len(value) <= MOST_CHARACTERS:
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        text = value
    elif isinstance(value, bytes):
        text = value.decode(errors="replace")
    elif isinstance(value, list) and field in _JOINED:
        text = ", ".join(filter(None, (text_of(field, part) for part in value)))
    elif isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False, default=str)
    else:
        text = json.dumps(value, default=str).strip('"')
    return text[: MOST_CHARACTERS + 1].encode(errors="replace").decode()


def to_numbers(texts: pa.Array) -> pa.Array:
    """Numbers as float64; null for what is none."""
    is_number = pc.match_substring_regex(texts, _NUMBER)
    numeric = pc.if_else(pc.fill_null(is_number, False), texts, pa.scalar(None, pa.string()))
    try:
        return numeric.cast(pa.float64())
    except pa.ArrowInvalid:
        return pa.array([None if text is None else float(text) for text in numeric.to_pylist()], pa.float64())


def to_pixels(texts: pa.Array) -> pa.Array:
    """Whole numbers of pixels as int32; null for what is none."""
    numbers = to_numbers(texts)
    fits = pc.and_(pc.greater_equal(numbers, 1), pc.less_equal(numbers, 2**31 - 1))
    fitting = pc.if_else(pc.fill_null(fits, False), numbers, pa.scalar(None, pa.float64()))
    return pc.trunc(fitting).cast(pa.int32())


def to_mature(texts: pa.Array) -> pa.Array:
    """Whether a value says "not safe for work", as a word or as a score above one half."""
    named = pc.is_in(pc.utf8_lower(texts), pa.array(_MATURE))
    return pc.or_(named, pc.fill_null(pc.greater(to_numbers(texts), MOST_MATURE), False))


def _refuse_missing(file: str, preset: Preset, field: str, written: Sequence[str]) -> None:
    if any("://" in name for name in written):
        raise refuse(file, "begins with an address, not with a heading", "put a first line such as url,caption,licence")
    fields = ("bytes", "url") if field == "picture" else (field,)
    aliases = " or ".join(alias for name in fields for alias in preset.columns.get(name, ()))
    says = f"has no column called {aliases or field}"
    if preset.name != "own":
        says += f", which a list of the preset {preset.name} has"
    remedy = f"name another preset, or the column by columns.{fields[-1]}" if preset.name != "own" else (
        f"call the column {preset.columns[fields[-1]][0]}, or name it by columns.{fields[-1]}"
    )  # fmt: skip
    raise refuse(file, f"{says}; it has {_shown(written)}", remedy)


def _shown(written: Sequence[str]) -> str:
    return ", ".join(name[:60] for name in written[:_SHOWN_COLUMNS]) or "none"


def _placeholders(preset: Preset) -> list[str]:
    return [part for template in preset.templates.values() for part in _BRACES.findall(template)]


def _key_of(placeholder: str) -> str:
    return fold(placeholder.removesuffix(_WHOLE))


def _fill(template: Sequence[str], columns: Mapping[str, pa.Array]) -> pa.Array:
    """The template's texts; null where one of its columns is, unless nothing but blanks stands between them."""
    parts: list[Any] = list(template)
    for index in range(1, len(parts), 2):
        texts = _without_nothing(_trim(to_texts("", columns[_key_of(template[index])])))
        if template[index].endswith(_WHOLE):
            whole = pc.fill_null(pc.match_substring_regex(texts, _WHOLE_NUMBER), False)
            texts = pc.if_else(whole, texts, pa.scalar(None, pa.string()))
        parts[index] = texts
    handling = "emit_null" if "".join(template[::2]).strip() else "replace"
    return _trim(pc.binary_join_element_wise(*parts, "", null_handling=handling, null_replacement=""))


def _is_text(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_binary,
        pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary,
    )  # fmt: skip
    return any(test(kind) for test in tests)


def _valid_texts(array: pa.Array) -> pa.Array:
    try:
        if array.type != pa.string():
            array = array.cast(pa.string())
        array.validate(full=True)
    except pa.ArrowInvalid:
        values = array.cast(pa.binary()).to_pylist()
        return pa.array([value if value is None else value.decode(errors="replace") for value in values], pa.string())
    return array


def _trim(array: pa.Array) -> pa.Array:
    return pc.ascii_trim(array, " \t\r\n")


def _clean(plan: Plan, field: str, value: pa.Array, left_out: LeftOut) -> pa.Array:
    texts = _trim(to_texts(field, value))
    if field in plan.preset.format.url_encoded:
        texts = _each(pc.replace_substring(texts, "+", " "), "%", unquote)
    if field in plan.preset.format.html:
        plain = _each(pc.replace_substring_regex(texts, _TAG, " "), "&", html.unescape)
        texts = _trim(pc.replace_substring_regex(plain, " {2,}", " "))
    if field != "url" and (pc.max(pc.binary_length(texts)).as_py() or 0) > MOST_CHARACTERS:
        left_out.cut += pc.sum(pc.greater(pc.utf8_length(texts), MOST_CHARACTERS)).as_py() or 0
        texts = _trim(pc.utf8_slice_codeunits(texts, 0, MOST_CHARACTERS))
    return _without_nothing(texts)


def _without_nothing(texts: pa.Array) -> pa.Array:
    short = pc.fill_null(pc.less_equal(pc.binary_length(texts), _LONGEST_NOTHING), False)
    if not short.true_count:
        return texts
    words = pc.ascii_lower(pc.if_else(short, texts, pa.scalar("-")))
    return pc.if_else(pc.is_in(words, pa.array(_NOTHING)), pa.scalar(None, pa.string()), texts)


def _each(texts: pa.Array, mark: str, change: Callable[[str], str]) -> pa.Array:
    """The texts, those that hold the mark changed: all at once, unless one of them makes the separator."""
    marked = pc.fill_null(pc.match_substring(texts, mark), False)
    if not marked.true_count:
        return texts
    before = texts.filter(marked).to_pylist()
    changed = change(_SEPARATOR.join(before)).split(_SEPARATOR)
    if len(changed) != len(before):
        changed = [change(text) for text in before]
    clean = [text.encode(errors="replace").decode() for text in changed]
    return pc.replace_with_mask(texts, marked, pa.array(clean, pa.string()))
