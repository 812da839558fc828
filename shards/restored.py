"""Pictures that images/ no longer holds are taken from the shards themselves, so that what stays keeps its bytes."""

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa

from moodarchive.archive.pruned import read_pruned
from moodarchive.errors import PrunedPictureError
from moodarchive.running.stage import Readers, Worker
from moodarchive.storage.store import Store
from moodarchive.tables.layout import SETS
from moodarchive.tables.parts import Origin, Sidecar, part_path
from moodarchive.tables.schemas import IMAGES, Table
from shards.tars import tar_path, write_shards

STASH_SUFFIX = ".stash"
Span = tuple[int, int]


@dataclass(frozen=True)
class PruneAwarePacker:
    """Packs a part; if its pictures were pruned, those of its own last shards."""

    packer: Worker
    store: Store

    def __call__(self, part: int, readers: Readers) -> Iterator[pa.RecordBatch]:
        """The packer's samples. PrunedPictureError names kept images whose picture is nowhere any more."""
        if part_path(IMAGES, part) not in read_pruned(self.store).files:
            yield from self.packer(part, readers)
            return
        _fill_stash(self.store, part)
        with self.store.open_read(stash_path(part)) as stash:
            whole = {**readers, IMAGES.name: _restore_pictures(readers[IMAGES.name], stash)}
            for samples in self.packer(part, whole):
                if samples["jpg"].null_count:
                    raise _lost_pictures_error(part, samples)
                yield samples


def write_and_remove_stash(
    store: Store, table: Table, part: int, batches: Iterator[pa.RecordBatch], origin: Origin
) -> Sidecar:
    """Writes the part's shards; the pictures that were set aside for them are then no longer needed."""
    sidecar = write_shards(store, table, part, batches, origin)
    store.remove(stash_path(part))
    return sidecar


def stash_path(part: int) -> str:
    """``shards/NNNNN.stash``: a tar of the part's pictures, while its shards are written anew."""
    return f"shards/{part:05d}{STASH_SUFFIX}"


def remove_stashes(store: Store) -> None:
    """What a kill between a part's sidecar and its tidying left."""
    for name in store.names("shards"):
        if name.endswith(STASH_SUFFIX):
            store.remove(f"shards/{name}")


def _fill_stash(store: Store, part: int) -> None:
    """Sets the pictures of all the part's shards aside, once: a kill between two new shards must lose none of them."""
    if store.exists(stash_path(part)):
        return
    with (
        store.draft(stash_path(part)) as file,
        tarfile.open(fileobj=file, mode="w|", format=tarfile.USTAR_FORMAT) as new,
    ):
        for name in SETS:
            if store.exists(tar_path(name, part)):
                with store.open_read(tar_path(name, part)) as old, tarfile.open(fileobj=old, mode="r:") as tar:
                    for member in tar:
                        if member.name.endswith(".jpg"):
                            new.addfile(member, tar.extractfile(member))


def _restore_pictures(
    read: Callable[[], Iterator[pa.RecordBatch]], stash: BinaryIO
) -> Callable[[], Iterator[pa.RecordBatch]]:
    spans = _spans(stash)

    def read_restored() -> Iterator[pa.RecordBatch]:
        for batch in read():
            keys, stored = batch["key"].to_pylist(), batch["bytes"].to_pylist()
            pictures = [data or _picture(stash, spans.get(key)) for key, data in zip(keys, stored, strict=True)]
            column = batch.schema.get_field_index("bytes")
            yield batch.set_column(column, batch.schema.field(column), pa.array(pictures, pa.binary()))

    return read_restored


def _spans(stash: BinaryIO) -> dict[str, Span]:
    with tarfile.open(fileobj=stash, mode="r:") as tar:
        return {member.name.partition(".")[0]: (member.offset_data, member.size) for member in tar}


def _picture(stash: BinaryIO, span: Span | None) -> bytes | None:
    if span is None:
        return None
    stash.seek(span[0])
    return stash.read(span[1])


def _lost_pictures_error(part: int, samples: pa.RecordBatch) -> PrunedPictureError:
    keys = [key for key, data in zip(samples["key"].to_pylist(), samples["jpg"].to_pylist(), strict=True) if not data]
    return PrunedPictureError(
        f"{len(keys)} images of part {part:05d} are kept now, but were not when images/ was pruned: their pictures are "
        f"gone ({', '.join(keys[:3])}); remedy: set the cut's settings back, or restore images/{part:05d}.parquet and "
        ".json from a copy, or remove both files and run again, which downloads the part anew"
    )
