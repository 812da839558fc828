"""What the demo's stock site offers: which pictures, under which words, and which carry a planted fault."""

import hashlib
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from crawl.catalogues.files import LeftOut
from crawl.catalogues.formats.delimited import read_csv
from moodarchive.emotions.taxonomy import CONTEXTS, Cell
from moodarchive.errors import ConfigError

EMOTIONS = ("joy", "anger", "sadness")
CELLS = tuple(Cell(emotion, context) for emotion in EMOTIONS for context in CONTEXTS)
"""Twelve cells, so that a fifth of a cell is several pictures."""

FAULT_RATES = {
    "corrupt": 0.01,
    "truncated": 0.01,
    "html": 0.01,
    "bomb": 0.01,
    "redirect_port": 0.01,
    "redirect_file": 0.01,
    "missing": 0.01,
    "busy": 0.01,
    "endless": 0.01,
    "exact_copy": 0.02,
    "reencoded_copy": 0.02,
    "wrong_title": 0.10,
}
"""Share of the drawn pictures that carry each fault; every kind is planted at least once."""

LICENCES = (("cc0", "1.0"), ("pdm", "1.0"), ("by", "2.0"), ("by", "4.0"), ("by-sa", "4.0"))
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, kw_only=True)
class StockPicture:
    """One picture of the site. ``drawn`` is the cell that it truly shows, ``titled`` the one that its words name."""

    id: str
    licence: str
    licence_version: str | None
    creator: str
    fault: str = ""
    drawn: Cell | None = None
    titled: Cell | None = None
    seed: int = 0
    copy_of: str = ""
    photo: str = ""
    title: str = ""


def drawn_catalogue(images: int, seed: int) -> tuple[StockPicture, ...]:
    """So many drawn pictures, faults included: a function of its arguments alone."""
    rng = random.Random(f"catalogue {seed}")
    faults = [fault for fault, rate in FAULT_RATES.items() for _ in range(max(1, round(rate * images)))]
    pictures = [_drawn_picture(rng, number, seed) for number in range(images)]
    numbers = rng.sample(range(images), len(faults))
    for number, fault in zip(numbers, faults, strict=True):
        pictures[number] = replace(pictures[number], fault=fault)
    healthy = [picture for picture in pictures if not picture.fault]
    return tuple(_with_details(picture, rng, healthy) for picture in pictures)


def _drawn_picture(rng: random.Random, number: int, seed: int) -> StockPicture:
    cell = CELLS[number % len(CELLS)]
    licence, version = rng.choice(LICENCES)
    return StockPicture(
        id=_identifier(f"drawn {seed} {number}"),
        licence=licence,
        licence_version=version,
        creator=f"Demo Painter {rng.randrange(1, 25):02d}",
        drawn=cell,
        titled=cell,
        seed=seed * 1_000_000 + number,
    )


def _with_details(picture: StockPicture, rng: random.Random, healthy: list[StockPicture]) -> StockPicture:
    if picture.fault == "wrong_title":
        assert picture.drawn is not None
        wrong = rng.choice([cell for cell in CELLS if cell.emotion != picture.drawn.emotion])
        return replace(picture, titled=wrong)
    if picture.fault in ("exact_copy", "reencoded_copy"):
        original = healthy.pop(rng.randrange(len(healthy)))  # popped, so that no picture is copied twice
        return replace(original, id=picture.id, creator=picture.creator, fault=picture.fault, copy_of=original.id)
    return picture


def photo_catalogue(folder: str) -> tuple[StockPicture, ...]:
    """The pictures of a folder, with titles from its photos.csv (columns file and title or theme) or their names.

    ConfigError when the folder has none. Licences are stated only where the CSV has a column licence.
    """
    top = Path(folder)
    files = sorted(path for path in top.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES) if top.is_dir() else []
    if not files:
        raise ConfigError(f"--photos {folder}: no folder with pictures ({', '.join(PHOTO_SUFFIXES)})")
    words = _csv_rows(top)
    return tuple(_photo(path, words.get(path.name, {})) for path in files)


def _csv_rows(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / "photos.csv"
    if not path.exists():
        return {}
    left_out = LeftOut(str(path))
    names, lines = read_csv(path, left_out)
    names = [name.casefold() for name in names]
    rows = [dict(zip(names, values, strict=True)) for _, values in lines]
    left_out.report()
    if "file" not in names:
        raise ConfigError(f"{path}: no column 'file'; remedy: name the pictures in a column of that name")
    return {row["file"]: row for row in rows}


def _photo(path: Path, row: dict[str, str]) -> StockPicture:
    return StockPicture(
        id=_identifier(path.name),
        licence=row.get("licence") or "not-stated",
        licence_version=None,
        creator=row.get("creator") or row.get("source") or "not stated",
        photo=str(path),
        title=row.get("title") or row.get("theme") or path.stem.replace("_", " "),
    )


def _identifier(text: str) -> str:
    return str(uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=4))


def found_by(query: str, titles: Mapping[str, str], *, every: bool) -> list[str]:
    """The site's ranking: identifiers of the pictures (id → title) that share words with the query, most first.

    Drawn pictures must have the whole phrase in their title; with ``every``, a folder's pictures all follow, those
    without a shared word in the order of a hash, so that each is found by some query.
    """
    phrase = query.strip().lower()
    if not every:
        return [name for name, title in titles.items() if phrase in title.lower()]
    wanted = set(phrase.split())

    def rank(name: str) -> tuple[int, str]:
        shared = len(wanted & set(titles[name].lower().split()))
        return -shared, hashlib.sha256(f"{phrase}\0{name}".encode()).hexdigest()

    return sorted(titles, key=rank)
