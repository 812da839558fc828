"""Folders of pictures: a row for each, described by its name."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from crawl.catalogues.files import LeftOut
from crawl.images.local_folder import SCHEME
from moodarchive.tables.keys import digest

PICTURES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".png", ".apng", ".webp", ".gif", ".tif", ".tiff",
     ".bmp", ".dib", ".avif")
)  # fmt: skip


def read_folder(folder: Path, left_out: LeftOut) -> Iterator[Mapping[str, str]]:
    """A row for each picture, by its suffix or, without one that is known, its first bytes."""
    for path in sorted(folder.rglob("*"), key=os.fsencode):
        if not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() not in PICTURES and not _starts_as_picture(path):
            left_out.add("files that are no pictures", ascii(name))
            continue
        inside = quote(os.fsencode(name))
        title = os.fsencode(path.stem).decode(errors="ignore").replace("-", " ").replace("_", " ")
        yield {
            "url": f"{SCHEME}:{inside}",
            "source_id": digest(name if _is_utf8(name) else inside),
            "title": " ".join(title.split()),
        }


def _is_utf8(name: str) -> bool:
    return name.encode(errors="replace").decode() == name


def _starts_as_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    starts = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
    return head.startswith(starts) or head[8:12] == b"WEBP" or head[4:12] in (b"ftypavif", b"ftypavis")
