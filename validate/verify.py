"""Proves a sealed archive whole: every file, count, digest, picture and caption is what the manifest says."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from moodarchive.errors import NotAnArchiveError
from moodarchive.layout import MANIFEST_PATH
from moodarchive.store import Store
from validate.contents import part_problems
from validate.history import history_problems, verdict_problems
from validate.manifest import Manifest, read_manifest
from validate.totals import provenance_problems, stale_parts, total_problems, unequal_parts

FREE_FOLDERS = ("report", "logs", "crawl", "study", "verdicts", "checkpoints", "model")
"""What an archive may hold beside what its manifest covers."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with which file, key or count."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def verify(store: Store, *, fast: bool = False) -> Iterator[Problem]:
    """Every problem found; none means that the archive is whole. ``fast`` checks presence and digests only."""
    if not store.exists(MANIFEST_PATH):
        raise NotAnArchiveError(f"{store.root} is not sealed: it has no {MANIFEST_PATH}; remedy: moodarchive run")
    try:
        manifest = read_manifest(store.read_bytes(MANIFEST_PATH))
    except ValueError as error:
        yield Problem(MANIFEST_PATH, f"cannot be read ({error})")
        return
    damaged = list(_files(store, manifest))
    yield from damaged
    yield from _sidecars(store, manifest)
    yield from _settings(store, manifest)
    yield from (Problem(MANIFEST_PATH, what) for what in total_problems(manifest))
    yield from (Problem(where, what) for where, what in history_problems(store, manifest))
    unequal = list(unequal_parts(manifest))
    yield from (Problem(name, what) for _, name, what in unequal)
    yield from (Problem(name, what) for name, what in stale_parts(manifest))
    if not fast and not damaged:
        yield from _contents(store, manifest, {part for part, name, _ in unequal if name not in manifest.parts})


def _files(store: Store, manifest: Manifest) -> Iterator[Problem]:
    """Files that are missing, too many, or other than they were."""
    expected, present = manifest.files, set(store.files())
    for path, sha256 in expected.items():
        if path not in present:
            yield Problem(path, "missing")
        elif store.sha256(path) != sha256:
            yield Problem(path, "its bytes are not those that were sealed")
    allowed = {*expected, MANIFEST_PATH, *(f"{name}.json" for name in manifest.parts)}
    for path in sorted(present - allowed):
        if path.split("/", 1)[0] not in FREE_FOLDERS:
            yield Problem(path, "not in the manifest")


def _sidecars(store: Store, manifest: Manifest) -> Iterator[Problem]:
    for name, sealed in manifest.parts.items():
        path = f"{name}.json"
        try:
            found = json.loads(store.read_bytes(path))
        except FileNotFoundError:
            yield Problem(path, "missing")
            continue
        except ValueError:
            yield Problem(path, "not JSON")
            continue
        if not isinstance(found, dict):
            yield Problem(path, "no sidecar")
            continue
        for field, value in sealed.without_timings().items():
            if found.get(field) != value:
                yield Problem(path, f"{field} is not what was sealed")


def _settings(store: Store, manifest: Manifest) -> Iterator[Problem]:
    if "settings.json" not in manifest.records or not store.exists("settings.json"):
        return
    try:
        found = json.loads(store.read_bytes("settings.json"))
    except ValueError:
        yield Problem("settings.json", "not JSON")
        return
    if found != manifest.settings:
        yield Problem("settings.json", "the settings are not those that were sealed")


def _contents(store: Store, manifest: Manifest, incomplete: set[int]) -> Iterator[Problem]:
    """What only the rows, tars and pictures tell; of an incomplete part there is nothing to compare."""
    sealed = set(manifest.files)
    for part in manifest.image_parts:
        if part not in incomplete:
            yield from (Problem(where, what) for where, what in part_problems(store, part, sealed))
    if not incomplete:
        yield from (Problem(MANIFEST_PATH, what) for what in provenance_problems(store, manifest))
        yield from (Problem(where, what) for where, what in verdict_problems(store, manifest))
