"""The settings of EmoEditor's training and of its predictor's, each a TOML file of its own ``kind``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from moodarchive.diffusion.emotion import Condition
from moodarchive.settings import Settings, SettingScope
from train.diffusion.settings import ScheduleSettings

Precision = Literal["auto", "fp32", "bf16"]


class EmoEditorSettings(Settings):
    """The whole file of ``kind = "emoeditor"``; the six rows of the paper's ablation differ in three of these."""

    kind: Annotated[Literal["emoeditor"], SettingScope.TRAINING] = "emoeditor"
    """What this file is of."""
    output: Annotated[str, Field(min_length=1), SettingScope.EXECUTION]
    """Where checkpoints/, cache/ and model/ are written."""
    pairs: Annotated[str, SettingScope.EXECUTION] = ""
    """The root of a sealed EmoPair set."""
    sets: Annotated[tuple[str, ...], SettingScope.TRAINING] = ("train",)
    """Which of its shard sets are read; `private` names pairs that may not be passed on."""
    base: Annotated[str, SettingScope.EXECUTION] = ""
    """A diffusion model's folder, or `demo`: one of four channels is widened, InstructPix2Pix's is taken as it is."""
    text: Annotated[str, SettingScope.EXECUTION] = ""
    """A folder with a text tower of transformers, such as an exported MoodifyCLIP's; empty: the base's own."""
    predictor: Annotated[str, SettingScope.EXECUTION] = ""
    """The folder of the emotion predictor, which goes with the model."""
    labels: Annotated[Literal["predictor", "set"], SettingScope.TRAINING] = "predictor"
    """Whose distributions the directions are taken from: the predictor's, as in an edit, or those of the set."""
    condition: Annotated[Condition, SettingScope.TRAINING] = "direction"
    """What the UNet attends to: the encoded direction, the encoded target, or the instruction's text states."""
    embedding_weight: Annotated[float, Field(ge=0), SettingScope.TRAINING] = 0.5
    """Weight of the loss that draws the encoder's states to the instruction's."""
    identity: Annotated[float, Field(ge=0, lt=1), SettingScope.TRAINING] = 0.05
    """Share of the rows whose target is their source, so that a zero direction means: leave it."""
    unprompted: Annotated[float, Field(ge=0, lt=1), SettingScope.TRAINING] = 0.0
    """condition = "text": share of the rows that lose their words, not their target: what guidance leads away from."""
    hidden: Annotated[tuple[int, ...], SettingScope.TRAINING] = (256, 512, 768)
    """Widths of the encoder's hidden layers."""
    kept_instructions: Annotated[int, Field(ge=1), SettingScope.TRAINING] = 10
    """condition = "text": instructions of each class that are exported, the most frequent first."""
    size: Annotated[int, Field(ge=16), SettingScope.TRAINING] = 224
    """Side to which the pictures are squashed; multiples of 64 suit new work."""
    seed: Annotated[int, SettingScope.TRAINING] = 0
    """Of the encoder's starting weights and of each step's random numbers."""
    precision: Annotated[Precision, SettingScope.TRAINING] = "auto"
    """auto: bf16 on a GPU, fp32 on a CPU."""
    activation_checkpoints: Annotated[bool, SettingScope.EXECUTION] = False
    """Computes the UNet's activations again in the backward pass in place of keeping them."""
    schedule: ScheduleSettings = ScheduleSettings(
        steps=100_000, batch=32, learning_rate=1e-5, warmup_steps=500, decay_steps=10_000, weight_decay=0, average=0.999
    )
    checkpoint_steps: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 10_000
    """Steps between checkpoints."""
    keep_checkpoints: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 2
    """How many of the newest are kept."""
    threads: Annotated[int, Field(ge=0), SettingScope.EXECUTION] = 0
    """CPU threads; 0 leaves torch's own choice."""

    @model_validator(mode="after")
    def _words_to_lose(self) -> Self:
        if self.unprompted and self.condition != "text":
            raise ValueError(f'unprompted is a share of instructions; condition = "{self.condition}" reads none')
        return self


class PredictorSettings(Settings):
    """The whole file of ``kind = "predictor"``: a ResNet that tells Mikels' eight apart."""

    kind: Annotated[Literal["predictor"], SettingScope.TRAINING] = "predictor"
    """What this file is of."""
    output: Annotated[str, Field(min_length=1), SettingScope.EXECUTION]
    """Where checkpoints/ and model/ are written."""
    archive: Annotated[str, SettingScope.EXECUTION] = ""
    """A sealed archive, whose emotions become Mikels' eight; its validation set fits the temperature."""
    emoset: Annotated[str, SettingScope.EXECUTION] = ""
    """EmoSet's folder, in place of an archive."""
    drawn: Annotated[int, Field(ge=0), SettingScope.EXECUTION] = 0
    """Places of each kind of the demo's drawings, in place of both; 0: none."""
    hidden_sizes: Annotated[tuple[int, ...], SettingScope.TRAINING] = (64, 128, 256, 512)
    """Channels of the ResNet's stages; the paper's code has a ResNet-18."""
    depths: Annotated[tuple[int, ...], SettingScope.TRAINING] = (2, 2, 2, 2)
    """Blocks of each stage."""
    embedding_size: Annotated[int, Field(ge=1), SettingScope.TRAINING] = 64
    """Channels of the first layer."""
    side: Annotated[int, Field(ge=16), SettingScope.TRAINING] = 224
    """Side to which pictures are squashed."""
    seed: Annotated[int, SettingScope.TRAINING] = 0
    """Of the starting weights and of each step's random numbers."""
    noise: Annotated[float, Field(ge=0, le=1), SettingScope.TRAINING] = 0.05
    """The most noise that a picture is given while it is learnt, in units of its range."""
    blur: Annotated[float, Field(ge=0, le=1), SettingScope.TRAINING] = 0.3
    """Share of the pictures that are blurred while they are learnt: an edit is less sharp than a photo."""
    precision: Annotated[Precision, SettingScope.TRAINING] = "auto"
    """auto: bf16 on a GPU, fp32 on a CPU."""
    schedule: ScheduleSettings = ScheduleSettings(
        steps=20_000, batch=64, learning_rate=1e-3, warmup_steps=200, decay_steps=15_000, average=0
    )
    checkpoint_steps: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 2_000
    """Steps between checkpoints."""
    keep_checkpoints: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 2
    """How many of the newest are kept."""
    threads: Annotated[int, Field(ge=0), SettingScope.EXECUTION] = 0
    """CPU threads; 0 leaves torch's own choice."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (bool(self.archive), bool(self.emoset), bool(self.drawn)).count(True) > 1:
            raise ValueError("archive, emoset and drawn exclude each other")
        if len(self.hidden_sizes) != len(self.depths):
            raise ValueError("hidden_sizes and depths must be of equal length")
        return self
