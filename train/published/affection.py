"""Reads Affection (Achlioptas et al., CVPR 2023): what people felt before 85,007 photographs and why, in a table."""

import csv
import io
from pathlib import Path

from train.published.dataset import Captioned, Located, Pair, Publication
from train.published.listing import list_text
from train.scoring import LeftOut

PUBLISHED = Publication(
    name="Affection",
    obtained="its project page (affective-explanations.org) gives it out on request; the folder holds affection.csv "
    "with the columns image_file, emotion and utterance, and the pictures under images/",
)
PICTURES = ("image_file", "image_files")
TEXTS = ("utterance", "explanation", "feeling")


def read_affection(folder: Path) -> Captioned:
    """Every explanation of every split, with its picture and its emotion; empty explanations are left out."""
    path = PUBLISHED.file(folder, "affection.csv", "affection/affection.csv")
    under = PUBLISHED.pictures_under(folder, "images")
    pairs, left_out = [], []
    try:
        table = csv.DictReader(io.StringIO(list_text(PUBLISHED, path), newline=""), strict=True)
        columns = table.fieldnames or ()
        picture, text = (_column(path, columns, names) for names in (PICTURES, TEXTS))
        emotion = _column(path, columns, ("emotion",))
        for row in table:
            if row[picture] is None or row[text] is None or row[emotion] is None:
                raise csv.Error("too few cells")
            located = Located(under + PUBLISHED.inside(row[picture], path))
            if caption := row[text].strip():
                pairs.append(Pair(located, caption, row[emotion].strip()))
            else:
                left_out.append(LeftOut(picture=located.path, reason="no_caption"))
    except csv.Error as error:
        raise PUBLISHED.error(f"{path}, line {table.line_num}: {error}") from None
    if not pairs:
        raise PUBLISHED.error(f"{path} holds no explanation")
    return Captioned(name=PUBLISHED.name, folder=folder, pairs=pairs, left_out=left_out)


def _column(path: Path, columns: object, names: tuple[str, ...]) -> str:
    assert isinstance(columns, list | tuple)
    for name in names:
        if name in columns:
            return name
    raise PUBLISHED.error(f"{path} has no column {' or '.join(names)}; it has {', '.join(map(str, columns))[:200]}")
