"""A set's figures are those that its own embeddings give when counted one by one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moodarchive.errors import DatasetError
from moodarchive.models.clip import ClipEncoder, Embeddings
from tests.train.published import made
from tests.train.small import tiny_clip
from train.evaluation.prompts import TEMPLATES
from train.published.dataset import Captioned, Labelled
from train.published.folds import pair_folds, stratified_folds
from train.published.measure import measure, read_published


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> ClipEncoder:
    return ClipEncoder(model=tiny_clip(tmp_path_factory.mktemp("clip")))


def _seen(encoder: ClipEncoder, path: Path, box: tuple[float, ...] | None) -> Embeddings:
    image = Image.open(path).convert("RGB")
    return encoder.images([image.crop((int(box[0]), int(box[1]), int(box[2]), 40)) if box else image])[0]


@pytest.mark.parametrize("name", ["emotion6", "emotic"])
def test_classes_are_told_apart_as_counting_by_hand_says(name: str, encoder: ClipEncoder, tmp_path: Path) -> None:
    data = read_published(name, getattr(made, name)(tmp_path))
    assert isinstance(data, Labelled)
    found = measure(data, encoder)
    means = [encoder.texts([one.format(word) for one in TEMPLATES]).mean(axis=0) for word in data.classes]
    hits: dict[int, list[list[bool]]] = {1: [], 2: [], 3: []}
    for picture, label in zip(data.pictures, data.labels, strict=True):
        image = _seen(encoder, tmp_path / picture.path, picture.box)
        scores = [float(image @ mean / np.linalg.norm(mean)) for mean in means]
        best = sorted(range(len(scores)), key=lambda place: -scores[place])
        for top, told in hits.items():
            told.append(not set(best[:top]).isdisjoint(label))
    folds = stratified_folds(data.strata, seed=0)
    for top, told in hits.items():
        values = [100 * np.mean([told[place] for place in fold]) for fold in folds]
        assert found.figures[f"top-{top}"].mean == pytest.approx(np.mean(values))
        assert found.figures[f"top-{top}"].deviation == pytest.approx(np.std(values, ddof=1))
    assert found.pictures == len(data.pictures) and found.folds == 5


def test_pairs_are_found_as_counting_by_hand_says(encoder: ClipEncoder, tmp_path: Path) -> None:
    data = read_published("senticap", made.senticap(tmp_path, images=20))
    assert isinstance(data, Captioned)
    found = measure(data, encoder)
    values = []
    for fold in pair_folds(data, seed=0):
        pairs = [data.pairs[place] for place in fold]
        images = [_seen(encoder, tmp_path / pair.picture.path, None) for pair in pairs]
        captions = encoder.texts([pair.caption for pair in pairs])
        best = [int(np.argmax(captions @ image)) for image in images]
        values.append(100 * np.mean([guess == place for place, guess in enumerate(best)]))
    assert found.figures["image to text, R@1"].mean == pytest.approx(np.mean(values))
    assert found.figures["image to text, R@1"].deviation == pytest.approx(np.std(values, ddof=1))


def test_pictures_that_cannot_be_read_are_named_and_left_out(encoder: ClipEncoder, tmp_path: Path) -> None:
    made.emotion6(tmp_path)
    (tmp_path / "images" / "joy" / "2.jpg").write_bytes(b"\xff\xd8 torn")
    (tmp_path / "images" / "fear" / "4.jpg").unlink()
    found = measure(read_published("emotion6", tmp_path), encoder)
    assert found.pictures == 28
    assert [(bad.picture, bad.reason) for bad in found.left_out] == [
        ("images/fear/4.jpg", "missing"),
        ("images/joy/2.jpg", "corrupt_image"),
    ]


def test_lists_without_their_pictures_are_refused(encoder: ClipEncoder, tmp_path: Path) -> None:
    made.affection(tmp_path)
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=r"none of its \d+ pictures .*missing; .*remedy: unpack the pictures there"):
        measure(read_published("affection", tmp_path), encoder)
