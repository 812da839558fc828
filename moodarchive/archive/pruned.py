"""Which parts of images/ gave up their pictures after a seal (``pruned.json``); shards hold those that are kept."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from moodarchive.errors import DamagedPartError
from moodarchive.storage.store import Store
from moodarchive.tables.parts import Sidecar
from moodarchive.tables.schemas import IMAGES

PRUNED_PATH = "pruned.json"


@dataclass(frozen=True, kw_only=True)
class PrunedFile:
    """``whole``: the sha256 in the sidecar, by which later tables know it; ``left``, ``size``: of what is left;
    ``seal``: the last one before the pictures went."""

    whole: str
    left: str
    size: int
    seal: int


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """The pruned files by path; ``done`` is false from before the first picture goes until after the last."""

    files: Mapping[str, PrunedFile] = field(default_factory=dict)
    done: bool = True

    def standing(self, store: Store, images: Mapping[int, Sidecar]) -> "Pruned":
        """Without the files that hold pictures again: made anew, or brought back from a copy."""
        made = {path: sha256 for sidecar in images.values() for path, sha256 in sidecar.files.items()}
        sizes = store.files(IMAGES.name) if self.files else {}
        files = {
            path: file
            for path, file in self.files.items()
            if made.get(path) == file.whole and (not file.left or sizes.get(path) == file.size)
        }
        return Pruned(files=files, done=self.done)


def read_pruned(store: Store) -> Pruned:
    """What was pruned, nothing when there is no record; DamagedPartError for one that cannot be read."""
    try:
        record = json.loads(store.read_bytes(PRUNED_PATH))
        files = {path: PrunedFile(**file) for path, file in record["files"].items()}
        return Pruned(files=files, done=bool(record["done"]))
    except FileNotFoundError:
        return Pruned()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedPartError(
            f"{store.root}/{PRUNED_PATH} cannot be read ({error!r}); remedy: restore it from a copy"
        ) from None


def keep_pruned(store: Store, path: str, fresh: Sidecar) -> None:
    """A part that had lost its pictures has none after it was written anew: the record takes on its digests."""
    pruned = read_pruned(store)
    if path in pruned.files:
        left = replace(pruned.files[path], whole=fresh.sha256, left=fresh.sha256, size=fresh.bytes)
        write_pruned(store, replace(pruned, files={**pruned.files, path: left}))


def write_pruned(store: Store, pruned: Pruned) -> None:
    """Writes the record whole."""
    store.write_bytes(PRUNED_PATH, (json.dumps(asdict(pruned), indent=1, sort_keys=True) + "\n").encode())
