"""What every published dataset becomes: pictures with classes to tell apart, or pairs of a picture and a caption."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from moodarchive.errors import DatasetError
from train.evaluation.scoring import LeftOut


class Located(NamedTuple):
    """A picture by its path in the set's folder; ``box`` is the part to look at, in pixels (x1, y1, x2, y2)."""

    path: str
    box: tuple[float, float, float, float] | None = None


class Pair(NamedTuple):
    """A picture and one of its captions; ``label`` is the published class that folds are stratified by."""

    picture: Located
    caption: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A set for zero-shot classification; ``labels`` holds the indexes in ``classes`` that are true of each picture."""

    name: str
    folder: Path
    classes: Sequence[str]
    pictures: Sequence[Located]
    labels: Sequence[Sequence[int]]
    left_out: Sequence[LeftOut] = ()
    """What the list has without a class."""

    @property
    def strata(self) -> list[str]:
        """Each picture's class; of several, the one that the set has least of, so that every fold sees the rare."""
        counts = [0] * len(self.classes)
        for label in self.labels:
            for index in label:
                counts[index] += 1
        return [self.classes[min(label, key=lambda index: (counts[index], index))] for label in self.labels]


@dataclass(frozen=True, kw_only=True)
class Captioned:
    """A set for retrieval."""

    name: str
    folder: Path
    pairs: Sequence[Pair]
    left_out: Sequence[LeftOut] = ()
    """What the list has without a caption."""


@dataclass(frozen=True, kw_only=True)
class Publication:
    """Where a set comes from; errors end with it."""

    name: str
    obtained: str

    def file(self, folder: Path, *candidates: str) -> Path:
        """The first candidate that is a file in the folder."""
        for candidate in candidates:
            if (folder / candidate).is_file():
                return folder / candidate
        raise self.error(f"{folder} holds no {' and no '.join(candidates)}")

    def pictures_under(self, folder: Path, *candidates: str) -> str:
        """The first candidate that is a folder, with a slash at its end; the set's own folder when none is."""
        return next((f"{name}/" for name in candidates if (folder / name).is_dir()), "")

    def inside(self, path: str, listed: Path) -> str:
        """The path, unless it leaves the set's folder."""
        relative = PurePosixPath(path.replace("\\", "/"))
        if relative.is_absolute() or ".." in relative.parts or "\0" in path or not relative.name:
            raise self.error(f"{listed} names a picture outside the folder: {path[:100]!r}")
        return relative.as_posix()

    def error(self, what: str) -> DatasetError:
        """What is wrong, and where the set is had."""
        return DatasetError(f"{self.name}: {what}; remedy: {self.obtained}")
