"""Where browse keeps what it made of a root: a folder outside it, named by the root and by the state of its tables."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from moodarchive.tables.schemas import HUMAN_VERDICTS, SHARD_INDEX, TABLES

INDEX_VERSION = 2
"""Raised whenever the form of what is cached changes."""
_DRAFT = ".draft-"
_FOLLOWED = (*TABLES, HUMAN_VERDICTS)


def cache_home() -> Path:
    """The user's cache folder of this platform; ``MOODARCHIVE_CACHE`` names another."""
    if own := os.environ.get("MOODARCHIVE_CACHE"):
        return Path(own)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "moodarchive"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moodarchive"


def root_folder(store: Store, home: Path) -> Path:
    """All that is cached of the root, whatever its state."""
    return home / "browse" / digest([store.path("") if store.is_local else store.root])


def read_state(store: Store) -> str:
    """A digest of the sidecars' names, sizes and times: another one when any part was written anew.

    The sidecars themselves are not opened: of 4,000 parts that would take seconds.
    """
    entries = [entry for table in _FOLLOWED for entry in _list_sidecars(store, table.name)]
    return digest([INDEX_VERSION, SHARD_INDEX.name, sorted(entries)])


def _list_sidecars(store: Store, folder: str) -> Iterator[list[str]]:
    if store.is_local:
        try:
            with os.scandir(store.path(folder)) as listing:
                for entry in listing:
                    if entry.name.endswith(".json"):
                        status = entry.stat()
                        yield [folder, entry.name, str(status.st_size), str(status.st_mtime_ns)]
        except FileNotFoundError:
            return
        return
    try:
        listing = store.fs.ls(store.path(folder), detail=True, refresh=True)
    except FileNotFoundError:
        return
    for entry in listing:
        if entry["name"].endswith(".json"):
            changed = entry.get("ETag") or entry.get("LastModified") or entry.get("mtime") or ""
            yield [folder, entry["name"], str(entry["size"]), str(changed)]


def begin_draft(folder: Path) -> Path:
    """An empty folder beside ``folder``, to be made ready and then renamed by ``publish``."""
    draft = folder.with_name(f"{folder.name}{_DRAFT}{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    return draft


def publish(draft: Path, folder: Path) -> None:
    """Gives the draft its name, and removes what earlier states of the root and killed programs have left."""
    try:
        draft.rename(folder)
    except OSError:  # another process was quicker, with the same contents
        shutil.rmtree(draft)
    for other in folder.parent.iterdir():
        if other == folder or not other.is_dir():
            continue
        _, is_draft, pid = other.name.partition(_DRAFT)
        if not is_draft or not psutil.pid_exists(int(pid)):
            shutil.rmtree(other, ignore_errors=True)


def note_home(store: Store, home: Path) -> None:
    """Writes down that the root is also cached in ``home``, so that a takedown finds it there."""
    if home.resolve() == cache_home().resolve() or str(home.resolve()) in _noted_homes(store):
        return
    path = _notes_path(store)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(str(home.resolve())) + "\n")


def forget_root(store: Store) -> None:
    """Removes all that this user has cached of the root on this machine: pictures of it were taken down."""
    for folder in _caches(store):
        shutil.rmtree(folder, ignore_errors=True)
    if not find_caches(store):  # else they stay noted, for the next takedown
        _notes_path(store).unlink(missing_ok=True)


def find_caches(store: Store) -> list[Path]:
    """The folders that there are."""
    return [folder for folder in _caches(store) if folder.exists()]


def _caches(store: Store) -> list[Path]:
    return [root_folder(store, home) for home in (cache_home(), *map(Path, _noted_homes(store)))]


def _notes_path(store: Store) -> Path:
    folder = root_folder(store, cache_home())
    return folder.with_name(f"{folder.name}.homes.jsonl")


def _noted_homes(store: Store) -> list[str]:
    """Other caches of the root; a line that a kill cut short is passed over."""
    homes = []
    try:
        lines = _notes_path(store).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    for line in lines:
        try:
            homes.append(str(json.loads(line)))
        except ValueError:
            continue
    return list(dict.fromkeys(homes))
