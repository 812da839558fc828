"""The pictures of a diffusion model's training: a sealed archive's, or a folder's with captions beside."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

import moodarchive
from moodarchive.emotions.captions import caption_text
from moodarchive.errors import ConfigError, DamagedPartError, RowError
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from moodarchive.tables.layout import MANIFEST_PATH
from train.data.squares import KeptSquares, keep_squares, pixels_of_rows
from train.diffusion.pictures import Pictures
from train.diffusion.settings import PictureSource
from train.published.dataset import Located
from train.published.pictures import open_picture

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
METADATA = "metadata.jsonl"
"""Captions of a whole folder, one JSON object a line: {"file_name": "a.jpg", "text": "…"}."""
_CAPTION_BYTES = 64 << 10
_NO_CAPTION = "no_caption"


class CaptionedPictures:
    """Squares with the prompts that are true of each."""

    def __init__(self, name: str, squares: KeptSquares) -> None:
        self.name, self._squares = f"{name} {squares.digest[:16]}", squares
        self.left_out = squares.left_out

    def __len__(self) -> int:
        return len(self._squares.labels)

    def pixels(self, rows: Sequence[int]) -> Tensor:
        """See ``Pictures``."""
        return pixels_of_rows(self._squares.values, rows)

    def prompt(self, row: int, rng: random.Random) -> str:
        """See ``Pictures``."""
        return str(rng.choice(self._squares.labels[row]))


class JoinedPictures:
    """Several sources one after another."""

    def __init__(self, parts: Sequence[Pictures]) -> None:
        self.name = "; ".join(part.name for part in parts)
        self._parts = parts
        self._rows = [(part, row) for part in parts for row in range(len(part))]

    def __len__(self) -> int:
        return len(self._rows)

    def pixels(self, rows: Sequence[int]) -> Tensor:
        """See ``Pictures``."""
        import torch

        return torch.cat([part.pixels([row]) for part, row in (self._rows[row] for row in rows)])

    def prompt(self, row: int, rng: random.Random) -> str:
        """See ``Pictures``."""
        part, own = self._rows[row]
        return part.prompt(own, rng)


def open_source(source: PictureSource, size: int, cache: Path) -> CaptionedPictures:
    """The pictures of an archive or a folder, cut to squares of ``size`` and kept in ``cache``.

    ConfigError where there are none, or none with a caption.
    """
    pictures = _of_archive(source, size, cache) if source.kind == "archive" else _of_folder(source, size, cache)
    if not len(pictures):
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in pictures.left_out.items()) or "it is empty"
        raise ConfigError(
            f"{source.folder}: no picture can be learnt from ({reasons}); remedy: NAME.txt beside NAME.jpg, "
            f"{METADATA} in the folder, or other sets of an archive"
        )
    return pictures


def _of_archive(source: PictureSource, size: int, cache: Path) -> CaptionedPictures:
    archive = moodarchive.open(source.folder)
    counts = archive.sets
    if unknown := [name for name in source.sets if name not in counts]:
        raise ConfigError(f"{source.folder} has no set {', '.join(unknown)}; it has {', '.join(counts) or 'none'}")

    def read() -> Iterator[tuple[Image.Image, list[str]] | str]:
        for name in source.sets:
            for sample in archive.samples(name):
                try:
                    yield sample.image().convert("RGB"), _prompts_of(sample.metadata, sample.emotion)
                except DamagedPartError:
                    yield "corrupt_image"

    name = f"archive {Store(source.folder).sha256(MANIFEST_PATH)[:16]}, sets {', '.join(source.sets)}"
    most = sum(counts[name] for name in source.sets)
    return CaptionedPictures(name, keep_squares(cache, name, read(), most=most, side=size, fit="crop"))


def _prompts_of(metadata: Mapping[str, Any], emotion: str) -> list[str]:
    """The forms in which the editor asks for a picture: as described, as an emotion, as the planner does."""
    summary, stimuli, assessment = (metadata[name] for name in ("summary", "stimuli", "assessment"))
    wanted = f"A photo that evokes {emotion}"
    return [
        summary,
        caption_text(summary, stimuli, assessment),
        f"{summary} {wanted}.",
        f"{wanted}: {' '.join(stimuli)}",
        f"{wanted}.",
    ]


def _of_folder(source: PictureSource, size: int, cache: Path) -> CaptionedPictures:
    top = Path(source.folder).expanduser()
    if not top.is_dir():
        raise ConfigError(f"there is no folder {source.folder}; remedy: one with pictures and captions beside")
    files = sorted(path for path in top.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    named = _read_metadata(top / METADATA)
    captions = {path: named.get(path.relative_to(top).as_posix()) or _caption_beside(path) for path in files}

    def read() -> Iterator[tuple[Image.Image, list[str]] | str]:
        for path in files:
            if not (caption := captions[path]):
                yield _NO_CAPTION
                continue
            try:
                yield open_picture(top, Located(path=path.relative_to(top).as_posix())), [caption]
            except RowError as error:
                yield error.kind

    stats = [(path.relative_to(top).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    listing = digest([[list(stat) for stat in stats], [captions[path] for path in files]])
    squares = keep_squares(cache, f"folder {listing}", read(), most=len(files), side=size, fit="crop")
    return CaptionedPictures("folder", squares)


def _caption_beside(picture: Path) -> str:
    """The words of NAME.txt; empty where there are none. ConfigError for a file that is no text."""
    path = picture.with_suffix(".txt")
    try:
        with path.open("rb") as file:
            return " ".join(file.read(_CAPTION_BYTES + 1)[:_CAPTION_BYTES].decode("utf-8").split())
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the caption {path} cannot be read: {error}; remedy: UTF-8 text") from None


def _read_metadata(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    captions = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                captions[row["file_name"]] = " ".join(row["text"].split())
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ConfigError(
                    f'{path}, line {number}: {error!r}; remedy: {{"file_name": "a.jpg", "text": "…"}}'
                ) from None
    return captions
