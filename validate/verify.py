"""Proves a sealed archive whole: every file, count, digest, picture and caption is what the manifest says."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moodarchive.errors import NotAnArchiveError
from moodarchive.schemas import TABLES
from moodarchive.store import Store
from validate.contents import part_problems

MANIFEST_PATH = "manifest.json"
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
        manifest = json.loads(store.read_bytes(MANIFEST_PATH))
        expected = _expected_files(manifest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        yield Problem(MANIFEST_PATH, f"cannot be read ({type(error).__name__}: {error})")
        return
    present = store.files()
    yield from _presence(manifest, expected, set(present))
    damaged = set()
    for path, sha256 in expected.items():
        if path in present and store.sha256(path) != sha256:
            damaged.add(path)
            yield Problem(path, "its bytes are not those that were sealed")
    yield from _sidecars(store, manifest)
    yield from _settings(store, manifest)
    yield from _counts(manifest)
    if not fast and not damaged:
        for part in _image_parts(manifest):
            yield from (Problem(where, what) for where, what in part_problems(store, part, set(expected)))


def _expected_files(manifest: dict[str, Any]) -> dict[str, str]:
    files = {path: sha for part in manifest["parts"].values() for path, sha in part["files"].items()}
    return {**files, **manifest["records"]}


def _presence(manifest: dict[str, Any], expected: dict[str, str], present: set[str]) -> Iterator[Problem]:
    for path in sorted(set(expected) - present):
        yield Problem(path, "missing")
    allowed = set(expected) | {MANIFEST_PATH} | {f"{name}.json" for name in manifest["parts"]}
    for path in sorted(present - allowed):
        if path.split("/", 1)[0] not in FREE_FOLDERS:
            yield Problem(path, "not in the manifest")


def _sidecars(store: Store, manifest: dict[str, Any]) -> Iterator[Problem]:
    for name, sealed in manifest["parts"].items():
        path = f"{name}.json"
        try:
            found = json.loads(store.read_bytes(path))
        except FileNotFoundError:
            yield Problem(path, "missing")
            continue
        except ValueError:
            yield Problem(path, "not JSON")
            continue
        for field, value in sealed.items():
            if found.get(field) != value:
                yield Problem(path, f"{field} is not what was sealed")


def _settings(store: Store, manifest: dict[str, Any]) -> Iterator[Problem]:
    if "settings.json" in manifest["records"] and store.exists("settings.json"):
        try:
            found = json.loads(store.read_bytes("settings.json"))
        except ValueError:
            yield Problem("settings.json", "not JSON")
            return
        if found != manifest["settings"]:
            yield Problem("settings.json", "the settings are not those that were sealed")


def _counts(manifest: dict[str, Any]) -> Iterator[Problem]:
    """Sums over parts equal the manifest's totals, and neighbouring tables hold equally many rows."""
    for table in TABLES:
        parts = [part for name, part in manifest["parts"].items() if part["table"] == table.name]
        rows = sum(part["rows"] for part in parts)
        if rows != manifest["counts"][table.name]["rows"]:
            yield Problem(MANIFEST_PATH, f"{table.name}: parts hold {rows} rows, the total says otherwise")
    for part in _image_parts(manifest):
        dealt = manifest["parts"][f"dealt/{part:05d}"]["rows"]
        for name in ("images", "safety", "captions", "scores", "kept"):
            of_table = manifest["parts"].get(f"{name}/{part:05d}", {"rows": 0})
            if of_table["rows"] != dealt:
                yield Problem(f"{name}/{part:05d}", f"{of_table['rows']} rows, dealt has {dealt}")


def _image_parts(manifest: dict[str, Any]) -> list[int]:
    return sorted(int(name.split("/")[1]) for name in manifest["parts"] if name.startswith("dealt/"))
