"""What repeats rows outside the tables forgets what was taken down: answers, logs, pages, the study, MoodArchive-5k."""

import io
from dataclasses import replace

from crawl.http.search_cache import forget_answers
from moodarchive.running.part_log import log_path
from moodarchive.storage.store import Store
from moodarchive.tables.layout import VERIFIED_FOLDER
from moodarchive.tables.parquet import read_table as read_parquet
from moodarchive.tables.schemas import CANDIDATES, ITEMS
from pipelines.change.matching import parts_holding
from validate.study.design.items import ITEMS_PATH, Item, read_items, write_items

_STAGES = ("search", "download", "safety", "caption", "score", "pack")
_WORDS = ("original", "summary", "assessment", "title", "creator", "landing_url")
"""The study's texts of an image; its votes stay."""


def forget_beside(store: Store, keys: frozenset[str]) -> None:
    """Removes pages, answers, logs and exports that may tell of the keys; the study's items lose their words."""
    forget_answers(store)
    parts = {*parts_holding(store, ITEMS, keys), *parts_holding(store, CANDIDATES, keys)}
    for stage in _STAGES:
        for part in parts:
            store.remove(log_path(stage, part))
    for path in store.files("report"):
        if path.endswith(".html"):
            store.remove(path)
    _forget_in_study(store, keys)
    _forget_verified(store, keys)


def _forget_in_study(store: Store, keys: frozenset[str]) -> None:
    if not store.exists(ITEMS_PATH):
        return
    items = read_items(store)
    names = {item.item for item in items if item.key in keys} | keys
    if names == keys:
        return
    for path in store.files("study"):
        # what was exported to vendors: pictures by item, and files that name items
        exported = "/mturk/" in path or "/label-studio/" in path or path.endswith(".html")
        if exported and (any(name in path for name in names) or _names_any(store, path, names)):
            store.remove(path)
    write_items(store, [_without_words(item) if item.key in keys else item for item in items])


def _without_words(item: Item) -> Item:
    """The item as its votes need it."""
    return replace(item, **dict.fromkeys(_WORDS, ""), stimuli=("",) * len(item.stimuli))  # type: ignore[arg-type]


def _names_any(store: Store, path: str, names: set[str]) -> bool:
    if path.endswith((".jpg", ".jpeg")):
        return False
    text = store.read_bytes(path).decode("utf-8", "replace")
    return any(name in text for name in names)


def _forget_verified(store: Store, keys: frozenset[str]) -> None:
    """MoodArchive-5k goes as a whole when it holds one of them: `moodarchive study apply` makes it anew without."""
    files = list(store.files(VERIFIED_FOLDER))
    held = (
        not keys.isdisjoint(read_parquet(io.BytesIO(store.read_bytes(path)), columns=["key"])["key"].to_pylist())
        for path in files
        if path.endswith(".parquet")
    )
    if any(held):
        # the manifest first: half a set must not pass for one
        for path in sorted(files, key=lambda path: not path.endswith("/manifest.json")):
            store.remove(path)
