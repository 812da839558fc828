"""A sealed archive on an object store changes as one on a disk does."""

import fsspec

from moodarchive.storage.store import Store
from moodarchive.tables.schemas import IMAGES
from pipelines.change.reseal import finish
from pipelines.change.verbs import prune, take_down
from shards.history import changes_between, seal_numbers
from tests.making import rows_of
from tests.object_store import BUCKET, ObjectStore, object_store  # noqa: F401  the fixture ``server``
from tests.whole_root import Pictured, add_round, timeless_files
from validate.verify import verify


def test_takedown_prune_and_a_later_round_leave_on_s3_what_they_do_on_a_disk(
    server: ObjectStore, archive: Store
) -> None:
    remote = Store(f"s3://{BUCKET}/changed")
    fsspec.filesystem("s3").put(f"{archive.root}/", f"{BUCKET}/changed/", recursive=True)
    names = f"{archive.root}.txt"
    with open(names, "w") as file:
        file.write(f"{Pictured(7).url}\ncreator: Ann Müller 2\n")
    again = dict.fromkeys((0, 4, 9, 10, 11), ("love", "facial_expressions"))
    for store in (archive, remote):
        take_down(store, names, lambda _: None)
        prune(store, lambda _: None)
        add_round(store, [100, 101, *again], again)
        assert finish(store)
        assert list(verify(store)) == []
    assert seal_numbers(remote) == [0, 1, 2, 3]
    assert changes_between(remote, 2, 3).samples_relabelled.keys() == {"fear to love", "joy to love"}
    assert changes_between(remote, 0, 1).samples_out == changes_between(archive, 0, 1).samples_out != {}
    assert not any(row["bytes"] for row in rows_of(remote, IMAGES, 0))
    assert timeless_files(remote) == timeless_files(archive)
