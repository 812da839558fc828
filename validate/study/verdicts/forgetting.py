"""What a takedown asks of a study: its copies of texts and pictures of erased images go too; answers stay, unnamed."""

from dataclasses import replace

from moodarchive.storage.store import Store
from moodarchive.tables.layout import TAKEN_DOWN
from moodarchive.tables.parts import finished_parts, read_part
from moodarchive.tables.schemas import SELECTION
from validate.study.design.items import ITEMS_PATH, Item, read_items, write_items
from validate.study.label_studio.files import LABEL_STUDIO_FOLDER
from validate.study.mturk.files import MTURK_FOLDER

_EXPORTS = (f"{MTURK_FOLDER}/input.csv", f"{LABEL_STUDIO_FOLDER}/tasks.json")


def forget_taken_down(store: Store) -> int:
    """Blanks the items of images that were taken down, and removes their pictures and the exports that tell of them.

    Returns how many items were blanked; repeated, it changes nothing more.
    """
    items = read_items(store)
    gone = _find_taken_down(store, {item.key for item in items})
    forgotten = [item for item in items if item.key in gone and item.summary]
    for item in items:
        if item.key in gone:
            for folder in (MTURK_FOLDER, LABEL_STUDIO_FOLDER):
                store.remove(f"{folder}/pictures/{item.item}.jpg")
    # a gold question may show another picture's caption: that picture's text goes with it
    lost = {item.sentences for item in forgotten if not item.gold}
    blanked = [_blank(item) if item.key in gone or item.sentences in lost else item for item in items]
    if forgotten:
        for path in _EXPORTS:
            store.remove(path)
        write_items(store, blanked)
    return len(forgotten)


def _blank(item: Item) -> Item:
    return replace(
        item, original="", summary="", stimuli=(), assessment="", title="", creator="", licence_url="", landing_url=""
    )


def _find_taken_down(store: Store, keys: set[str]) -> set[str]:
    keys_gone: set[str] = set()
    for part in finished_parts(store, SELECTION):
        for batch in read_part(store, SELECTION, part, columns=["key", "reason"], batch_rows=10_000):
            keys_gone |= {row["key"] for row in batch.to_pylist() if row["reason"] == TAKEN_DOWN and row["key"] in keys}
    return keys_gone


def forget(store: Store, keys: frozenset[str]) -> None:
    """Blanks the items of the keys, and removes pictures, exports and pages that name them; the votes stay."""
    if not store.exists(ITEMS_PATH):
        return
    items = read_items(store)
    names = {item.item for item in items if item.key in keys} | keys
    if names == keys:
        return
    for path in store.files("study"):
        exported = path.startswith((f"{MTURK_FOLDER}/", f"{LABEL_STUDIO_FOLDER}/")) or path.endswith(".html")
        if exported and (any(name in path for name in names) or _names_any(store, path, names)):
            store.remove(path)
    write_items(store, [_without_words(item) if item.key in keys else item for item in items])


def _without_words(item: Item) -> Item:
    """The item as its votes need it."""
    return replace(
        item,
        original="",
        summary="",
        stimuli=("",) * len(item.stimuli),
        assessment="",
        title="",
        creator="",
        landing_url="",
    )


def _names_any(store: Store, path: str, names: set[str]) -> bool:
    if path.endswith((".jpg", ".jpeg")):
        return False
    text = store.read_bytes(path).decode("utf-8", "replace")
    return any(name in text for name in names)
