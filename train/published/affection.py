"""Reads Affection (Achlioptas et al., CVPR 2023): what people felt before 85,007 photographs and why, in a table."""

import csv
import io
from pathlib import Path

from train.evaluation.scoring import LeftOut
from train.published.dataset import Captioned, Located, Pair, Publication
from train.published.listing import list_text

PUBLISHED = Publication(
    name="Affection",
    obtained="its project page (affective-explanations.org) gives it out on request; the folder holds "
    "language/version_0/*.csv with the columns utterance, emotion, dataset and image_name, and the five sets of "
    "pictures in folders of their names, also under images/; or one affection.csv with image_file, emotion, utterance",
)
PICTURES = ("image_file", "image_files", "image_name")
TEXTS = ("utterance", "explanation", "feeling")
NO_EMOTION = "something else"


def read_affection(folder: Path) -> Captioned:
    """Every explanation of every split, with its picture and its emotion.

    Empty explanations are left out, and so are those of "something else", which is no emotion.
    """
    path = _table(folder)
    under = PUBLISHED.pictures_under(folder, "images")
    pairs, left_out = [], []
    try:
        table = csv.DictReader(io.StringIO(list_text(PUBLISHED, path), newline=""), strict=True)
        columns = table.fieldnames or ()
        picture, text = (_column(path, columns, names) for names in (PICTURES, TEXTS))
        emotion = _column(path, columns, ("emotion",))
        # as published, a picture is named within one of five sets
        of_set = _column(path, columns, ("dataset",)) if picture == "image_name" else ""
        for row in table:
            if any(row[column] is None for column in (picture, text, emotion, of_set) if column):
                raise csv.Error("too few cells")
            name = f"{row[of_set].strip()}/{row[picture].strip()}" if of_set else row[picture]
            located = Located(under + PUBLISHED.inside(name, path))
            if row[emotion].replace("_", " ").strip().casefold() == NO_EMOTION:
                left_out.append(LeftOut(picture=located.path, reason="no_label"))
            elif caption := row[text].strip():
                pairs.append(Pair(located, caption, row[emotion].strip()))
            else:
                left_out.append(LeftOut(picture=located.path, reason="no_caption"))
    except csv.Error as error:
        raise PUBLISHED.error(f"{path}, line {table.line_num}: {error}") from None
    if not pairs:
        raise PUBLISHED.error(f"{path} holds no explanation")
    return Captioned(name=PUBLISHED.name, folder=folder, pairs=pairs, left_out=left_out)


def _table(folder: Path) -> Path:
    """The authors' table without what the raw one has beside it; else the raw one; else one of a person's making."""
    for pattern in ("*preprocessed*.csv", "*raw*.csv", "*.csv"):
        if tables := sorted(folder.glob(f"language/version_*/{pattern}")):
            return tables[-1]
    return PUBLISHED.file(folder, "affection.csv", "affection/affection.csv")


def _column(path: Path, columns: object, names: tuple[str, ...]) -> str:
    assert isinstance(columns, list | tuple)
    for name in names:
        if name in columns:
            return name
    raise PUBLISHED.error(f"{path} has no column {' or '.join(names)}; it has {', '.join(map(str, columns))[:200]}")
