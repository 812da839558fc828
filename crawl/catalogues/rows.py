"""Rows of a catalogue in one form, whatever the format of its files; what is no row is counted and named."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crawl.catalogues.files import LeftOut, ListFile, refuse
from crawl.catalogues.formats import delimited, json_objects, parquet
from crawl.catalogues.formats.columns import Chunk, Plan, Reading, fields_of, to_mature, to_pixels
from crawl.catalogues.presets import Companion, Preset
from moodarchive.archive.licences import find_licence
from moodarchive.errors import RowError

LISTING = pa.schema([
    pa.field("row", pa.int64(), nullable=False),
    pa.field("source_id", pa.string(), nullable=False),
    pa.field("url", pa.string(), nullable=False),
    *(pa.field(name, pa.string()) for name in ("landing_url", "title", "alt_text", "creator", "creator_url")),
    pa.field("licence", pa.string(), nullable=False),
    pa.field("licence_url", pa.string()),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("mature", pa.bool_(), nullable=False),
    pa.field("searched", pa.string()),
])  # fmt: skip
"""One row of a list; ``row`` is its 0-based place in the file, ``licence`` a name of moodarchive.archive.licences."""
SCHEME = "row"
MOST_ADDRESS = 4096
"""Bytes of an address."""
MOST_BYTES = 64 << 20
"""Of one picture in a row, where nothing else is said."""
_READERS: Mapping[str, Any] = {
    "parquet": parquet,
    "csv": delimited,
    "tsv": delimited,
    "jsonl": json_objects,
    "tar": json_objects,
}
_IS_ADDRESS = r"(?i)^https?://[^\s/][^\x00-\x20\x7f]*$"
_TEXTS = ("title", "alt_text", "searched")
_LICENCE = ("licence", "licence_url")
_LISTED = (
    "source_id", "url", "landing_url", "title", "alt_text", "creator", "creator_url", "licence", "licence_url", "width",
    "height", "mature", "searched",
)  # fmt: skip


def read_rows(
    file: ListFile,
    preset: Preset,
    columns: Mapping[str, str],
    left_out: LeftOut,
    *,
    chosen: np.ndarray | None = None,
) -> Iterator[pa.RecordBatch]:
    """The file's rows as LISTING, in batches of at most 20,000, in order.

    ``columns`` names the list's columns, by field, where the preset does not; ``chosen`` are sorted positions: only
    those rows come. ConfigError for a file that is not of the preset's format.
    """
    for plan, rows, fields in _read(Reading(file, preset, columns, _LISTED, left_out, chosen)):
        names, addresses = _licences(plan, fields["licence"], fields["licence_url"])
        own_address = pc.fill_null(pc.match_substring_regex(fields["licence_url"], _IS_ADDRESS), False)
        addresses = pc.if_else(own_address, fields["licence_url"], addresses)
        yield _batch(preset, rows, {**fields, "licence": names, "licence_url": addresses}).cast(LISTING)


def read_as_stated(
    file: ListFile, preset: Preset, columns: Mapping[str, str], left_out: LeftOut
) -> Iterator[pa.RecordBatch]:
    """As ``read_rows``, but ``licence`` and ``licence_url`` are what the list says, or null."""
    for _, rows, fields in _read(Reading(file, preset, columns, _LISTED, left_out)):
        yield _batch(preset, rows, fields)


def read_texts(
    file: ListFile, preset: Preset, columns: Mapping[str, str], left_out: LeftOut
) -> Iterator[tuple[np.ndarray, pa.Array, pa.Array]]:
    """(positions, texts, licences) of the rows that ``read_rows`` gives: what matching needs, and no more."""
    for plan, rows, fields in _read(Reading(file, preset, columns, ("url", *_TEXTS, *_LICENCE), left_out)):
        texts = [fields[name] for name in _TEXTS if fields[name].null_count < len(rows)]
        text = pc.fill_null(texts[0], "") if texts else pa.array([""] * len(rows), pa.string())
        if len(texts) > 1:  # the first is filled: Arrow 26 drops rows whose values are all null when it skips nulls
            text = pc.ascii_trim(pc.binary_join_element_wise(text, *texts[1:], " ", null_handling="skip"), " ")
        yield rows, text, _licences(plan, fields["licence"], fields["licence_url"])[0]


def read_pictures(
    file: ListFile,
    preset: Preset,
    columns: Mapping[str, str],
    wanted: Mapping[tuple[int, int], str],
    *,
    most_bytes: int = MOST_BYTES,
) -> Iterator[tuple[str, bytes | RowError]]:
    """The pictures that lie in rows: (group, row) → key, as (key, bytes), in the file's order.

    Each group is read once. A RowError stands for the bytes: ``missing_file`` where the row holds none,
    ``too_many_bytes`` for more than ``most_bytes``, ``unreadable_row`` where the file is damaged.
    """
    reading = Reading(file, preset, columns, (), LeftOut(file.name))
    if reading.kind == "parquet":
        yield from parquet.read_pictures(reading, wanted, most_bytes)
    elif reading.kind == "tar":
        yield from json_objects.read_tar_pictures(reading, wanted, most_bytes)
    else:
        why = f"is a list of the kind {reading.kind}, which holds no pictures"
        raise refuse(file.path, why, "use Parquet or tars")


def read_ids(file: ListFile, preset: Preset, columns: Mapping[str, str]) -> pa.Array:
    """The list's own names of its rows, by position, as texts; null where a row is left out or has none."""
    found: list[str | None] = []
    for _, rows, fields in _read(Reading(file, preset, columns, ("url", "source_id"), LeftOut(file.name))):
        for row, own in zip(rows.tolist(), fields["source_id"].to_pylist(), strict=True):
            found.extend([None] * (row - len(found)))
            found.append(own)
    return pa.array(found, pa.string())


def count_rows(file: ListFile, preset: Preset, columns: Mapping[str, str]) -> int:
    """How many positions the file has; those of rows that are left out count."""
    reading = Reading(file, preset, columns, ("url",), LeftOut(file.name))
    if reading.kind == "parquet":
        with parquet.ParquetList(file) as table:
            return int(table.metadata.num_rows)
    last = -1
    for _, chunk in _READERS[reading.kind].read_chunks(reading):
        last = int(chunk.rows[-1]) if len(chunk.rows) else last
    return last + 1


def row_address(name: str, group: int, row: int) -> str:
    """The address of a picture that lies in the list itself; no fragment, which the same image's test would drop."""
    return f"{SCHEME}:{quote(name)}!{group}.{row}"


def parse_row_address(url: str) -> tuple[str, int, int] | None:
    """(file's name, group, row in the group) of such an address; None for others."""
    scheme, _, rest = url.partition(":")
    name, mark, place = rest.rpartition("!")
    group, dot, row = place.partition(".")
    if scheme != SCHEME or not (
        mark and dot and group.isascii() and group.isdigit() and row.isascii() and row.isdigit()
    ):
        return None
    return unquote(name), int(group), int(row)


def _read(reading: Reading) -> Iterator[tuple[Plan, np.ndarray, dict[str, pa.Array]]]:
    """Positions and fields of the rows that have an address or a picture."""
    left_out, words = reading.left_out, None
    if reading.preset.companion and "searched" in reading.fields:
        words = _words_beside(reading, reading.preset.companion)
    for plan, chunk in _READERS[reading.kind].read_chunks(reading):
        if not len(chunk.rows):
            continue
        left_out.rows += len(chunk.rows)
        fields = fields_of(plan, chunk, reading.fields, left_out)
        if words is not None:
            positions, texts = words
            fields["searched"] = texts.take(pa.array(np.searchsorted(positions, chunk.rows)))
        fields["url"], accepted = _addresses(reading.file.name, chunk, fields["url"], left_out)
        rows = chunk.rows
        if not accepted.all():
            keep = pa.array(accepted)
            rows, fields = rows[accepted], {name: array.filter(keep) for name, array in fields.items()}
        if len(rows):
            left_out.taken += len(rows)
            yield plan, rows, fields


def _words_beside(reading: Reading, companion: Companion) -> tuple[np.ndarray, pa.Array]:
    """(positions, ``searched``) of the list, from the files beside it."""
    only_ids = Reading(reading.file, reading.preset, reading.columns, ("source_id",), LeftOut(reading.file.name))
    rows, ids = [np.empty(0, np.int64)], [pa.array([], pa.string())]
    for plan, chunk in _READERS[reading.kind].read_chunks(only_ids):
        rows.append(chunk.rows)
        ids.append(fields_of(plan, chunk, only_ids.fields, only_ids.left_out)["source_id"])
    words = delimited.read_companion(reading.file, companion, pa.concat_arrays(ids))
    return np.concatenate(rows), words


def _batch(preset: Preset, rows: np.ndarray, fields: Mapping[str, pa.Array]) -> pa.RecordBatch:
    converted = {
        "row": pa.array(rows, pa.int64()),
        "source_id": _source_ids(fields["source_id"], fields["url"], preset),
        "width": to_pixels(fields["width"]),
        "height": to_pixels(fields["height"]),
        "mature": pc.fill_null(to_mature(fields["mature"]), False),
    }
    return pa.RecordBatch.from_pydict({name: converted.get(name, fields.get(name)) for name in LISTING.names})


def _addresses(name: str, chunk: Chunk, urls: pa.Array, left_out: LeftOut) -> tuple[pa.Array, np.ndarray]:
    """The address of each row, the picture in the row before an address on the web, and which rows have one."""
    good = pc.and_(pc.match_substring_regex(urls, _IS_ADDRESS), pc.less_equal(pc.binary_length(urls), MOST_ADDRESS))
    accepted = pc.fill_null(good, False)
    if chunk.pictures is not None:
        inside = pc.binary_join_element_wise(f"{SCHEME}:{quote(name)}!", chunk.pictures, "")
        accepted = pc.or_(accepted, pc.is_valid(inside))
        urls = pc.coalesce(inside, urls)
    mask = np.asarray(accepted)
    for index in np.flatnonzero(~mask):
        address = urls[int(index)].as_py()
        where = chunk.where(int(index))
        if address and len(address.encode()) > MOST_ADDRESS:
            left_out.add(f"addresses of more than {MOST_ADDRESS} bytes", where)
        elif address and address.lower().startswith(("folder:", f"{SCHEME}:")):
            left_out.add("addresses of a folder, which no list may hold", where)
        else:
            left_out.add("no address that begins with http:// or https://", f"{where}: {address!r:.60}")
    return urls, mask


def _licences(plan: Plan, names: pa.Array, addresses: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The canonical name and the address of each row's licence; each pair of texts is looked up once."""
    if not {"licence", "licence_url"} & set(plan.sources) and plan.preset.default_licence:
        licence = find_licence(*plan.preset.default_licence)
        size = len(names)
        return pa.array([licence.name] * size, pa.string()), pa.array([licence.url] * size, pa.string())
    first, second = (array.dictionary_encode(null_encoding="encode") for array in (names, addresses))
    pairs = first.indices.to_numpy().astype(np.int64) * len(second.dictionary) + second.indices.to_numpy()
    unique, inverse = np.unique(pairs, return_inverse=True)
    found = []
    for pair in unique:
        name = first.dictionary[int(pair) // len(second.dictionary)].as_py()
        address = second.dictionary[int(pair) % len(second.dictionary)].as_py()
        if name and address is None and name.lower().startswith(("http://", "https://")):
            name, address = None, name  # many lists call the licence's address the licence
        found.append(find_licence(name, address))
    at = pa.array(inverse)
    return (
        pa.array([licence.name for licence in found], pa.string()).take(at),
        pa.array([licence.url for licence in found], pa.string()).take(at),
    )


def _source_ids(ids: pa.Array, urls: pa.Array, preset: Preset) -> pa.Array:
    """An image's own name in the catalogue; where that is not unique, or missing, its address tells it apart."""
    if preset.unique_ids and not ids.null_count:
        return ids
    digests = [hashlib.md5(url.encode(), usedforsecurity=False).hexdigest() for url in urls.to_pylist()]
    by_address = pa.array(digests, pa.string())
    if preset.unique_ids:
        return pc.coalesce(ids, by_address)
    return pc.binary_join_element_wise(ids, by_address, "-", null_handling="skip")
