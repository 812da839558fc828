"""The settings of a catalogue: which files, which preset, which licences may enter, and how many rows of a phrase."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from crawl.catalogues.presets import PRESETS
from crawl.source import SourceSettings
from moodarchive.archive.licences import require_known_names
from moodarchive.settings import SettingScope


class CatalogueSettings(SourceSettings):
    """One list of images that is offered as files; NAME is its name in the tables. See docs/catalogues.md."""

    section: ClassVar[str] = "sources.catalogues"
    page_size: ClassVar[int] = 1_000_000

    enabled: Annotated[bool, SettingScope.GROWTH] = True
    """Whether the list is used; a locked one needs a permission too."""
    preset: Annotated[str, Field(validate_default=True), SettingScope.GROWTH] = "own"
    """The list's form and terms: one of the presets of docs/catalogues.md; `own` for a list of yours."""
    files: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ()
    """Files, folders and patterns, here or on any store (`s3://…`): Parquet, CSV, TSV, JSON lines, WebDataset tars."""
    columns: Annotated[dict[str, str], SettingScope.GROWTH] = Field(default_factory=dict)
    """Field → the list's name for its column, where it differs from the preset's."""
    licences: Annotated[tuple[str, ...], SettingScope.GROWTH] = ("pdm", "cc0", "by", "by-sa")
    """Rows of which licences may enter, with or without a version; other rows are counted and left out."""
    results_per_query: Annotated[int, Field(ge=1, le=100_000), SettingScope.GROWTH] = 2_000
    """Rows taken for each phrase at the most, the best first."""
    images_per_cell: Annotated[int, Field(ge=1), SettingScope.GROWTH] = 100_000
    """Rows taken for each emotion and context at the most, shared fairly by its phrases."""
    match: Annotated[Literal["words", "meaning", "both"], SettingScope.GROWTH] = "words"
    """How a phrase finds rows: by its words, by the embeddings of pictures or captions, or by both."""
    word_floor: Annotated[float, Field(ge=0, le=1), SettingScope.GROWTH] = 0.5
    """Share of a phrase's weight of words that a row must hold; words that hardly any row has count for less."""
    cosine_floor: Annotated[float, Field(ge=-1, le=1), SettingScope.GROWTH] = 0.18
    """Cosine between a phrase and a row's embedding below which the row does not fit."""
    embeddings: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ()
    """Files of embeddings beside the list, in its order; empty where the list itself carries them."""
    embedding_model: Annotated[str, SettingScope.GROWTH] = ""
    """The CLIP model that made them (an architecture of open_clip, or `local-dir:FOLDER`); empty: the preset's."""
    embedding_pretrained: Annotated[str, SettingScope.GROWTH] = ""
    """Its tag of open_clip; empty: the preset's."""
    limits: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ()
    """None: nothing is asked of a site before the download."""

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, name: str) -> str:
        if name not in PRESETS:
            raise ValueError(f"no such preset; legal: {', '.join(PRESETS)}")
        return name

    @field_validator("licences")
    @classmethod
    def _known_licences(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return require_known_names(names)

    @model_validator(mode="after")
    def _has_files(self) -> "CatalogueSettings":
        if self.enabled and not self.files:
            raise ValueError('an enabled catalogue names its files: files = ["…"]')
        return self
