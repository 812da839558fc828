"""Published data sets in the layouts of their authors, as in the field cases."""

import json
from collections import Counter

from PIL import Image

from tests.field_cases.cases import case, needs_cases
from train.published.dataset import Captioned, Labelled
from train.published.measure import read_published
from train.published.pictures import open_picture

pytestmark = needs_cases


def test_affection_as_published() -> None:
    folder = case("datasets/affection")
    captioned = read_published("affection", folder)
    assert isinstance(captioned, Captioned)
    lines = (folder / "language/version_0/affection_raw_public_version_0.csv").read_text().splitlines()[1:]
    unlabelled = sum("something else" in line for line in lines)
    assert len(captioned.pairs) + len(captioned.left_out) == len(lines) == 20
    assert len(captioned.left_out) == unlabelled and {one.reason for one in captioned.left_out} <= {"no_label"}
    for pair in captioned.pairs:
        assert isinstance(open_picture(captioned.folder, pair.picture), Image.Image)
        number = int(pair.caption.split("picture ")[1].split()[0])
        assert str(number) in pair.picture.path


def test_emoset_with_four_fields() -> None:
    folder = case("datasets/emoset_four_fields")
    labelled = read_published("emoset", folder)
    assert isinstance(labelled, Labelled)
    assert len(labelled.pictures) == 24
    splits = Counter(
        split for split in ("train", "val", "test") for _ in json.loads((folder / f"{split}.json").read_bytes())
    )
    assert splits == {"train": 8, "val": 8, "test": 8}
    for picture, (label,) in zip(labelled.pictures, labelled.labels, strict=True):
        assert labelled.classes[label] in picture.path
        assert isinstance(open_picture(labelled.folder, picture), Image.Image)
