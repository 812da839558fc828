"""Opens MoodArchive-5k, the held-out images that people verified, as an archive to measure on."""

import hashlib
import json
from dataclasses import dataclass

from moodarchive.archive.manifest import VerifiedManifest
from moodarchive.errors import NotAnArchiveError
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from moodarchive.tables.layout import MANIFEST_PATH, VERIFIED_FOLDER
from train.data.archive import SealedArchive, Shard


@dataclass(frozen=True, kw_only=True)
class Verified:
    """The set; ``simulated`` when programs and no people judged it."""

    archive: SealedArchive
    simulated: bool


def open_verified(root: str) -> Verified:
    """NotAnArchiveError when no study of the archive has been applied, or the set cannot be read."""
    inner = Store(f"{root.rstrip('/')}/{VERIFIED_FOLDER}")
    path = f"{inner.root}/{MANIFEST_PATH}"
    try:
        text = inner.read_bytes(MANIFEST_PATH)
        manifest = VerifiedManifest.from_json(text)
        files, folder = manifest.files, "shards/heldout"
        sizes = json.loads(inner.read_bytes(f"{folder}/sizes.json"))
        shards = [
            Shard(
                root=inner.root,
                tar=f"{folder}/{tar}",
                tar_sha256=files[f"{folder}/{tar}"],
                index=(index := f"{folder}/{tar.removesuffix('.tar')}.parquet"),
                index_sha256=files[index],
                samples=int(samples),
            )
            for tar, samples in sorted(sizes.items())
        ]
    except FileNotFoundError:
        raise NotAnArchiveError(f"{path} is missing; remedy: moodarchive study apply {root} makes the set") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotAnArchiveError(f"{path} cannot be read: {error!r}; remedy: moodarchive study apply {root}") from None
    if not shards:
        raise NotAnArchiveError(f"{path} names no verified image; remedy: a study with accepted held-out images")
    seal = digest(hashlib.sha256(text).hexdigest())
    archive = SealedArchive(root=inner.root, seal=seal, shards=shards)
    return Verified(archive=archive, simulated=manifest.simulated)
