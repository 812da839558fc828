"""Your own images: lists of addresses in Parquet, CSV, TSV or WebDataset tars, and folders of pictures."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar

import duckdb
import pyarrow as pa

from crawl.http.search_client import WebClient
from crawl.images.local_folder import SCHEME
from crawl.sites.list_files import (
    LISTS,
    LOGGER,
    LeftOut,
    batches_of,
    parquet_files,
    read_csv,
    read_folder,
    read_samples,
    refuse,
    text_of,
)
from crawl.sites.listed import KINDS, build_index, newest_day, open_database, search_index
from crawl.source import Found, Policy, Query, SourceSettings
from moodarchive.errors import ConfigError
from moodarchive.settings import SettingScope

POLICY = Policy(
    mode="dataset",
    terms_url="your own list",
    terms_reviewed_on=None,
    ml_allowed=False,
    redistribute_allowed=False,
    says="nobody but you knows the terms of your own lists",
)
_NAMES = {
    "source_id": ("source_id", "id", "key", "sample_id"),
    "url": ("url", "image_url", "imageurl", "image url"),
    "landing_url": ("landing_url", "page_url", "foreign_landing_url"),
    "title": ("title",),
    "alt_text": ("alt_text", "alt", "caption", "text", "description"),
    "creator": ("creator", "author", "photographer"),
    "creator_url": ("creator_url", "author_url", "photographer_url"),
    "licence": ("licence", "license"),
    "licence_url": ("licence_url", "license_url"),
    "width": ("width", "original_width"),
    "height": ("height", "original_height"),
    "mature": ("mature", "nsfw"),
    "searched": ("keywords", "tags"),
}
"""Column → the names under which a list may hold it, in any case; the first that is there counts."""
_NOTHING = ("", "?", "null", "none", "nan", "n/a", "<na>")
"""What lists write for no value."""
_MATURE = ("nsfw", "true", "t", "yes", "1", "1.0")
_IS_ADDRESS = r"(?i)^https?://[^\s/][^\x00-\x20\x7f]*$"


class UrlsSettings(SourceSettings):
    """Which lists and folder."""

    page_size: ClassVar[int] = 2000

    lists: Annotated[tuple[str, ...], SettingScope.GROWTH] = ()
    """Files that end in .parquet, .csv, .tsv or .tar, and folders of Parquet parts."""
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
    left_out, suffix = LeftOut(path), path.suffix.lower()
    if path.is_dir() or suffix == ".parquet":
        files = parquet_files(path)
        if not files:
            raise refuse(path, "is a folder without Parquet parts", "name a list, or set sources.urls.folder to it")
        names = [str(name).replace("'", "''") for name in files]
        relation = f"read_parquet([{', '.join(map(repr, names))}], union_by_name = true, filename = false)"
        columns = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()]
        _insert(connection, relation, columns, left_out)
    elif suffix in (".csv", ".tsv"):
        columns, rows = read_csv(path, left_out)
        _require_address_column(path, columns)
        for batch in batches_of(columns, rows):
            _insert_table(connection, batch, columns, left_out)
    elif suffix == ".tar":
        samples = list(read_samples(path, left_out))
        names = sorted({name for sample in samples for name in sample if _column_of(name)})
        table = pa.table(
            {name: pa.array([text_of(s.get(name)) for s in samples], pa.string()) for name in [*names, "line"]}
        )
        if names:
            _insert_table(connection, table, names, left_out)
    else:
        raise refuse(path, f"ends neither in {', '.join(LISTS[:-1])} nor {LISTS[-1]}", "give it the ending of its kind")
    left_out.report()


def _add_folder(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    left_out = LeftOut(folder)
    rows = [dict(row) for row in read_folder(folder, left_out)]
    left_out.report()
    if not rows:
        if any(path.suffix.lower() in LISTS for path in folder.rglob("*")):
            raise refuse(folder, "is a folder of lists, not of pictures", "name them in sources.urls.lists")
        LOGGER.warning("%s holds no picture", folder)
        return
    connection.register("rows_of_folder", pa.Table.from_pylist(rows))
    connection.execute("INSERT INTO listed BY NAME SELECT *, false AS mature FROM rows_of_folder")
    connection.unregister("rows_of_folder")


def _insert_table(
    connection: duckdb.DuckDBPyConnection, table: pa.Table, columns: list[str], left_out: LeftOut
) -> None:
    connection.register("rows_of_list", table)
    _insert(connection, "rows_of_list", columns, left_out, line="line")
    connection.unregister("rows_of_list")


def _insert(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    columns: list[str],
    left_out: LeftOut,
    *,
    line: str = "'row ' || (row_number() OVER ())",
) -> None:
    """Adds the relation's rows that have an address, and counts the others in ``left_out``.

    An image's key is made of its own name and its address: two lists may count from 1, and the order of rows and lists
    changes no key.
    """
    _require_address_column(left_out.path, columns)
    cleaned = {column: _cleaned(columns, column) for column in _NAMES}
    connection.execute(f"""
        CREATE OR REPLACE TEMP TABLE cleaned AS
        SELECT {", ".join(f"{value} AS {column}" for column, value in cleaned.items())}, {line} AS line FROM {relation}
    """)
    accepted = f"url IS NOT NULL AND regexp_matches(url, '{_IS_ADDRESS}')"
    refused = connection.execute(f"SELECT line, url FROM cleaned WHERE NOT ({accepted}) OR url IS NULL").fetchall()
    for line_name, address in refused:
        if address and address.lower().startswith(f"{SCHEME}:"):
            left_out.add("addresses of a folder, which no list may hold", line_name)
        else:
            left_out.add("no address that begins with http:// or https://", f"{line_name}: {address!r:.60}")
    connection.execute(f"""
        INSERT INTO listed BY NAME
        SELECT concat_ws('-', source_id, md5(url)) AS source_id, url, landing_url, title, alt_text,
            creator, creator_url, licence, licence_url, {_pixels("width")} AS width, {_pixels("height")} AS height,
            coalesce(lower(mature) IN {_MATURE}, false) AS mature, searched
        FROM cleaned WHERE {accepted}
    """)


def _cleaned(columns: list[str], column: str) -> str:
    """SQL: the first of the list's columns that has one of the names, trimmed, without the words for nothing."""
    names = {name.strip().casefold(): name for name in reversed(columns)}
    name = next((names[alias] for alias in _NAMES[column] if alias in names), None)
    if name is None:
        return "NULL::VARCHAR"
    quoted = '"' + name.replace('"', '""') + '"'
    trimmed = f"trim({quoted}::VARCHAR, ' \t\r\n')"
    return f"CASE WHEN lower({trimmed}) NOT IN {_NOTHING} THEN {trimmed} END"


def _pixels(column: str) -> str:
    """SQL: a whole number of pixels, or NULL."""
    number = f"try_cast({column} AS DOUBLE)"
    return f"CASE WHEN {number} BETWEEN 1 AND 2147483647 THEN {number}::INTEGER END"


def _column_of(name: str) -> str | None:
    folded = name.strip().casefold()
    return next((column for column, aliases in _NAMES.items() if folded in aliases), None)


def _require_address_column(path: Path, columns: list[str]) -> None:
    if any(_column_of(name) == "url" for name in columns):
        return
    if any("://" in name for name in columns):
        raise refuse(path, "begins with an address, not with a heading", "put a first line such as url,caption,licence")
    shown = ", ".join(columns[:10]) or "none"
    raise refuse(path, f"has no column called {' or '.join(_NAMES['url'])}; it has {shown}", "name the column url")
