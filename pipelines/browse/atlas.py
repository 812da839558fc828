"""A map of the archive for embedding-atlas: a Parquet file of pictures at their places in the plane, and its viewer."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from moodarchive.errors import UsageError
from moodarchive.storage.store import Store
from moodarchive.tables.parquet import row_groups
from pipelines.browse.pictures import shrink
from pipelines.browse.serve import BrowseOptions, open_browse
from pipelines.browse.vectors import VectorsIndex

if TYPE_CHECKING:
    from pipelines.browse.app import Browse

NAME = "map.parquet"
SIDE = 96
"""Pixels of a picture in the map."""
_AT_ONCE = 500
_SCHEMA = pa.schema([
    *((name, pa.string()) for name in ("key", "title", "emotion", "context", "source", "licence", "reason", "set")),
    ("score", pa.float32()),
    # as the hub's datasets hold images
    ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ("projection_x", pa.float32()),
    ("projection_y", pa.float32()),
])  # fmt: skip


def write_map(store: Store, options: BrowseOptions, folder: str, most: int, tell: Callable[[str], None]) -> Path:
    """Writes the map of ``most`` pictures, drawn by lot, and returns its path. UsageError where no vectors are kept."""
    target = Path(folder)
    if store.is_local and target.resolve().is_relative_to(Path(store.path("")).resolve()):
        raise UsageError(f"{folder} lies in the root; remedy: --map with a folder outside of it")
    with open_browse(store, options, tell) as browse:
        vectors = browse.questions.vectors
        if vectors is None:
            raise UsageError(f"{store.root} keeps no vectors; remedy: score.keep_vectors = true, before it is scored")
        numbers = _draw(vectors, most)
        held = np.stack([vector for number in numbers if (vector := vectors.vector_of(number)) is not None])
        places, how = project(held)
        tell(f"{len(numbers):,} pictures, placed by {how}")
        target.mkdir(parents=True, exist_ok=True)
        draft = target / f"{NAME}.draft"
        with pq.ParquetWriter(draft, _SCHEMA, compression="zstd") as writer:
            for group in row_groups(_SCHEMA, _AT_ONCE, _tables(browse, numbers, places)):
                writer.write_table(group)
        draft.replace(target / NAME)
    return target / NAME


def open_map(path: Path, tell: Callable[[str], None]) -> None:
    """Opens embedding-atlas on the map until it is stopped; tells how to where it is not installed."""
    command = ["embedding-atlas", str(path), "--x", "projection_x", "--y", "projection_y", "--image", "image"]
    if shutil.which(command[0]) is None:
        tell(f"embedding-atlas is not installed; remedy: uvx {' '.join(command)}")
        return
    subprocess.run(command, check=False)  # noqa: S603  a command that the person has installed


def project(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], str]:
    """[rows, 2] and by what: UMAP where umap-learn is installed, else the first two principal components."""
    if find_spec("umap") is not None and len(vectors) > 15:
        import umap

        placed = umap.UMAP(n_components=2, metric="cosine", random_state=0).fit_transform(vectors)
        return np.asarray(placed, np.float32), "UMAP"
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    return np.asarray(centred @ directions[:, :-3:-1], np.float32), "principal components (umap-learn is not installed)"


def _draw(vectors: VectorsIndex, most: int) -> list[int]:
    numbers = vectors.row_numbers()
    chosen = np.random.default_rng(0).permutation(numbers)[:most] if len(numbers) > most else numbers
    return [int(number) for number in np.sort(chosen)]


def _tables(browse: "Browse", numbers: list[int], places: NDArray[np.float32]) -> Iterator[pa.Table]:
    for first in range(0, len(numbers), _AT_ONCE):
        some = numbers[first : first + _AT_ONCE]
        rows: list[dict[str, Any]] = []
        for row, number, (x, y) in zip(browse.questions.rows(some), some, places[first:].tolist(), strict=False):
            jpeg = browse.pictures.read(number)
            image = {"bytes": shrink(jpeg, SIDE) if jpeg else None, "path": f"{row['key']}.jpg"}
            rows.append({**row, "image": image, "projection_x": x, "projection_y": y})
        yield pa.Table.from_pylist(rows, schema=_SCHEMA)
