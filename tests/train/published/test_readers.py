"""Each published dataset is read as published, and what is not as published is named with the remedy."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moodarchive.errors import DatasetError, RowError
from tests.making import encoded, textured
from tests.train.published import made
from train.evaluation.scoring import LeftOut
from train.published.dataset import Captioned, Labelled, Located
from train.published.measure import READERS, read_published
from train.published.pictures import MAX_PIXELS, batches, open_picture

MAKERS: dict[str, Callable[[Path], Path]] = {name: getattr(made, name) for name in READERS}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    for name, maker in MAKERS.items():
        maker(folder / name)
    return folder


@pytest.fixture
def sets(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals, tmp_path / "sets"))


def _labelled(name: str, sets: Path) -> Labelled:
    found = read_published(name, sets / name)
    assert isinstance(found, Labelled)
    return found


def _captioned(name: str, sets: Path) -> Captioned:
    found = read_published(name, sets / name)
    assert isinstance(found, Captioned)
    return found


def test_every_picture_that_a_set_names_can_be_opened(originals: Path) -> None:
    for name in READERS:
        found = read_published(name, originals / name)
        pictures = found.pictures if isinstance(found, Labelled) else [pair.picture for pair in found.pairs]
        opened = [one for batch in batches(originals / name, pictures, lambda image: image.size) for one in batch]
        assert len(opened) == len(pictures)
        assert not [one for one in opened if isinstance(one, LeftOut)]


def test_emotion6_takes_the_class_from_the_folder_with_and_without_its_ground_truth(sets: Path) -> None:
    listed = _labelled("emotion6", sets)
    assert Counter(listed.classes[place] for (place,) in listed.labels) == dict.fromkeys(made.EKMAN, 5)
    assert all(picture.path.split("/")[1] == listed.classes[label[0]] for picture, label in _rows(listed))
    (sets / "emotion6" / "ground_truth.txt").unlink()
    assert sorted(_rows(_labelled("emotion6", sets))) == sorted(_rows(listed))


def _rows(data: Labelled) -> list[tuple[Located, tuple[int, ...]]]:
    return [(picture, tuple(label)) for picture, label in zip(data.pictures, data.labels, strict=True)]


def test_emoset_has_all_three_splits_and_the_classes_of_its_info(sets: Path) -> None:
    found = _labelled("emoset", sets)
    assert tuple(found.classes) == made.MIKELS
    assert len(found.pictures) == 3 * 3 * 8
    assert all(made.MIKELS[label[0]] in picture.path for picture, label in _rows(found))


def test_emotic_is_read_person_by_person_from_every_split(sets: Path) -> None:
    found = _labelled("emotic", sets)
    told = Counter(tuple(found.classes[place] for place in label) for label in found.labels)
    assert told == {
        ("engagement", "happiness"): 4,
        ("fear",): 4,
        ("sadness",): 4,
        ("doubt or confusion", "fear", "pain"): 4,
    }
    assert found.pictures[0] != found.pictures[1] and found.pictures[0].path == found.pictures[1].path
    for picture in found.pictures[:2]:
        assert picture.box is not None
        seen = open_picture(sets / "emotic", picture)
        whole = Image.open(sets / "emotic" / picture.path).convert("RGB")
        assert np.array_equal(seen, whole.crop((int(picture.box[0]), 3, int(picture.box[2]), 40)))
    assert Counter(found.strata) == {"engagement": 4, "fear": 4, "sadness": 4, "doubt or confusion": 4}


def test_senticap_has_each_sentence_with_its_sentiment(sets: Path) -> None:
    found = _captioned("senticap", sets)
    assert Counter(pair.label for pair in found.pairs) == {"positive": 24, "negative": 12}
    assert found.pairs[2].caption == "a dreadful scene number 0, told 2" and found.pairs[2].label == "negative"


def test_affection_keeps_commas_quotes_and_line_breaks_of_an_explanation(sets: Path) -> None:
    found = _captioned("affection", sets)
    assert found.pairs[0].caption == 'I feel "fine", since place 0 is calm'
    assert found.pairs[1].caption == "the light,\nthe colours of 0"
    assert Counter(pair.label for pair in found.pairs) == {"amusement": 6, "awe": 6, "contentment": 12}


LISTS = {
    "emoset": ("info.json", "val.json"),
    "emotic": ("Annotations/Annotations.mat",),
    "senticap": ("senticap_dataset.json",),
    "affection": ("affection.csv",),
}


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, files in LISTS.items() for file in files])
def test_a_list_that_is_missing_or_no_list_is_named_with_where_the_set_is_had(name: str, file: str, sets: Path) -> None:
    path = sets / name / file
    path.write_bytes(b"\xff\x00 no list \n")
    with pytest.raises(DatasetError, match=rf"{path.name}.*remedy: its (project page|authors)"):
        read_published(name, sets / name)
    path.unlink()
    with pytest.raises(DatasetError, match=rf"holds no {file}.*remedy: its (project page|authors)"):
        read_published(name, sets / name)


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("emotion6/ground_truth.txt", "anger/1.jpg", "envy/1.jpg", "line 2 is not emotion/file"),
        ("emotion6/ground_truth.txt", "4.53\t3.2\t0.40", "4.53\t3.2\t0.90", "line 2 is not emotion/file"),
        ("emotion6/ground_truth.txt", "anger/1.jpg", "anger/../../../x.jpg", "names a picture outside"),
        ("emoset/test.json", "image/awe/awe_00006.jpg", "/etc/passwd", "names a picture outside"),
        ("emoset/test.json", '["awe", ', '["envy", ', "'envy' is no emotion of info.json"),
        ("emoset/train.json", '["awe", ', "[1, ", "is neither \\[emotion, picture, annotation\\] nor"),
        ("emoset/info.json", '"amusement": 0', '"amusement": 9', "does not count from 0"),
        ("senticap/senticap_dataset.json", '"sentiment": 0', '"sentiment": 7', "image 0 is not filename"),
        ("senticap/senticap_dataset.json", '"filename": "COCO', '"filename": "../COCO', "names a picture outside"),
        ("affection/affection.csv", "image_file,", "file,", "no column image_file"),
        ("affection/affection.csv", "coco/000000.jpg", "../000000.jpg", "names a picture outside"),
        ("affection/affection.csv", 'is calm",train', 'is calm', "affection.csv, line"),
    ],
)  # fmt: skip
def test_an_entry_that_is_not_as_published_is_refused_by_name(
    file: str, old: str, new: str, told: str, sets: Path
) -> None:
    path = sets / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DatasetError, match=told):
        read_published(path.parent.name, path.parent)


def test_an_emotion_that_emotic_does_not_have_is_refused(tmp_path: Path) -> None:
    made.emotic(tmp_path, [[["Envy"]], [["Fear"]], [["Fear"]]])
    with pytest.raises(DatasetError, match="other emotions: \\['Envy'\\]"):
        read_published("emotic", tmp_path)


def test_what_has_no_label_or_no_caption_is_left_out_by_name(sets: Path) -> None:
    made.emotic(sets / "bare", [[["Fear"], []], [["Pain"]], [["Fear"]]])
    bare = read_published("emotic", sets / "bare")
    assert isinstance(bare, Labelled) and len(bare.pictures) == 3
    assert [(one.picture[-6:], one.reason) for one in bare.left_out] == [("00.jpg", "no_label")]
    for name, file, old in (
        ("senticap", "senticap_dataset.json", '"a dreadful scene number 0, told 2"'),
        ("affection", "affection.csv", '"I feel ""fine"", since place 0 is calm"'),
    ):
        path, before = sets / name / file, len(_captioned(name, sets).pairs)
        path.write_text(path.read_text().replace(old, '" "', 1))
        found = _captioned(name, sets)
        assert len(found.pairs) == before - 1 and [one.reason for one in found.left_out] == ["no_caption"]


def test_an_unknown_set_and_a_folder_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="one of emotion6, emoset, emotic, senticap, affection"):
        read_published("imagenet", tmp_path)
    with pytest.raises(DatasetError, match="--data emoset=FOLDER"):
        read_published("emoset", tmp_path / "nothing")
    with pytest.raises(DatasetError, match="no folder anger, no folder disgust"):
        read_published("emotion6", tmp_path)


def test_pictures_are_opened_within_limits(tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes(encoded(textured())[:400])
    (tmp_path / "huge.png").write_bytes(encoded(Image.new("1", (MAX_PIXELS // 1000 + 1, 1000)), "PNG"))
    (tmp_path / "text.jpg").write_text(json.dumps({"no": "picture"}))
    (tmp_path / "fine.jpg").write_bytes(encoded(textured()))
    for picture, reason in (
        (Located("torn.jpg"), "corrupt_image"),
        (Located("huge.png"), "too_many_pixels"),
        (Located("text.jpg"), "corrupt_image"),
        (Located("gone.jpg"), "missing"),
        (Located("fine.jpg", (500, 0, 600, 10)), "empty_box"),
    ):
        with pytest.raises(RowError) as refused:
            open_picture(tmp_path, picture)
        assert refused.value.kind == reason


@pytest.mark.parametrize("under", ["", "images"])
@pytest.mark.parametrize(
    ("tables", "read"),
    [
        (["affection_preprocessed_public_version_0", "affection_raw_public_version_0"], 0),
        (["affection_raw_public_version_0"], 0),
        (["affection"], 0),
    ],
)
@pytest.mark.parametrize("no_emotion", ["something else", "Something_Else"])
def test_affection_is_read_in_the_layout_of_its_authors(
    under: str, tables: list[str], read: int, no_emotion: str, tmp_path: Path
) -> None:
    names = [
        ("coco_affective", "COCO_train2014_1.jpg"),
        ("you_aaai_affective", "3.jpg"),
        ("flickr30k_affective", "3.jpg"),
    ]
    for number, (of_set, name) in enumerate(names):
        made.picture(tmp_path / under / of_set / name, seed=number)
    folder = tmp_path / "language" / "version_0"
    folder.mkdir(parents=True)
    for number, table in enumerate(tables):
        rows = [
            f"worker-{row},text {row} of table {number},{emotion},{of_set},{name}"
            for row, ((of_set, name), emotion) in enumerate(zip(names, ["awe", no_emotion, "fear"], strict=True))
        ]
        (folder / f"{table}.csv").write_text("\n".join(["workerid,utterance,emotion,dataset,image_name", *rows]))
    captioned = read_published("affection", tmp_path)
    assert isinstance(captioned, Captioned)
    prefix = f"{under}/" if under else ""
    assert [(pair.picture.path, pair.caption, pair.label) for pair in captioned.pairs] == [
        (f"{prefix}coco_affective/COCO_train2014_1.jpg", f"text 0 of table {read}", "awe"),
        (f"{prefix}flickr30k_affective/3.jpg", f"text 2 of table {read}", "fear"),
    ]
    left_out = LeftOut(picture=f"{prefix}you_aaai_affective/3.jpg", reason="no_label")
    assert list(captioned.left_out) == [left_out]
    assert all((tmp_path / pair.picture.path).is_file() for pair in captioned.pairs)


@pytest.mark.parametrize("write_id", [str, lambda stem: int(stem.rpartition("_")[2])], ids=["text", "number"])
def test_emosets_entries_may_hold_an_id(sets: Path, write_id: Callable[[str], object]) -> None:
    plain = _labelled("emoset", sets)
    for split in ("train", "val", "test"):
        path = sets / "emoset" / f"{split}.json"
        entries = [[emotion, write_id(Path(picture).stem), picture, annotation]
                   for emotion, picture, annotation in json.loads(path.read_text())]  # fmt: skip
        path.write_text(json.dumps(entries))
    with_ids = _labelled("emoset", sets)
    assert with_ids.pictures == plain.pictures
    assert with_ids.labels == plain.labels
