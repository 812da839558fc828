"""The Unsplash Dataset: photographs and keywords as TSV files in a folder of this machine."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar

import duckdb

from crawl.http.search_client import WebClient
from crawl.sites.listed import build_index, newest_day, open_database, search_index
from crawl.sites.unsplash import LICENCE, LICENCE_URL
from crawl.source import Found, Policy, Query, SourceSettings
from moodarchive.errors import ConfigError
from moodarchive.settings import SettingScope

POLICY = Policy(
    mode="dataset",
    terms_url="https://github.com/unsplash/datasets/blob/master/TERMS.md",
    terms_reviewed_on=date(2026, 11, 1),
    ml_allowed=True,
    redistribute_allowed=False,
    says="machine learning is allowed once you accept the dataset's terms; the images may not be passed on",
)
_LISTED = """
CREATE TEMP TABLE keywords AS
    SELECT photo_id, string_agg(keyword, ', ' ORDER BY keyword) AS keywords FROM read_csv(
        $keywords, delim = '\t', header = true, quote = '', all_varchar = true) GROUP BY photo_id;
"""
_PHOTOS = """
CREATE TEMP TABLE listed AS
    SELECT p.photo_id AS source_id, p.photo_image_url AS url, p.photo_url AS landing_url,
        nullif(p.photo_description, '') AS title,
        coalesce(nullif(p.ai_description, ''), nullif(p.photo_description, ''), k.keywords) AS alt_text,
        nullif(trim(concat_ws(' ', p.photographer_first_name, p.photographer_last_name)), '') AS creator,
        'https://unsplash.com/@' || nullif(p.photographer_username, '') AS creator_url,
        $licence AS licence, $licence_url AS licence_url,
        try_cast(p.photo_width AS INTEGER) AS width, try_cast(p.photo_height AS INTEGER) AS height, false AS mature,
        k.keywords AS searched
    FROM read_csv($photos, delim = '\t', header = true, quote = '', all_varchar = true) p
    LEFT JOIN keywords k USING (photo_id);
"""


class UnsplashDatasetSettings(SourceSettings):
    """Where the dataset was unpacked."""

    page_size: ClassVar[int] = 2000

    folder: Annotated[str, SettingScope.EXECUTION] = ""
    """Holds photos.tsv000 and keywords.tsv000, and further pieces of a large dataset."""
    limits: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ()


@dataclass(frozen=True)
class UnsplashDataset:
    """The adapter; nothing is requested before the download."""

    settings: UnsplashDatasetSettings
    name: str = "unsplash_dataset"
    policy: Policy = POLICY

    def search(self, query: Query, web: WebClient) -> Iterator[Found]:
        """Photographs whose keywords and descriptions hold the phrase's words, dated by the files."""
        return search_index(self._index, query, self._day)

    @cached_property
    def _index(self) -> duckdb.DuckDBPyConnection:
        folder = Path(self.settings.folder)
        connection = open_database()
        connection.execute(_LISTED, {"keywords": _pieces(folder, "keywords")})
        values = {"photos": _pieces(folder, "photos"), "licence": LICENCE, "licence_url": LICENCE_URL}
        connection.execute(_PHOTOS, values)
        return build_index(connection)

    @cached_property
    def _day(self) -> str:
        return newest_day(map(Path, _pieces(Path(self.settings.folder), "photos")))


def _pieces(folder: Path, name: str) -> list[str]:
    pieces = sorted(str(path) for path in folder.glob(f"{name}.tsv*"))
    if not pieces or folder == Path():
        raise ConfigError(
            f"sources.unsplash_dataset.folder = '{folder}' holds no {name}.tsv000; remedy: unpack it there"
        )
    return pieces
