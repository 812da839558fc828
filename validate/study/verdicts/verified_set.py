"""What MoodArchive-5k says of itself, and what may be wrong with one."""

from collections.abc import Iterator, Mapping

from moodarchive.archive.manifest import VerifiedManifest
from moodarchive.storage.store import Store
from moodarchive.tables.layout import DOUBTFUL, MANIFEST_PATH, VERIFIED_FOLDER
from moodarchive.tables.parquet import read_table as read_parquet
from moodarchive.tables.parts import finished_parts, read_part
from moodarchive.tables.schemas import SELECTION

NAME, VERIFIED_IMAGES = "MoodArchive-5k", 5_000


def render_card(manifest: VerifiedManifest, asked: int) -> str:
    """README.md of the set."""
    simulated = (
        "**Simulated: no person has verified anything here.** Programs of known skill answered, as a rehearsal.\n\n"
        if manifest.simulated
        else ""
    )
    answers = ", ".join(f"{number} images by {count}" for count, number in manifest.answers_per_image.items()) or "none"
    licences = "".join(f"| {name} | {number} |\n" for name, number in manifest.licences.items())
    return (
        f"# {NAME}\n\n{simulated}"
        f"{manifest.samples} of {VERIFIED_IMAGES} held-out images whose caption people accepted: preferred to the "
        "web's alt-text, and all five sentences accurate. The first of the held-out images in the order of their "
        "content hash. For evaluation only; neither they nor their look-alikes are in the training set.\n\n"
        f"Verified by so many people: {answers}. Nobody is named. Each sample's json says under `human_verification` "
        f"how they voted. The study asked about {asked} items.\n\n"
        "Each image keeps its own licence; pass ATTRIBUTION.parquet on with them.\n\n"
        f"| licence | images |\n|---|---|\n{licences}"
    )


def find_problems(store: Store) -> Iterator[tuple[str, str]]:
    """(where, what) for everything wrong with the set; nothing when there is none."""
    path = f"{VERIFIED_FOLDER}/{MANIFEST_PATH}"
    if not store.files(VERIFIED_FOLDER):
        return
    try:
        files = VerifiedManifest.from_json(store.read_bytes(path)).files
    except (FileNotFoundError, ValueError):
        yield path, "missing or damaged; remedy: moodarchive study apply"
        return
    present = set(store.files(VERIFIED_FOLDER))
    for name, sha256 in files.items():
        inside = f"{VERIFIED_FOLDER}/{name}"
        if inside not in present:
            yield inside, "missing"
        elif store.sha256(inside) != sha256:
            yield inside, "its bytes are not those that were sealed"
    known = {f"{VERIFIED_FOLDER}/{name}" for name in files} | _sidecars(files) | {path}
    yield from ((inside, "not in the manifest") for inside in sorted(present - known))
    indexes = [name for name in files if name.startswith("shards/") and name.endswith(".parquet")]
    yield from _strangers(store, [f"{VERIFIED_FOLDER}/{name}" for name in indexes])


def _sidecars(files: Mapping[str, str]) -> set[str]:
    tars = (name.rsplit("/", 1)[-1] for name in files if name.endswith(".tar"))
    return {f"{VERIFIED_FOLDER}/shards/{name.removesuffix('.tar')}.json" for name in tars}


def _strangers(store: Store, indexes: list[str]) -> Iterator[tuple[str, str]]:
    """Images that the archive no longer keeps among the held-out ones, such as those that were taken down."""
    heldout: set[str] = set()
    for part in finished_parts(store, SELECTION):
        for batch in read_part(store, SELECTION, part, columns=["key", "kept", "split", "verdict"], batch_rows=10_000):
            heldout |= {
                row["key"]
                for row in batch.to_pylist()
                if row["kept"] and row["split"] == "heldout" and row["verdict"] != DOUBTFUL
            }
    for path in indexes:
        if not store.exists(path):
            continue
        with store.open_read(path) as file:
            for key in read_parquet(file, columns=["key"])["key"].to_pylist():
                if key not in heldout:
                    yield key, f"in {path}, but no kept held-out image; remedy: moodarchive study apply"
