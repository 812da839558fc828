"""Proves the files of a sealed set: each is what its manifest and its sidecar say, and no other lies there."""

from collections.abc import Iterator, Mapping, Sequence

from moodarchive.errors import MoodArchiveError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import Table
from validate.verify import Problem

_FREE = ("crawl/", "logs/", "ray/")
"""What a build notes of itself: its heartbeat, and its parts' logs."""


def file_problems(store: Store, files: Mapping[str, str], tables: Sequence[Table]) -> Iterator[Problem]:
    """Every file that is missing, changed or foreign; ``files`` are the manifest's, path → sha256."""
    present = store.files()
    for path, sha256 in files.items():
        if path not in present:
            yield Problem(path, "is missing")
        elif store.sha256(path) != sha256:
            yield Problem(path, "is not what was sealed")
    covered: dict[str, str] = {}
    sidecars: set[str] = set()
    for table in tables:
        try:
            for part, sidecar in finished_parts(store, table).items():
                sidecars.add(f"{table.name}/{part:05d}.json")
                covered |= sidecar.files
        except MoodArchiveError as error:
            yield Problem(table.name, str(error))
    yield from _sidecar_problems(files, covered, tables)
    for path in sorted(present.keys() - files.keys() - sidecars - {MANIFEST_PATH}):
        if not path.startswith(_FREE):
            yield Problem(path, "is not part of what was sealed")


def _sidecar_problems(
    files: Mapping[str, str], covered: Mapping[str, str], tables: Sequence[Table]
) -> Iterator[Problem]:
    folders = {table.name for table in tables}
    sealed = {
        path: sha256
        for path, sha256 in files.items()
        if path.partition("/")[0] in folders and not path.endswith("sizes.json")
    }
    for path in sorted(sealed.keys() | covered.keys()):
        if files.get(path) != covered.get(path):
            yield Problem(path, "its sidecar and the manifest say different things of it")
