"""The pictures of a part that lie in the rows of catalogues: read group by group, and laid aside on this machine."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from crawl.catalogues.catalogue import Catalogue
from crawl.catalogues.files import ListFile
from crawl.catalogues.rows import SCHEME, parse_row_address, read_pictures
from moodarchive.errors import ConfigError, RowError


def name_row(catalogue: str, file: ListFile, url: str) -> str:
    """The address of a picture that lies in a row, as the archive's tables have it: row:CATALOGUE/FINGERPRINT/FILE!….

    Two catalogues may have files of one name, and a later release another file of the same.
    """
    scheme, _, place = url.partition(":")
    return f"{scheme}:{catalogue}/{file.fingerprint}/{place}" if scheme == SCHEME else url


@dataclass(frozen=True)
class StoredPictures:
    """Bytes by key, in one file of this machine."""

    file: IO[bytes] | None = None
    spans: Mapping[str, tuple[int, int] | RowError] = field(default_factory=dict)

    def read(self, key: str) -> bytes | None:
        """The picture; None for a key whose picture lies in no row; RowError."""
        span = self.spans.get(key)
        if span is None or self.file is None:
            return None
        if isinstance(span, RowError):
            raise span
        self.file.seek(span[0])
        return self.file.read(span[1])


@contextmanager
def read_stored_pictures(
    catalogues: Mapping[str, Catalogue], rows: Iterable[tuple[str, str, str | None]], max_bytes: int
) -> Iterator[StoredPictures]:
    """Of rows (key, source, address), the pictures whose address is a row's; they are there until the context ends.

    ConfigError when the settings no longer name the catalogue, or it no longer has the file.
    """
    wanted = _sort_by_file(catalogues, rows)
    if not wanted:
        yield StoredPictures()
        return
    with tempfile.TemporaryFile(prefix="moodarchive-rows-") as scratch:
        spans: dict[str, tuple[int, int] | RowError] = {}
        for (source, file), places in wanted.items():
            catalogue = catalogues[source]
            for key, picture in read_pictures(
                file, catalogue.preset, catalogue.settings.columns, places, most_bytes=max_bytes
            ):
                if isinstance(picture, RowError):
                    spans[key] = picture
                else:
                    spans[key] = (scratch.tell(), len(picture))
                    scratch.write(picture)
            for key in set(places.values()) - spans.keys():
                spans[key] = RowError("missing_file", f"{key}: {file.name} has no such row")
        yield StoredPictures(scratch, spans)


def _sort_by_file(
    catalogues: Mapping[str, Catalogue], rows: Iterable[tuple[str, str, str | None]]
) -> dict[tuple[str, ListFile], dict[tuple[int, int], str]]:
    """(catalogue, file) → (group, row) → key."""
    wanted: dict[tuple[str, ListFile], dict[tuple[int, int], str]] = {}
    files: dict[str, dict[str, ListFile]] = {}
    for key, source, url in rows:
        if not url or not url.startswith(f"{SCHEME}:"):
            continue
        address = parse_row_address(url)
        if address is None or not address[0].startswith(f"{source}/") or address[0].count("/") < 2:
            continue
        if source not in catalogues:
            raise ConfigError(
                f"{key} lies in a row of the catalogue {source}, which the settings no longer name; remedy: put "
                f"[sources.catalogues.{source}] back until its pictures are read"
            )
        if source not in files:
            files[source] = {file.name: file for file in catalogues[source].files}
        (_, fingerprint, name), (group, row) = address[0].split("/", 2), address[1:]
        file = files[source].get(name)
        if file is None or file.fingerprint != fingerprint:
            raise ConfigError(
                f"{key} lies in {name} as the catalogue {source} had it, and now it has "
                f"{'no such file' if file is None else 'another one'}; remedy: put the former back until its pictures "
                "are read"
            )
        wanted.setdefault((source, file), {})[group, row] = key
    return wanted
