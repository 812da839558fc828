"""The parts of images/ lose their pictures, once a seal says that the shards hold those that are kept."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import pyarrow as pa

from moodarchive.archive.manifest import ArchiveManifest
from moodarchive.archive.pruned import Pruned, PrunedFile, read_pruned, write_pruned
from moodarchive.errors import NotWholeError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH
from moodarchive.tables.parts import finished_parts, part_path, read_part, write_part_file
from moodarchive.tables.schemas import IMAGES
from validate.verify import verify


def refuse_unsound(store: Store) -> None:
    """NotWholeError unless every file is what was sealed: what is dropped here cannot be had again."""
    problems = list(islice(verify(store, fast=True), 3))
    if problems:
        raise NotWholeError(
            f"{store.root} is not whole, nothing was dropped: {'; '.join(map(str, problems))}; remedy: moodarchive "
            "verify names every problem"
        )


def plan_pruning(store: Store) -> bool:
    """Records which parts are to lose their pictures, before any does; False when all have lost them. It is sealed."""
    seal = ArchiveManifest.from_json(store.read_bytes(MANIFEST_PATH)).seal
    images = finished_parts(store, IMAGES)
    pruned = read_pruned(store).standing(store, images)
    fresh = {
        path: PrunedFile(whole=sidecar.sha256, left="", size=0, seal=seal)
        for part, sidecar in images.items()
        if (path := part_path(IMAGES, part)) not in pruned.files
    }
    if fresh:
        write_pruned(store, Pruned(files={**pruned.files, **fresh}, done=False))
    return bool(fresh)


def drop_pictures(store: Store) -> None:
    """Writes each planned part without its pictures; repeated after a kill, it ends with the same bytes."""
    pruned = read_pruned(store)
    files = dict(pruned.files)
    for part in finished_parts(store, IMAGES):
        path = part_path(IMAGES, part)
        if path in files and not files[path].left:
            left = write_part_file(store, IMAGES, part, _without_pictures(store, part))
            size = store.fs.size(store.path(path))
            files[path] = replace(files[path], left=left, size=size)
    write_pruned(store, Pruned(files=files, done=True))


def _without_pictures(store: Store, part: int) -> Iterator[pa.RecordBatch]:
    columns = [name for name in IMAGES.schema.names if name != "bytes"]
    for batch in read_part(store, IMAGES, part, columns=columns):
        rows = {**{name: batch[name] for name in columns}, "bytes": pa.nulls(batch.num_rows, pa.binary())}
        yield pa.RecordBatch.from_arrays([rows[name] for name in IMAGES.schema.names], schema=IMAGES.schema)
