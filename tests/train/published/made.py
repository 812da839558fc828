"""Small datasets in the layouts in which the five are published: drawn pictures, real files."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

from tests.making import encoded, textured
from train.published.emotion6 import CLASSES as EKMAN

MIKELS = ("amusement", "awe", "contentment", "excitement", "anger", "disgust", "fear", "sadness")


def picture(path: Path, seed: int, width: int = 48, height: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(textured(width, height, seed)))


def emotion6(folder: Path, each: int = 5) -> Path:
    """images/EMOTION/N.jpg and ground_truth.txt."""
    lines = ["[image_filename]\t[valence]\t[arousal]\t" + "\t".join(f"[prob. {name}]" for name in (*EKMAN, "neutral"))]
    for place, name in enumerate(EKMAN):
        for number in range(1, each + 1):
            picture(folder / "images" / name / f"{number}.jpg", seed=100 * place + number)
            chances = np.roll([0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], place)
            lines.append("\t".join([f"{name}/{number}.jpg", "4.53", "3.2", *(f"{chance:.2f}" for chance in chances)]))
    (folder / "ground_truth.txt").write_text("\n".join(lines) + "\n")
    return folder


def emoset(folder: Path, each: int = 3) -> Path:
    """info.json, a list for each split, image/ and annotation/."""
    places = {name: place for place, name in enumerate(MIKELS)}
    told = {"emotion": {"label2idx": places, "idx2label": {str(place): name for name, place in places.items()}}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "info.json").write_text(json.dumps(told))
    for split_number, split in enumerate(("train", "val", "test")):
        entries = []
        for name in MIKELS:
            for number in range(split_number * each, (split_number + 1) * each):
                stem = f"{name}/{name}_{number:05d}"
                picture(folder / "image" / f"{stem}.jpg", seed=1000 + 50 * places[name] + number)
                (folder / "annotation" / name).mkdir(parents=True, exist_ok=True)
                about = {"image_id": f"{name}_{number:05d}", "emotion": name, "brightness": 0.4, "colorfulness": 0.6}
                (folder / "annotation" / f"{stem}.json").write_text(json.dumps(about))
                entries.append([name, f"image/{stem}.jpg", f"annotation/{stem}.json"])
        (folder / f"{split}.json").write_text(json.dumps(entries))
    return folder


def emotic(folder: Path, people: Sequence[Sequence[Sequence[str]]] | None = None) -> Path:
    """Annotations/Annotations.mat, a structure array for each split, and emotic/FOLDER/FILE.

    ``people`` holds, for each picture, each person's emotions; every third picture goes to each split.
    """
    told = people or [[["Happiness", "Engagement"], ["Fear"]], [["Sadness"]], [["Doubt/Confusion", "Pain", "Fear"]]] * 4
    splits: dict[str, list[Any]] = {"train": [], "val": [], "test": []}
    for number, persons in enumerate(told):
        split, file = ("train", "val", "test")[number % 3], f"COCO_val2014_{number:012d}.jpg"
        picture(folder / "emotic" / "mscoco" / "images" / file, seed=2000 + number)
        rows = [_person(place, emotions, split) for place, emotions in enumerate(persons)]
        splits[split].append(
            {
                "filename": file,
                "folder": "mscoco/images",
                "image_size": {"n_col": 48, "n_row": 40},
                "person": _struct(rows),
            }
        )
    (folder / "Annotations").mkdir(parents=True, exist_ok=True)
    savemat(folder / "Annotations" / "Annotations.mat", {name: _struct(rows) for name, rows in splits.items()})
    return folder


def _person(place: int, emotions: Sequence[str], split: str) -> dict[str, Any]:
    cell = np.array(emotions, dtype=object)
    box = np.array([2.0 + 20 * place, 3.0, 22.0 + 20 * place, 60.0])  # reaches over the lower edge, as some do
    one = {"categories": cell}
    if split == "train":
        return {"body_bbox": box, "annotations_categories": one, "gender": "Female", "age": "Adult"}
    annotators = _struct([{"categories": cell[:1]}, one])
    return {"body_bbox": box, "annotations_categories": annotators, "combined_categories": cell}


def _struct(rows: Sequence[dict[str, Any]]) -> np.ndarray[Any, Any]:
    """A MATLAB structure array, 1 x N."""
    found = np.empty((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for number, row in enumerate(rows):
        for name, value in row.items():
            found[0, number][name] = value
    return found


def senticap(folder: Path, images: int = 12) -> Path:
    """senticap_dataset.json and val2014/; two positive and one negative sentence a picture."""
    told = []
    for number in range(images):
        file = f"COCO_val2014_{number:012d}.jpg"
        picture(folder / "val2014" / file, seed=3000 + number)
        sentences = [
            {
                "raw": f"a {mood} scene number {number}, told {told_as}",
                "tokens": [],
                "sentiment": sentiment,
                "sentid": 0,
            }
            for told_as, (mood, sentiment) in enumerate((("lovely", 1), ("happy", 1), ("dreadful", 0)))
        ]
        told.append({"filename": file, "imgid": number, "split": "test", "sentences": sentences})
    (folder / "senticap_dataset.json").write_text(json.dumps({"images": told}))
    return folder


def affection(folder: Path, images: int = 12) -> Path:
    """affection.csv and images/; two explanations a picture, with commas and quotation marks."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "affection.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image_file", "emotion", "utterance", "split"])
        for number in range(images):
            name = f"coco/{number:06d}.jpg"
            picture(folder / "images" / name, seed=4000 + number)
            table.writerow([name, MIKELS[number % 2], f'I feel "fine", since place {number} is calm', "train"])
            table.writerow([name, MIKELS[2], f"the light,\nthe colours of {number}", "train"])
    return folder
