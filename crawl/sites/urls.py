"""Your own images: lists of addresses in any format that a catalogue may have, and folders of pictures."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar

import duckdb
import pyarrow as pa

from crawl.catalogues.files import LOGGER, LeftOut, find_files, kind_of, refuse
from crawl.catalogues.presets import PRESETS
from crawl.catalogues.rows import read_as_stated
from crawl.http.search_client import WebClient
from crawl.sites.folders import read_folder
from crawl.sites.listed import KINDS, build_index, newest_day, open_database, search_index
from crawl.source import Found, Policy, Query, SourceSettings
from moodarchive.errors import ConfigError
from moodarchive.settings import SettingScope

POLICY = PRESETS["own"].policy


class UrlsSettings(SourceSettings):
    """Which lists and folder."""

    page_size: ClassVar[int] = 2000

    lists: Annotated[tuple[str, ...], SettingScope.GROWTH] = ()
    """Files that end in .parquet, .csv, .tsv, .jsonl or .tar (.gz and .bz2 too), and folders of them."""
    folder: Annotated[str, SettingScope.GROWTH] = ""
    """A folder of pictures; the words of a file's name describe it."""
    limits: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ()
    """None: nothing is asked of a site before the download."""


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
        assert self._paths
        connection = open_database()
        columns = ", ".join(f"{name} {kind}" for name, kind in KINDS.items())
        connection.execute(f"CREATE TEMP TABLE listed ({columns})")
        for path in map(Path, self.settings.lists):
            _add_list(connection, path)
        if self.settings.folder:
            _add_folder(connection, Path(self.settings.folder))
        return build_index(connection)

    @cached_property
    def _day(self) -> str:
        return newest_day(self._paths)

    @cached_property
    def _paths(self) -> list[Path]:
        paths = [Path(path) for path in (*self.settings.lists, self.settings.folder) if path]
        if not paths:
            raise ConfigError("sources.urls names neither lists nor a folder")
        for path in paths:
            if not path.exists():
                raise ConfigError(f"sources.urls: {path} is not there")
        return paths


def _add_list(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Adds one list. What is no row is left out and counted; ConfigError for a list that cannot be read."""
    try:
        files = find_files([str(path)])
    except ConfigError as error:
        if not path.is_dir():
            raise
        raise refuse(path, "is a folder without lists", "name a list, or set sources.urls.folder to it") from error
    for file in files:
        left_out = LeftOut(file.path)
        for batch in read_as_stated(file, PRESETS["own"], {}, left_out):
            connection.register("rows_of_list", pa.Table.from_batches([batch]))
            connection.execute("INSERT INTO listed BY NAME SELECT * EXCLUDE (row) FROM rows_of_list")
            connection.unregister("rows_of_list")
        left_out.report()


def _add_folder(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    left_out = LeftOut(str(folder))
    rows = [dict(row) for row in read_folder(folder, left_out)]
    left_out.report()
    if not rows:
        if any(kind_of(path.name) for path in folder.rglob("*")):
            raise refuse(folder, "is a folder of lists, not of pictures", "name them in sources.urls.lists")
        LOGGER.warning("%s holds no picture", folder)
        return
    connection.register("rows_of_folder", pa.Table.from_pylist(rows))
    connection.execute("INSERT INTO listed BY NAME SELECT *, false AS mature FROM rows_of_folder")
    connection.unregister("rows_of_folder")
