"""Pictures by their embeddings: the rows with the largest cosines to a vector, exactly, without reading most of them.

Beside each float16 vector a sketch is kept: its coordinates along the directions in which vectors differ most, in 8
bits, and the length of what these leave out. By Cauchy and Schwarz a row's cosine is at most what its sketch says plus
the product of both remainders; only rows whose bound reaches the best ones found are read whole and multiplied exactly.
"""

import json
import mmap
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crawl.catalogues.meaning import score_meaning
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts, read_part
from moodarchive.tables.schemas import VECTORS

DIRECTIONS = 128
"""Of a sketch; 1 GB for eight million pictures, whatever the vectors' width."""
_SAMPLED, _CHUNK = 40_000, 2_048
_BLOCK = 2_048
"""Rows whose sketches are multiplied at once: they fit the core's cache, and BLAS takes no threads of its own for them.

At 16,384 rows BLAS's threads and ours hold each other up: ten times slower on two cores.
"""
_GATHERED, _SPARSE = 4_096, 16
"""Vectors read at once, and of how many rows one is few."""
_SLACK = 6e-4
"""More than float32 sums of a thousand products, and the lengths of vectors in 16 bits, can be wrong by."""
_STEPS, _MARGIN = 127, 1.25
"""A coordinate may be so much larger than the sample's largest; a row with a larger one is always read."""
_ALWAYS = np.float32(1e9)
_FORM = "form.json"

Vector = NDArray[np.float32]


class Similar(NamedTuple):
    """A row's number and its cosine."""

    number: int
    cosine: float


def write_vectors(
    store: Store,
    folder: Path,
    numbers_of: Callable[[NDArray[np.uint64]], NDArray[np.int64]],
    tell: Callable[[str], None],
) -> None:
    """Writes the vectors of vectors/ and their sketches; nothing for an archive that has none.

    ``numbers_of`` gives the row's number of each key (as 64 bits), -1 for one that the index has not.
    """
    parts = sorted(finished_parts(store, VECTORS))
    sample = _sample(store, parts)
    if sample is None:
        return
    folder.mkdir(parents=True)
    mean, basis, scale = _fit(sample)
    rows = 0
    names = ("vectors", "numbers", "sketch", "rest")
    tell(f"reading vectors of {len(parts)} parts, {sample.shape[1]} numbers each")
    files = [open(folder / f"{name}.bin", "wb") for name in names]  # noqa: SIM115  closed below, all of them
    try:
        for part in parts:
            for keys, vectors in _read(store, part):
                numbers = numbers_of(keys)
                known = numbers >= 0
                columns = (
                    vectors[known],
                    numbers[known].astype(np.uint32),
                    *_sketch(vectors[known], mean, basis, scale),
                )
                for file, data in zip(files, columns, strict=True):
                    file.write(np.ascontiguousarray(data).tobytes())
                rows += int(known.sum())
    finally:
        for file in files:
            file.close()
    np.savez(folder / "basis.npz", mean=mean, basis=basis, scale=scale)
    (folder / _FORM).write_text(json.dumps({"rows": rows, "width": sample.shape[1]}))


def _read(store: Store, part: int) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.float16]]]:
    """Keys as 64 bits, and the vectors of the rows that have one."""
    for rows in read_part(store, VECTORS, part, batch_rows=4_096):
        batch = rows.filter(rows["vector"].is_valid())
        if not batch.num_rows:
            continue
        vectors = batch["vector"].flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1)
        yield np.frombuffer(bytes.fromhex("".join(batch["key"].to_pylist())), ">u8").astype(np.uint64), vectors


def _sample(store: Store, parts: list[int]) -> NDArray[np.float32] | None:
    """Vectors of parts spread over the archive; None where there are none."""
    held, count = [], 0
    for part in parts[:: max(1, len(parts) // 20)]:
        for _, vectors in _read(store, part):
            held.append(vectors.astype(np.float32))
            count += len(vectors)
        if count >= _SAMPLED:
            break
    return np.concatenate(held) if held else None


def _fit(sample: NDArray[np.float32]) -> tuple[Vector, NDArray[np.float32], Vector]:
    """The mean, the directions in which vectors differ most [directions, width], and the step of each coordinate."""
    mean = sample.mean(axis=0)
    centred = sample - mean
    _, directions = np.linalg.eigh(centred.T @ centred)
    basis = np.ascontiguousarray(directions[:, ::-1][:, :DIRECTIONS].T).astype(np.float32)
    scale = np.maximum(_MARGIN * np.abs(centred @ basis.T).max(axis=0), 1e-6) / _STEPS
    return mean, basis, scale.astype(np.float32)


def _sketch(
    vectors: NDArray[np.float16], mean: Vector, basis: NDArray[np.float32], scale: Vector
) -> tuple[NDArray[np.int8], Vector]:
    """Codes, and the length of what lies outside the directions."""
    centred = vectors.astype(np.float32) - mean
    along = centred @ basis.T
    codes = np.clip(np.rint(along / scale), -_STEPS, _STEPS).astype(np.int8)
    rest = np.linalg.norm(centred - along @ basis, axis=1)
    clipped = (np.abs(along - codes * scale) > 0.501 * scale).any(axis=1)
    return codes, np.where(clipped, _ALWAYS, rest).astype(np.float32)


class VectorsIndex:
    """The open files; a search reads the sketches block by block, and few of the vectors."""

    def __init__(self, folder: Path, threads: int = 2) -> None:
        form = json.loads((folder / _FORM).read_text())
        self.rows, self.width = int(form["rows"]), int(form["width"])
        with np.load(folder / "basis.npz") as fitted:
            self._mean, self._basis, self._scale = fitted["mean"], fitted["basis"], fitted["scale"]
        self._rounding = 0.51 * float(np.linalg.norm(self._scale))
        shape = (self.rows, self.width)
        with (folder / "vectors.bin").open("rb") as file:
            self._mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._vectors = np.frombuffer(self._mapping, np.float16).reshape(shape)
        self._numbers = np.fromfile(folder / "numbers.bin", np.uint32)
        self._sketch = os.open(folder / "sketch.bin", os.O_RDONLY)
        self._rest = os.open(folder / "rest.bin", os.O_RDONLY)
        self._pool = ThreadPoolExecutor(threads, "sketches")
        # the places in the order of the rows' numbers: a second for eight million, begun before somebody waits for it
        self._order = self._pool.submit(lambda: np.argsort(self._numbers, kind="stable").astype(np.uint32))

    def close(self) -> None:
        """Ends the threads and closes the files."""
        self._pool.shutdown()
        os.close(self._sketch)
        os.close(self._rest)

    def row_numbers(self) -> NDArray[np.uint32]:
        """Of the rows that have a vector."""
        return self._numbers

    def vector_of(self, number: int) -> Vector | None:
        """The row's vector; None for a row without one."""
        order = self._order.result()
        place = int(np.searchsorted(self._numbers, np.uint32(number), sorter=order))
        if place == self.rows or self._numbers[order[place]] != number:
            return None
        return np.asarray(self._vectors[order[place]], np.float32)

    def _gather(self, places: NDArray[np.int64]) -> NDArray[np.float16]:
        """Their vectors; what the system maps around each of them is let go again, so that memory stays small."""
        # few lie one here, one there: to read ahead of them would read thirty times as much
        self._mapping.madvise(mmap.MADV_NORMAL if len(places) * _SPARSE > self.rows else mmap.MADV_RANDOM)
        rows = np.empty((len(places), self.width), np.float16)
        for first in range(0, len(places), _GATHERED):
            some = slice(first, first + _GATHERED)
            rows[some] = self._vectors[places[some]]
            self._mapping.madvise(mmap.MADV_DONTNEED)
        return rows

    def search(self, vector: Vector, most: int, allowed: NDArray[np.bool_] | None = None) -> list[Similar]:
        """The ``most`` rows with the largest cosines, the largest first; of equal ones the earlier row.

        ``allowed`` says of each row's number whether it may be among them. The result is that of the product with
        every vector.
        """
        query = np.asarray(vector, np.float32) / np.linalg.norm(vector)
        bounds = self._bounds(query)
        if allowed is not None:
            bounds[~allowed[self._numbers]] = -np.inf
        places = self._find_places(query, bounds, most)
        if not len(places):
            return []
        # the numbers decide between equal cosines, as everywhere
        places = places[np.argsort(self._numbers[places])]
        matches = score_meaning(
            np.asarray(vector, np.float32)[None], [(self._numbers[places], self._gather(places))], most
        )
        return [Similar(int(row), float(cosine)) for row, cosine in zip(matches.row, matches.score, strict=True)]

    def _bounds(self, query: Vector) -> Vector:
        """For each row the largest cosine that its sketch allows."""
        along = self._basis @ query
        outside = float(np.linalg.norm(query - along @ self._basis))
        inside = float(np.linalg.norm(along))
        weights = along * self._scale
        constant = float(query @ self._mean) + inside * self._rounding + _SLACK
        bounds = np.empty(self.rows, np.float32)

        def fill(first: int) -> None:
            some, width = min(_BLOCK, self.rows - first), len(self._basis)
            codes = np.frombuffer(os.pread(self._sketch, some * width, first * width), np.int8).reshape(some, width)
            rest = np.frombuffer(os.pread(self._rest, 4 * some, 4 * first), np.float32)
            block = bounds[first : first + some]
            np.dot(codes.astype(np.float32), weights, out=block)
            block += constant + outside * rest
            block[rest == _ALWAYS] = _ALWAYS

        list(self._pool.map(fill, range(0, self.rows, _BLOCK)))
        return bounds

    def _find_places(self, query: Vector, bounds: Vector, most: int) -> NDArray[np.int64]:
        """Every place that may hold one of the ``most``, by falling bound until no bound reaches the best."""
        places, cosines, lowest = [np.empty(0, np.int64)], np.empty(0, np.float32), -2.0
        left = np.flatnonzero(bounds > -np.inf)
        size = _CHUNK
        while len(left):
            size = min(size, len(left))
            chunk = left[np.argpartition(-bounds[left], size - 1)[:size]] if size < len(left) else left
            chunk.sort()
            places.append(chunk)
            cosines = np.concatenate([cosines, self._gather(chunk).astype(np.float32) @ query])
            if len(cosines) >= most:
                lowest = float(np.partition(cosines, len(cosines) - most)[len(cosines) - most])
            bounds[chunk] = -np.inf
            left = left[bounds[left] >= lowest - _SLACK] if lowest > -2 else left[bounds[left] > -np.inf]
            size *= 2
        found = np.concatenate(places)
        return found[cosines >= lowest - _SLACK]


def exists_in(folder: Path) -> bool:
    """True where vectors were written."""
    return (folder / _FORM).exists()
