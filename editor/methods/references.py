"""Pictures that show an emotion, whose colours are taken: of a folder by emotion, or of a sealed archive."""

import io
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

import moodarchive
from editor.pictures import read_picture
from moodarchive.archive.reader import Archive
from moodarchive.emotions.taxonomy import EMOTIONS, MIKELS, MIKELS_EIGHT
from moodarchive.errors import EditError, MissingWeightsError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MOST = 16
"""References of an emotion: the first of a folder by name, the best-scored of an archive."""
_NEEDED = (
    "colour-transfer needs reference pictures as --base: a folder with one folder of pictures for each emotion "
    "(FOLDER/joy/1.jpg; the 27, or Mikels' eight), a sealed archive's root, or demo"
)


def open_references(base: str) -> "References":
    """The references by emotion; none is read yet. MissingWeightsError where there are none."""
    if not base:
        raise MissingWeightsError(_NEEDED)
    folder = Path(base).expanduser()
    if Store(base).exists(MANIFEST_PATH):
        return ArchiveReferences(moodarchive.open(base))
    if not folder.is_dir():
        raise MissingWeightsError(f"there is no folder {base}; {_NEEDED}")
    paths = {
        name: sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in SUFFIXES)[:MOST]
        for name in dict.fromkeys((*EMOTIONS, *MIKELS_EIGHT))
        if (folder / name).is_dir()
    }
    if not any(paths.values()):
        raise MissingWeightsError(f"{base} holds no picture in a folder of an emotion; {_NEEDED}")
    return FolderReferences(paths)


class References(Mapping[str, Sequence[Image.Image]]):
    """RGB pictures by emotion, one of the 27 or of Mikels' eight; an emotion that has none is not in it."""

    def __getitem__(self, emotion: str) -> Sequence[Image.Image]:
        for name in _names_of(emotion):
            if pictures := self._read(name):
                return pictures
        raise KeyError(emotion)

    def __iter__(self) -> Iterator[str]:
        return (name for name in dict.fromkeys((*EMOTIONS, *MIKELS_EIGHT)) if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @abstractmethod
    def _read(self, emotion: str) -> Sequence[Image.Image]:
        """Those of exactly this name; none is an empty sequence."""


def _names_of(emotion: str) -> list[str]:
    """The emotion itself, then those that stand for it: its class of the eight, or the emotions of that class."""
    others = [name for name in EMOTIONS if MIKELS.get(name) == emotion]
    return list(dict.fromkeys((emotion, *filter(None, [MIKELS.get(emotion)]), *others)))


class FolderReferences(References):
    """Of a folder by emotion."""

    def __init__(self, paths: Mapping[str, Sequence[Path]]) -> None:
        self._paths = paths

    def _read(self, emotion: str) -> Sequence[Image.Image]:
        return _Lazy([partial(_open_file, path) for path in self._paths.get(emotion, ())])


class ArchiveReferences(References):
    """The pictures of a sealed archive that fit an emotion best by its scores; the private ones are not among them."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def _read(self, emotion: str) -> Sequence[Image.Image]:
        query = (
            "SELECT selection.key FROM selection JOIN scores USING (key) "
            "WHERE selection.kept AND selection.emotion = ? ORDER BY score DESC, selection.key LIMIT ?"
        )
        with self._archive.connect("selection", "scores") as connection:
            keys = [key for (key,) in connection.execute(query, [emotion, MOST]).fetchall()]
        samples = [self._archive.sample(key) for key in keys]
        return _Lazy([partial(_open_bytes, one.jpg, one.key) for one in samples if one.set != "private"])


class _Lazy(Sequence[Image.Image]):
    """Pictures that are decoded when they are asked for."""

    def __init__(self, readers: Sequence[partial[Image.Image]]) -> None:
        self._readers = readers

    def __len__(self) -> int:
        return len(self._readers)

    def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override]
        return self._readers[index]()


def _open_file(path: Path) -> Image.Image:
    return read_picture(path).image


def _open_bytes(jpg: bytes, key: str) -> Image.Image:
    try:
        with Image.open(io.BytesIO(jpg), formats=("JPEG",)) as image:
            return image.convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise EditError(f"the picture of {key} cannot be decoded: {error}") from None
