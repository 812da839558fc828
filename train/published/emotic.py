"""Reads EMOTIC (Kosti et al., TPAMI 2019): people in pictures, each with some of 26 emotions, in one MATLAB file."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moodarchive.errors import MissingExtraError
from train.evaluation.scoring import LeftOut
from train.published.dataset import Labelled, Located, Publication
from train.published.listing import MAX_LIST_BYTES

CLASSES = (
    "Affection", "Anger", "Annoyance", "Anticipation", "Aversion", "Confidence", "Disapproval", "Disconnection",
    "Disquietment", "Doubt/Confusion", "Embarrassment", "Engagement", "Esteem", "Excitement", "Fatigue", "Fear",
    "Happiness", "Pain", "Peace", "Pleasure", "Sadness", "Sensitivity", "Suffering", "Surprise", "Sympathy", "Yearning",
)  # fmt: skip
PUBLISHED = Publication(
    name="EMOTIC",
    obtained="its project page (s3.sunai.uoc.edu/emotic) gives it out on request; the folder holds "
    "Annotations/Annotations.mat and the pictures under emotic/",
)
SPLITS = ("train", "val", "test")


def read_emotic(folder: Path) -> Labelled:
    """Every annotated person of all three splits, seen by the person's box: what is labelled is the person.

    Labels are ``annotations_categories`` in train (one annotator) and ``combined_categories`` in val and test. People
    without any are left out.
    """
    path = PUBLISHED.file(folder, "Annotations/Annotations.mat", "Annotations.mat")
    under = PUBLISHED.pictures_under(folder, "emotic", "images")
    indexes = {name.casefold(): index for index, name in enumerate(CLASSES)}
    pictures, labels, left_out = [], [], []
    for split, number, image, person in _people(path):
        where = f"{path}, {split}, picture {number}"
        try:
            box = tuple(float(value) for value in np.ravel(person["body_bbox"]))
            names = _emotion_names(person, split)
            file = f"{image['folder']}/{image['filename']}"
        except (KeyError, TypeError, ValueError) as error:
            raise PUBLISHED.error(f"{where} lacks {error}") from None
        unknown = [name for name in names if name.casefold() not in indexes]
        if unknown or len(box) != 4 or not np.isfinite(box).all():
            raise PUBLISHED.error(f"{where} has a person without four corners or with other emotions: {unknown or box}")
        located = Located(f"{under}{PUBLISHED.inside(file, path)}", (box[0], box[1], box[2], box[3]))
        if not names:
            left_out.append(LeftOut(picture=located.path, reason="no_label"))
            continue
        pictures.append(located)
        labels.append(sorted({indexes[name.casefold()] for name in names}))
    if not labels:
        raise PUBLISHED.error(f"{path} names no person")
    classes = [name.replace("/", " or ").lower() for name in CLASSES]
    return Labelled(
        name=PUBLISHED.name, folder=folder, classes=classes, pictures=pictures, labels=labels, left_out=left_out
    )


def _people(path: Path) -> Iterator[tuple[str, int, Mapping[str, Any], Mapping[str, Any]]]:
    splits = _load_matlab(path)
    if missing := [split for split in SPLITS if split not in splits]:
        raise PUBLISHED.error(f"{path} has no {', no '.join(missing)}")
    for split in SPLITS:
        for number, image in enumerate(_as_list(splits[split])):
            people = image.get("person") if isinstance(image, dict) else None
            for person in _as_list(people):
                if not isinstance(person, dict):
                    raise PUBLISHED.error(f"{path}, {split}, picture {number} has a person without fields")
                yield split, number, image, person


def _load_matlab(path: Path) -> Mapping[str, Any]:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingExtraError("scipy", "eval") from error
    if path.stat().st_size > MAX_LIST_BYTES:
        raise PUBLISHED.error(f"{path} has more than {MAX_LIST_BYTES:,} bytes and cannot be its list")
    try:
        content: Mapping[str, Any] = loadmat(path, simplify_cells=True)
    except Exception as error:  # noqa: BLE001  the reader raises anything on a damaged file
        raise PUBLISHED.error(f"{path} is no MATLAB file: {str(error)[:200]}") from None
    return content


def _emotion_names(person: Mapping[str, Any], split: str) -> list[str]:
    """The reader gives a cell of one name as that name."""
    categories = person["annotations_categories"]["categories"] if split == "train" else person["combined_categories"]
    return [str(name).strip() for name in _as_list(categories)]


def _as_list(value: Any) -> Sequence[Any]:
    """The reader gives an array of one as its element."""
    if value is None:
        return []
    if isinstance(value, np.ndarray):
        return list(value.ravel())
    return value if isinstance(value, list) else [value]
