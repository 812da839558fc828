"""Reads Emotion6 (Peng et al., CVPR 2015): 1,980 pictures in folders of Ekman's six emotions, and ground_truth.txt."""

from pathlib import Path

from train.published.dataset import Labelled, Located, Publication
from train.published.listing import list_text

CLASSES = ("anger", "disgust", "fear", "joy", "sadness", "surprise")
PUBLISHED = Publication(
    name="Emotion6",
    obtained="its authors (Cornell's Advanced Multimedia Processing Lab) give it out; the folder holds "
    "ground_truth.txt and a folder of pictures for each emotion, here or under images/",
)
_COLUMNS = 10  # file, valence, arousal, anger, disgust, fear, joy, sadness, surprise, neutral
_ENDINGS = (".jpg", ".jpeg", ".png")


def read_emotion6(folder: Path) -> Labelled:
    """The class is the folder that a picture lies in.

    Where ``ground_truth.txt`` is, it says which pictures there are, and is checked: a line of it that names an unknown
    emotion, or whose seven probabilities do not sum to 1, is refused.
    """
    under = PUBLISHED.pictures_under(folder, "images")
    listed = folder / "ground_truth.txt"
    names = _read_list(listed) if listed.is_file() else _list_folders(folder / under)
    labels = [(CLASSES.index(name.partition("/")[0]),) for name in names]
    pictures = [Located(f"{under}{name}") for name in names]
    return Labelled(name=PUBLISHED.name, folder=folder, classes=CLASSES, pictures=pictures, labels=labels)


def _read_list(path: Path) -> list[str]:
    names = []
    for number, line in enumerate(list_text(PUBLISHED, path).splitlines(), 1):
        cells = line.split()
        if not cells or cells[0].startswith("["):  # the heading: [image_filename] [valence] …
            continue
        try:
            valence, arousal, *chances = (float(cell) for cell in cells[1:])
            sound = len(cells) == _COLUMNS and 1 <= valence <= 9 and 1 <= arousal <= 9 and abs(sum(chances) - 1) < 0.02
        except ValueError:
            sound = False
        name = PUBLISHED.inside(cells[0].removeprefix("images/"), path)
        if not sound or name.partition("/")[0] not in CLASSES:
            raise PUBLISHED.error(
                f"{path}, line {number} is not emotion/file, valence, arousal (1 to 9) and seven probabilities: "
                f"{line[:100]!r}"
            )
        names.append(name)
    if not names:
        raise PUBLISHED.error(f"{path} names no picture")
    return names


def _list_folders(folder: Path) -> list[str]:
    if missing := [name for name in CLASSES if not (folder / name).is_dir()]:
        raise PUBLISHED.error(f"{folder} holds no folder {', no folder '.join(missing)}")
    return [
        f"{name}/{path.name}"
        for name in CLASSES
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in _ENDINGS
    ]
