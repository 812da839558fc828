"""The settings of an L-AVC set, read from one TOML file."""

from typing import Annotated, Literal

from pydantic import Field

from moodarchive.settings import Settings, SettingScope


class LavcSettings(Settings):
    """The whole file of ``moodarchive lavc build``."""

    kind: Annotated[Literal["drawn"], SettingScope.PER_ROW] = "drawn"
    """Where records come from: the demo's drawings, whose captions and edits are exact."""
    count: Annotated[int, Field(ge=1), SettingScope.PER_ROW] = 1000
    """Records in all."""
    size: Annotated[int, Field(ge=16, le=2048), SettingScope.PER_ROW] = 64
    """Side of the pictures in pixels."""
    first_place: Annotated[int, Field(ge=0), SettingScope.PER_ROW] = 0
    """The first place's seed."""
    seed: Annotated[int, SettingScope.PER_ROW] = 0
    """Of the moods that are drawn."""
    test: Annotated[float, Field(ge=0, lt=1), SettingScope.PER_ROW] = 0.2
    """Share of the records that no training sees, by a hash of the place within its element."""
    records_per_part: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 100
    """Records of a part: what is done again after a kill."""
