"""Reads EmoSet-118K (Yang et al., ICCV 2023): 118,102 pictures of Mikels' eight emotions, listed in JSON."""

from pathlib import Path
from typing import Any

from train.published.dataset import Labelled, Located, Publication
from train.published.listing import list_json

PUBLISHED = Publication(
    name="EmoSet-118K",
    obtained="its project page (vcc.tech/EmoSet) gives it out; the folder holds info.json, train.json, val.json, "
    "test.json, image/ and annotation/",
)
SPLITS = ("train", "val", "test")


def read_emoset(folder: Path) -> Labelled:
    """All three splits: nothing is trained here. The classes are those of info.json, in its order."""
    classes = _classes(PUBLISHED.file(folder, "info.json"))
    pictures, labels = [], []
    for split in SPLITS:
        listed = PUBLISHED.file(folder, f"{split}.json")
        entries = list_json(PUBLISHED, listed)
        if not isinstance(entries, list):
            raise PUBLISHED.error(f"{listed} is no list of [emotion, image, annotation]")
        for number, entry in enumerate(entries):
            emotion, picture = _entry(entry, listed, number)
            if emotion not in classes:
                raise PUBLISHED.error(f"{listed}, entry {number}: {emotion!r} is no emotion of info.json")
            pictures.append(Located(PUBLISHED.inside(picture, listed)))
            labels.append((classes.index(emotion),))
    return Labelled(name=PUBLISHED.name, folder=folder, classes=classes, pictures=pictures, labels=labels)


def _classes(path: Path) -> list[str]:
    try:
        indexes = list_json(PUBLISHED, path)["emotion"]["label2idx"]
        classes = sorted(indexes, key=lambda name: int(indexes[name]))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise PUBLISHED.error(f"{path} has no emotion.label2idx") from None
    if [int(indexes[name]) for name in classes] != list(range(len(classes))) or len(classes) < 2:
        raise PUBLISHED.error(f"{path}: emotion.label2idx does not count from 0")
    return classes


def _entry(entry: Any, listed: Path, number: int) -> tuple[str, str]:
    """Emotion and picture of [emotion, picture, annotation], or of [emotion, id, picture, annotation]."""
    if isinstance(entry, list) and len(entry) in (3, 4):
        emotion, picture, annotation = entry[0], entry[-2], entry[-1]  # an id, text or number, says nothing more
        if isinstance(emotion, str) and isinstance(picture, str) and isinstance(annotation, str):
            return emotion, picture
    raise PUBLISHED.error(
        f"{listed}, entry {number} is neither [emotion, picture, annotation] nor [emotion, id, picture, annotation]: "
        f"{str(entry)[:100]}"
    )
