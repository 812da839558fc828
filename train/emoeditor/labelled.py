"""Labelled pictures for the predictor: a sealed archive's, or EmoSet's, squashed once and kept on disk."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

import moodarchive
from moodarchive.emotions.taxonomy import MIKELS, MIKELS_EIGHT
from moodarchive.errors import ConfigError, RowError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH
from train.data.squares import keep_squares, pixels_of_rows
from train.emoeditor.settings import PredictorSettings
from train.published.emoset import read_emoset
from train.published.pictures import open_picture

_HELD_OUT = 20
"""Every so manieth picture of EmoSet fits the temperature; an archive has a validation set."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SquashedPictures:
    """uint8 [N, side, side, 3] and the class of each among Mikels' eight."""

    name: str
    values: npt.NDArray[np.uint8]
    classes: Sequence[int]

    def __len__(self) -> int:
        return len(self.classes)

    def pixels(self, rows: Sequence[int]) -> Tensor:
        """uint8 [rows, 3, side, side]."""
        return pixels_of_rows(self.values, rows)


def open_labelled(settings: PredictorSettings) -> tuple[SquashedPictures, SquashedPictures]:
    """What is learnt from, and what is held out; emotions that are none of the eight are left out."""
    cache = Path(settings.output) / "cache"
    if settings.archive:
        archive = moodarchive.open(settings.archive)
        name = f"{settings.archive} {Store(settings.archive).sha256(MANIFEST_PATH)[:16]}"
        count = archive.sets
        parts = [
            _squash(cache, f"{name} {part}", _of_archive(archive, part), count.get(part, 0), settings.side)
            for part in ("train", "validation")
        ]
        return parts[0], parts[1]
    if not settings.emoset:
        raise ConfigError(
            "no pictures are named; remedy: archive = a sealed root, emoset = EmoSet's folder, or drawn = 200 places"
        )
    folder = Path(settings.emoset).expanduser()
    labelled = read_emoset(folder)
    index = [MIKELS_EIGHT.index(name) for name in labelled.classes]
    rows = [(located, index[label[0]]) for located, label in zip(labelled.pictures, labelled.labels, strict=True)]

    def opened(held: bool) -> Iterator[tuple[Image.Image, int]]:
        for number, (located, label) in enumerate(rows):
            if (number % _HELD_OUT == 0) == held:
                try:
                    yield open_picture(folder, located), label
                except RowError:
                    continue

    most = len(rows)
    return (
        _squash(cache, f"EmoSet, {most} pictures, learnt", opened(False), most, settings.side),
        _squash(cache, f"EmoSet, {most} pictures, held out", opened(True), most // _HELD_OUT + 1, settings.side),
    )


def _of_archive(archive: Any, part: str) -> Iterator[tuple[Image.Image, int]]:
    for sample in archive.samples(part):
        if sample.emotion in MIKELS:
            yield sample.image().convert("RGB"), MIKELS_EIGHT.index(MIKELS[sample.emotion])


def _squash(
    cache: Path, name: str, pictures: Iterable[tuple[Image.Image, int]], most: int, side: int
) -> SquashedPictures:
    """The pictures as squares, kept on disk."""
    squares = keep_squares(cache, name, pictures, most=most, side=side, fit="squash")
    return SquashedPictures(name=name, values=squares.values, classes=squares.labels)
