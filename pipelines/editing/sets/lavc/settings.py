"""The settings of an L-AVC set, read from one TOML file."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from moodarchive.chat.settings import ChatSettings
from moodarchive.settings import Settings, SettingScope
from pipelines.editing.sets.settings import FilterSettings, MakerSettings, lacks_emoeditor


class WriterSettings(ChatSettings):
    """Which served model writes captions, instructions and edited captions, and how it is asked."""

    model: Annotated[str, SettingScope.PER_ROW] = "llava-hf/llava-v1.6-mistral-7b-hf"
    """The name under which the servers know the model."""
    prompt: Annotated[str, SettingScope.PER_ROW] = "change_of_emotion"
    """A bundled prompt's name, or the path of a TOML file."""
    max_tokens: Annotated[int, SettingScope.PER_ROW, Field(ge=64)] = 512
    """Tokens that an answer may have; one that is cut off counts as failed."""
    temperature: Annotated[float, SettingScope.PER_ROW, Field(ge=0.0, le=2.0)] = 0.2
    """Of the sampling; a retry asks with another seed."""
    max_attempts: Annotated[int, SettingScope.PER_ROW, Field(ge=1, le=10)] = 3
    """Answers asked for before a record is rejected."""
    image_side: Annotated[int, SettingScope.PER_ROW, Field(ge=64)] = 672
    """Longest side that is sent, in pixels."""


class LavcSettings(Settings):
    """The whole file of ``moodarchive lavc build``."""

    kind: Annotated[Literal["drawn", "archive", "emoset"], SettingScope.PER_ROW] = "drawn"
    """Where pictures come from. drawn: the demo's drawings, whose captions and edits are exact; archive: kept pictures
    of a sealed archive; emoset: EmoSet-118K's folder, or one of the same form."""
    archive: Annotated[str, SettingScope.EXECUTION] = ""
    """archive: its root."""
    folder: Annotated[str, SettingScope.EXECUTION] = ""
    """emoset: its folder, with info.json and the lists of splits."""
    count: Annotated[int, Field(ge=1), SettingScope.PER_ROW] = 1000
    """Records in all; of photos at most so many, as evenly over elements and emotions as there are pictures."""
    size: Annotated[int, Field(ge=16, le=2048), SettingScope.PER_ROW] = 64
    """drawn: side of the pictures in pixels."""
    first_place: Annotated[int, Field(ge=0), SettingScope.PER_ROW] = 0
    """drawn: the first place's seed."""
    seed: Annotated[int, SettingScope.PER_ROW] = 0
    """Of all draws: moods, pictures, targets, answers and edits."""
    targets: Annotated[Literal["model", "drawn"], SettingScope.PER_ROW] = "model"
    """Of photos: who says which emotion is edited to, the served model or the seed."""
    writer: WriterSettings = WriterSettings()
    maker: MakerSettings = MakerSettings()
    tries: Annotated[int, Field(ge=1, le=20), SettingScope.PER_ROW] = 3
    """Of photos: edits, each with a seed of its own, that are made until one passes the filter."""
    filter: FilterSettings = FilterSettings()
    predictor: Annotated[str, SettingScope.PER_ROW] = ""
    """The folder of an emotion predictor, which must see the target in the edit; empty: nobody looks."""
    licence: Annotated[str, SettingScope.PER_ROW] = ""
    """emoset: of the pictures, as archives name it (`by 4.0`); empty: unknown, which goes into private shards."""
    licence_url: Annotated[str, SettingScope.PER_ROW] = ""
    """emoset: the licence's text."""
    permission: Annotated[str, SettingScope.PER_ROW] = ""
    """In whose words the records may be passed on, where a licence does not say so."""
    checked: Annotated[str, SettingScope.WHOLE_TABLE] = ""
    """The file checked.jsonl that a study of kind checks wrote: only records that people accepted stay kept."""
    test: Annotated[float, Field(ge=0, lt=1), SettingScope.PER_ROW] = 0.2
    """Share of the records that no training sees, by a hash of the picture or place within its element."""
    records_per_part: Annotated[int, Field(ge=1), SettingScope.PER_ROW] = 100
    """Records of a part: what is done again after a kill."""
    workers: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 1
    """Worker processes of each stage."""
    gpus_per_worker: Annotated[float, Field(ge=0), SettingScope.EXECUTION] = 0.0
    """Share of a GPU that each worker that edits gets."""
    ray_address: Annotated[str, SettingScope.EXECUTION] = ""
    """A cluster; empty: a Ray of this run's own."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {"drawn": "", "archive": "archive", "emoset": "folder"}[self.kind]
        if needed and not getattr(self, needed):
            raise ValueError(f"kind = {self.kind!r} needs {needed}")
        if self.kind != "drawn" and (problem := lacks_emoeditor(self.maker)):
            raise ValueError(problem)
        return self

    def recorded(self) -> dict[str, object]:
        """What rows depend on; of paths their last folder."""
        from editor.provenance import folder_name

        own = self.of_kind(SettingScope.PER_ROW)
        predictor = folder_name(self.predictor) if self.predictor else ""
        return own | {"maker": self.maker.recorded(), "predictor": predictor}
