"""All settings of an archive: the sections, each a class beside the code that uses it."""

import re
from typing import Annotated

from pydantic import Field, field_validator

from annotate.caption import CaptionSettings
from crawl.catalogues.settings import CatalogueSettings
from crawl.download import DownloadSettings
from crawl.phrases.descriptors import DescriptorSettings
from crawl.rounds.merge import MergeSettings
from crawl.rounds.search import SearchSettings
from crawl.sites.html_sites import BurstSettings, EnvatoSettings, FoodiesfeedSettings, FreenaturestockSettings
from crawl.sites.openverse import OpenverseSettings
from crawl.sites.pexels import PexelsSettings
from crawl.sites.pixabay import PixabaySettings
from crawl.sites.stocksnap import StocksnapSettings
from crawl.sites.unsplash import UnsplashSettings
from crawl.sites.unsplash_dataset import UnsplashDatasetSettings
from crawl.sites.urls import UrlsSettings
from filter.cut import CutSettings
from filter.early_repeats import RepeatSettings
from filter.safety import SafetySettings
from filter.score import ScoreSettings
from moodarchive.settings import Settings, SettingScope, load, read_settings_text
from pipelines.servers.settings import ServerSettings
from shards.pack import ShardSettings


class SourcesSettings(Settings):
    """The stock sites that are searched."""

    openverse: OpenverseSettings = OpenverseSettings()
    unsplash: UnsplashSettings = UnsplashSettings()
    unsplash_dataset: UnsplashDatasetSettings = UnsplashDatasetSettings()
    pexels: PexelsSettings = PexelsSettings()
    pixabay: PixabaySettings = PixabaySettings()
    envato: EnvatoSettings = EnvatoSettings()
    burst: BurstSettings = BurstSettings()
    stocksnap: StocksnapSettings = StocksnapSettings()
    foodiesfeed: FoodiesfeedSettings = FoodiesfeedSettings()
    freenaturestock: FreenaturestockSettings = FreenaturestockSettings()
    urls: UrlsSettings = UrlsSettings()
    catalogues: dict[str, CatalogueSettings] = Field(default_factory=dict)

    @field_validator("catalogues")
    @classmethod
    def _legal_names(cls, catalogues: dict[str, CatalogueSettings]) -> dict[str, CatalogueSettings]:
        for name in catalogues:
            if name in cls.model_fields or not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", name):
                raise ValueError(
                    f"{name!r} cannot be a catalogue's name: small letters, digits, - and _, and no site's"
                )
        return catalogues


class RunSettings(Settings):
    """How Ray runs the stages."""

    root: Annotated[str, SettingScope.EXECUTION] = ""
    """Where the archive is built: a folder, s3://…, any fsspec URL; --root overrides it."""
    ray_address: Annotated[str, SettingScope.EXECUTION] = ""
    """A cluster's address, or "auto" on one of its nodes. Empty: what RAY_ADDRESS names, else a Ray of this run's own;
    "local" for one of its own in any case."""
    cpus: Annotated[int, Field(ge=0), SettingScope.EXECUTION] = 0
    """Logical CPUs for a Ray of its own; 0 for all of the machine."""
    give_up_after: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 10
    """Parts that fail one after another before the run stops."""


class ArchiveSettings(Settings):
    """The whole settings file."""

    run: RunSettings = RunSettings()
    descriptors: DescriptorSettings = DescriptorSettings()
    sources: SourcesSettings = SourcesSettings()
    search: SearchSettings = SearchSettings()
    merge: MergeSettings = MergeSettings()
    download: DownloadSettings = DownloadSettings()
    safety: SafetySettings = SafetySettings()
    repeats: RepeatSettings = RepeatSettings()
    caption: CaptionSettings = CaptionSettings()
    servers: ServerSettings = ServerSettings()
    score: ScoreSettings = ScoreSettings()
    cut: CutSettings = CutSettings()
    shards: ShardSettings = ShardSettings()


def read_settings(path: str) -> ArchiveSettings:
    """The settings of a TOML file; ConfigError names the file and what is wrong."""
    return load(ArchiveSettings, read_settings_text(path), path)
