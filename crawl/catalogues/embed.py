"""Embeds the rows of a catalogue with a CLIP model: one file of vectors for each file of the list, row for row."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from crawl.catalogues.catalogue import Catalogue
from crawl.catalogues.files import LeftOut, ListFile
from crawl.catalogues.rows import count_rows, parse_row_address, read_pictures, read_rows, read_texts
from crawl.images.decode import PictureLimits, to_picture
from moodarchive.errors import ConfigError, RowError
from moodarchive.models.clip import ClipEncoder

LOGGER = logging.getLogger("moodarchive.catalogues")
BATCH = 64
_LIMITS = PictureLimits(max_pixels=120_000_000, shortest_side=16, longest_side=768, jpeg_quality=92)
Vectors = Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]


def embed_catalogue(
    catalogue: Catalogue, encoder: ClipEncoder, folder: Path, *, pictures: bool, show: Callable[[str], None]
) -> list[Path]:
    """Writes ``NAME.npy`` for each file of the list, float16 [rows of the file, width], zeros for rows that are none.

    Texts are embedded, or with ``pictures`` what lies in the rows. A file that is there already stays; one is written
    whole or not at all. ConfigError: the list holds no pictures.
    """
    if pictures and catalogue.preset.bytes_column is None:
        raise ConfigError(
            f"the preset {catalogue.settings.preset} has no pictures in its rows; remedy: embed its texts"
        )
    paths = []
    for number, file in enumerate(catalogue.files):
        path = folder / f"{file.name}.npy"
        if not path.exists():
            rows = count_rows(file, catalogue.preset, catalogue.settings.columns)
            vectors = _embed_pictures(catalogue, file, encoder) if pictures else _embed_texts(catalogue, file, encoder)
            written = _write(path, rows, vectors)
            show(f"{file.name}: {written:,} of {rows:,} rows ({number + 1} of {len(catalogue.files)} files)")
        paths.append(path)
    return paths


def _embed_texts(catalogue: Catalogue, file: ListFile, encoder: ClipEncoder) -> Vectors:
    for rows, texts, _ in read_texts(file, catalogue.preset, catalogue.settings.columns, LeftOut(file.name)):
        for first in range(0, len(rows), BATCH):
            yield rows[first : first + BATCH], encoder.texts(texts.slice(first, BATCH).to_pylist())


def _embed_pictures(catalogue: Catalogue, file: ListFile, encoder: ClipEncoder) -> Vectors:
    columns = catalogue.settings.columns
    for batch in read_rows(file, catalogue.preset, columns, LeftOut(file.name)):
        wanted: dict[tuple[int, int], str] = {}
        for row, url in zip(batch["row"].to_pylist(), batch["url"].to_pylist(), strict=True):
            if address := parse_row_address(url):
                wanted[address[1:]] = str(row)
        rows: list[int] = []
        ready = []
        for row, picture in read_pictures(file, catalogue.preset, columns, wanted):
            try:
                if isinstance(picture, RowError):
                    raise picture
                ready.append(encoder.prepare_bytes(to_picture(picture, _LIMITS).bytes))
            except RowError as error:
                LOGGER.info("%s row %s has no vector: %s", file.name, row, error.kind)
                continue
            rows.append(int(row))
            if len(rows) == BATCH:
                yield np.array(rows), encoder.embed_pixels(ready)
                rows, ready = [], []
        if rows:
            yield np.array(rows), encoder.embed_pixels(ready)


def _write(path: Path, rows: int, vectors: Vectors) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.draft")
    table = None
    written = 0
    for positions, block in vectors:
        if table is None:
            table = np.lib.format.open_memmap(draft, "w+", np.float16, (rows, block.shape[1]))  # type: ignore[no-untyped-call]
        table[positions] = block
        written += len(positions)
    if table is None:
        with draft.open("wb") as file:
            np.save(file, np.zeros((rows, 1), np.float16))
    else:
        table.flush()
    os.replace(draft, path)
    return written
