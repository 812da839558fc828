"""Your own images: lists of addresses in Parquet, CSV, TSV or WebDataset tars, and folders of pictures."""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

import duckdb
import pyarrow as pa

from crawl.http.search_client import WebClient
from crawl.images.local_folder import SCHEME
from crawl.sites.listed import COLUMNS, build_index, newest_day, open_database, search_index
from crawl.source import Found, Policy, Query, SourceSettings
from moodarchive.errors import ConfigError
from moodarchive.keys import digest
from moodarchive.settings import SettingScope

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif")
POLICY = Policy(
    mode="dataset",
    terms_url="your own list",
    terms_reviewed_on=None,
    ml_allowed=False,
    redistribute_allowed=False,
    says="nobody but you knows the terms of your own lists",
)
_NAMES = {
    "source_id": ("source_id", "id", "key"),
    "url": ("url", "URL", "image_url"),
    "landing_url": ("landing_url", "page_url", "foreign_landing_url"),
    "title": ("title",),
    "alt_text": ("alt_text", "alt", "caption", "TEXT", "text", "description"),
    "creator": ("creator", "author", "photographer"),
    "creator_url": ("creator_url", "author_url", "photographer_url"),
    "licence": ("licence", "license"),
    "licence_url": ("licence_url", "license_url"),
    "width": ("width", "WIDTH"),
    "height": ("height", "HEIGHT"),
    "searched": ("keywords", "tags"),
}
"""Column → the names under which a list may hold it, the first that is there counts."""


class UrlsSettings(SourceSettings):
    """Which lists and folder."""

    page_size: ClassVar[int] = 2000

    lists: Annotated[tuple[str, ...], SettingScope.GROWTH] = ()
    """Files that end in .parquet, .csv, .tsv or .tar."""
    folder: Annotated[str, SettingScope.GROWTH] = ""
    """A folder of pictures; the words of a file's name describe it."""
    limits: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ()


@dataclass(frozen=True)
class Urls:
    """The adapter."""

    settings: UrlsSettings
    name: str = "urls"
    policy: Policy = POLICY

    def search(self, query: Query, web: WebClient) -> Iterator[Found]:
        """Images whose descriptions hold the phrase's words, dated by the newest list."""
        return search_index(self._index, query, self._day)

    @cached_property
    def _index(self) -> duckdb.DuckDBPyConnection:
        connection = open_database()
        kinds = {name: "INTEGER" if name in ("width", "height") else "VARCHAR" for name in (*COLUMNS, "searched")}
        columns = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
        connection.execute(f"CREATE TEMP TABLE listed ({columns})")
        for path in self._paths:
            _add(connection, path)
        return build_index(connection)

    @cached_property
    def _paths(self) -> list[Path]:
        paths = [Path(path) for path in (*self.settings.lists, self.settings.folder) if path]
        if not paths:
            raise ConfigError("sources.urls names neither lists nor a folder")
        for path in paths:
            if not path.exists():
                raise ConfigError(f"sources.urls: {path} is not there")
        return paths

    @cached_property
    def _day(self) -> str:
        return newest_day(self._paths)


def _add(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Adds one list; a row without an identifier is named by its address."""
    reader = _relation(connection, path)
    found = {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()}
    picked = {name: next((f'"{n}"' for n in names if n in found), "NULL") for name, names in _NAMES.items()}
    if picked["url"] == "NULL":
        raise ConfigError(f"sources.urls: {path} has no column called {', '.join(_NAMES['url'])}")
    # an image's key must not change with the order of the rows
    picked["source_id"] = f"coalesce(CAST({picked['source_id']} AS VARCHAR), md5(CAST({picked['url']} AS VARCHAR)))"
    values = ", ".join(
        f"try_cast({value} AS {'INTEGER' if name in ('width', 'height') else 'VARCHAR'}) AS {name}"
        for name, value in picked.items()
    )
    inside = "true" if path.is_dir() else f"NOT starts_with(url, '{SCHEME}:')"
    connection.execute(f"INSERT INTO listed BY NAME SELECT * FROM (SELECT {values} FROM {reader}) WHERE {inside}")
    connection.execute("DROP VIEW IF EXISTS rows_of_list")


def _relation(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    quoted = str(path).replace("'", "''")
    if path.is_dir() or path.suffix == ".tar":
        rows = list(_pictures_in(path) if path.is_dir() else _samples_of(path))
        connection.register("rows_of_list", pa.Table.from_pylist(rows or [{"url": None}]))
        return "rows_of_list"
    if path.suffix == ".parquet":
        return f"read_parquet('{quoted}')"
    if path.suffix in (".csv", ".tsv"):
        return f"read_csv('{quoted}', header = true, all_varchar = true)"
    raise ConfigError(f"sources.urls.lists: {path} ends neither in .parquet, .csv, .tsv nor .tar")


def _pictures_in(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICTURES and path.is_file():
            inside = path.relative_to(folder).as_posix()
            title = " ".join(path.stem.replace("-", " ").replace("_", " ").split())
            yield {"url": f"{SCHEME}:{quote(inside)}", "source_id": digest(inside), "title": title}


def _samples_of(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON of each sample of a WebDataset tar that names an address; texts beside it are its description."""
    with tarfile.open(path) as tar:
        texts: dict[str, dict[str, Any]] = {}
        for member in tar:
            name, _, kind = member.name.rpartition(".")
            file = tar.extractfile(member) if kind in ("json", "txt") and member.size < 1 << 20 else None
            if file is None:
                continue
            content = file.read().decode(errors="replace")
            sample = texts.setdefault(name, {})
            sample.update(json.loads(content) if kind == "json" else {"text": content.strip()})
    known = {alias for names in _NAMES.values() for alias in names}
    for sample in texts.values():
        yield {name: str(value) for name, value in sample.items() if name in known and value is not None}
