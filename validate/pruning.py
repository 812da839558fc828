"""The record of what was pruned says what the manifest says, and no prune stands half done."""

from collections.abc import Iterator

from moodarchive.archive.manifest import ArchiveManifest
from moodarchive.archive.pruned import PRUNED_PATH, read_pruned
from moodarchive.errors import DamagedPartError
from moodarchive.storage.store import Store


def pruning_problems(store: Store, manifest: ArchiveManifest) -> Iterator[tuple[str, str]]:
    """(where, what) for a record that is unreadable, unfinished, or not that of the manifest and of the parts."""
    try:
        pruned = read_pruned(store)
    except DamagedPartError as error:
        yield PRUNED_PATH, str(error)
        return
    if not pruned.done:
        yield PRUNED_PATH, "this prune has not been carried out; remedy: moodarchive prune goes on with it"
    if {path: file.left for path, file in pruned.files.items()} != manifest.pruned:
        yield PRUNED_PATH, "its files are not those of the manifest"
    whole = {path: sha256 for part in manifest.parts.values() for path, sha256 in part.files.items()}
    for path, file in pruned.files.items():
        if whole.get(path) != file.whole:
            yield PRUNED_PATH, f"{path} was another part when it was pruned"
