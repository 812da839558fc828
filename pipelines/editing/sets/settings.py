"""Settings that sets of edited pictures share: what edits, and what an edit must reach."""

from typing import Annotated, Literal, TypeVar

from pydantic import Field

from moodarchive.settings import Settings, SettingScope, load, read_settings_text

Maker = Literal["instruct-pix2pix", "emoeditor", "moodifier", "infedit", "sdedit", "colour-transfer"]
S = TypeVar("S", bound=Settings)


class FilterSettings(Settings):
    """What an edit must reach: EmoEdit's public thresholds, and the target's own class."""

    clip: Annotated[str, SettingScope.PER_ROW] = ""
    """The CLIP that compares pictures and texts, of open_clip or local-dir:FOLDER; empty: none."""
    clip_pretrained: Annotated[str, SettingScope.PER_ROW] = ""
    """A tag of open_clip."""
    image_low: Annotated[float, Field(ge=-1, le=1), SettingScope.PER_ROW] = 0.75
    """Least cosine between source and edit."""
    image_high: Annotated[float, Field(ge=-1, le=1), SettingScope.PER_ROW] = 0.95
    """Greatest; above it nothing was edited."""
    text: Annotated[float, Field(ge=-1, le=1), SettingScope.PER_ROW] = 0.25
    """Least cosine between the edit and its text: EmoPair's instruction, L-AVC's edited caption."""
    probability: Annotated[float, Field(ge=0, le=1), SettingScope.PER_ROW] = 0.5
    """Least probability of the target class in the edit, which must also be the likeliest."""


class MakerSettings(Settings):
    """What edits the source pictures."""

    method: Annotated[Maker, SettingScope.PER_ROW] = "instruct-pix2pix"
    """The editor's method."""
    base: Annotated[str, SettingScope.PER_ROW] = ""
    """Its diffusion model (for emoeditor the trained model), or `demo`; empty: the one that the method was published
    with."""
    model: Annotated[str, SettingScope.PER_ROW] = ""
    """An exported MoodifyCLIP, for moodifier; an EmoEditor that was trained on it, for emoeditor with base `demo`."""
    steps: Annotated[int, Field(ge=0, le=1000), SettingScope.PER_ROW] = 0
    """Denoising steps; 0: the method's own."""
    size: Annotated[int, Field(ge=0, le=2048), SettingScope.PER_ROW] = 0
    """The working size in pixels; 0: the method's own."""
    rounds: Annotated[int, Field(ge=0, le=1000), SettingScope.PER_ROW] = 0
    """The most passes of emoeditor; 0: its own."""

    def recorded(self) -> dict[str, object]:
        """What rows depend on; of a path its last folder, because a path may name a person."""
        from editor.provenance import folder_name

        own = self.of_kind(SettingScope.PER_ROW)
        return own | {name: folder_name(str(own[name])) for name in ("base", "model") if own[name]}


def lacks_emoeditor(maker: MakerSettings) -> str:
    """What emoeditor lacks to edit; empty for nothing."""
    lacks = not maker.base or (maker.base == "demo" and not maker.model)
    if maker.method != "emoeditor" or not lacks:
        return ""
    return (
        "maker.method = 'emoeditor' needs maker.base, the model that `moodarchive train` exported, or base 'demo' and "
        "that model as maker.model"
    )


def read_set_settings(cls: type[S], config: str) -> S:
    """From a TOML file; ConfigError where it cannot be read or a value is wrong."""
    return load(cls, read_settings_text(config), config)
