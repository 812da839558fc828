"""The settings of a diffusion model's training."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from moodarchive.settings import Settings, SettingScope


class ScheduleSettings(Settings):
    """AdamW: warm-up, a constant rate, and a cosine fall to ``floor`` over the last ``decay_steps``.

    While the rate is constant nothing depends on ``steps``: a run may be told another number and go on.
    """

    steps: Annotated[int, Field(ge=1), SettingScope.EXECUTION]
    """Steps in all."""
    batch: Annotated[int, Field(ge=1), SettingScope.TRAINING]
    """Pictures a step."""
    learning_rate: Annotated[float, Field(gt=0), SettingScope.TRAINING]
    """The highest."""
    warmup_steps: Annotated[int, Field(ge=0), SettingScope.TRAINING] = 50
    """Steps in which the rate rises from 0."""
    decay_steps: Annotated[int, Field(ge=0), SettingScope.EXECUTION] = 500
    """The last steps, in which it falls; 0: it stays."""
    floor: Annotated[float, Field(ge=0, le=1), SettingScope.TRAINING] = 0.05
    """The share of the rate that the fall ends at."""
    weight_decay: Annotated[float, Field(ge=0), SettingScope.TRAINING] = 1e-2
    """AdamW's, on matrices only."""
    average: Annotated[float, Field(ge=0, lt=1), SettingScope.TRAINING] = 0.998
    """Decay of the moving average of the weights, which is what is exported."""


class AutoencoderSettings(Settings):
    """AutoencoderKL and its loss: absolute error, squared error, error of the edges, and the distance to a normal."""

    widths: Annotated[tuple[int, ...], SettingScope.TRAINING] = (32, 48, 64)
    """Channels at each resolution; a cell of the latent is 2^(resolutions - 1) pixels wide."""
    layers: Annotated[int, Field(ge=1), SettingScope.TRAINING] = 1
    """Residual blocks at each resolution."""
    attention: Annotated[bool, SettingScope.TRAINING] = False
    """Self-attention in the middle."""
    channels: Annotated[int, Field(ge=1), SettingScope.TRAINING] = 4
    """Of the latent."""
    groups: Annotated[int, Field(ge=1), SettingScope.TRAINING] = 8
    """Of the group norms."""
    edges: Annotated[float, Field(ge=0), SettingScope.TRAINING] = 1.0
    """Weight of the absolute error of differences between neighbouring pixels."""
    divergence: Annotated[float, Field(ge=0), SettingScope.TRAINING] = 1e-6
    """Weight of the distance to a normal distribution."""
    crop: Annotated[int, Field(ge=16), SettingScope.TRAINING] = 32
    """Side of the crops it is trained on."""
    schedule: ScheduleSettings = ScheduleSettings(
        steps=1400, batch=16, learning_rate=2e-3, decay_steps=0, average=0.995
    )
    """Of encoder and decoder together. No fall is needed: the decoder goes on learning."""
    decoder: ScheduleSettings = ScheduleSettings(
        steps=1500, batch=16, learning_rate=1.5e-3, decay_steps=1000, average=0.995
    )
    """Of the decoder alone, once the denoiser has the encoder's latents."""


class DenoiserSettings(Settings):
    """UNet2DConditionModel and its loss: the squared error of the noise."""

    widths: Annotated[tuple[int, ...], SettingScope.TRAINING] = (32, 64, 128)
    """Channels at each resolution; all but the coarsest attend to the text."""
    layers: Annotated[int, Field(ge=1), SettingScope.TRAINING] = 1
    """Blocks at each resolution."""
    heads: Annotated[int, Field(ge=1), SettingScope.TRAINING] = 4
    """Attention heads; diffusers' name for it is attention_head_dim."""
    groups: Annotated[int, Field(ge=1), SettingScope.TRAINING] = 8
    """Of the group norms."""
    snr_gamma: Annotated[float, Field(ge=0), SettingScope.TRAINING] = 5.0
    """Weights a step's error by min(SNR, gamma) / SNR (Hang et al., 2023); 0 weighs all alike."""
    unprompted: Annotated[float, Field(ge=0, le=1), SettingScope.TRAINING] = 0.1
    """Share of the rows that see the empty prompt."""
    schedule: ScheduleSettings = ScheduleSettings(steps=6000, batch=16, learning_rate=1e-3)


class PictureSource(Settings):
    """Pictures with words; which settings a kind needs stands with each."""

    kind: Annotated[Literal["archive", "folder", "drawn"], SettingScope.EXECUTION]
    """archive: a sealed one's; folder: pictures with NAME.txt beside NAME.jpg, or a metadata.jsonl of `file_name` and
    `text`; drawn: the demo's paired drawings."""
    folder: Annotated[str, SettingScope.EXECUTION] = ""
    """archive: its root; folder: the pictures, below it at any depth."""
    sets: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ("train",)
    """archive: shard sets that are read; `private` names pictures that may not be passed on."""
    places: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 1200
    """drawn: places of each kind, each in ten moods."""
    first_place: Annotated[int, Field(ge=0), SettingScope.EXECUTION] = 1_000_000_000
    """drawn: the first place's seed; the benchmarks measure on smaller ones."""

    @model_validator(mode="after")
    def _complete(self) -> "PictureSource":
        if self.kind != "drawn" and not self.folder:
            raise ValueError(f"kind = {self.kind!r} needs folder")
        return self


class DiffusionSettings(Settings):
    """The whole file; ``kind`` tells it from a MoodifyCLIP's training."""

    kind: Annotated[Literal["diffusion"], SettingScope.TRAINING] = "diffusion"
    """What this file is of."""
    output: Annotated[str, SettingScope.EXECUTION] = ""
    """Where the two runs' checkpoints/ and base/ are written."""
    sources: Annotated[tuple[PictureSource, ...], SettingScope.EXECUTION] = ()
    """Where the pictures are from; a resumed run needs equal pictures and words, wherever they lie."""
    texts: Annotated[tuple[str, ...], SettingScope.EXECUTION] = ()
    """Folders of text towers, which take turns: a MoodifyCLIP that `moodarchive train` exported, a diffusion model's,
    or `demo` for the demo's own CLIP. The first one goes with the base."""
    start: Annotated[str, SettingScope.EXECUTION] = ""
    """A base's folder that the training goes on from: its denoiser learns, its autoencoder stays as it is, and
    `autoencoder` and `denoiser.widths` count for nothing. Empty: random weights."""
    size: Annotated[int, Field(ge=16), SettingScope.TRAINING] = 64
    """Side of the pictures in pixels; others are cut to their middle square."""
    seed: Annotated[int, SettingScope.TRAINING] = 0
    """Of the starting weights and of each step's random numbers."""
    precision: Annotated[Literal["auto", "fp32", "bf16"], SettingScope.TRAINING] = "auto"
    """auto: bf16 on a GPU, fp32 on a CPU."""
    checkpoint_steps: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 200
    """Steps between checkpoints."""
    keep_checkpoints: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 2
    """How many of the newest are kept."""
    threads: Annotated[int, Field(ge=0), SettingScope.EXECUTION] = 0
    """CPU threads; 0 leaves torch's own choice."""
    autoencoder: AutoencoderSettings = AutoencoderSettings()
    denoiser: DenoiserSettings = DenoiserSettings()

    @model_validator(mode="after")
    def _sizes_divide(self) -> "DiffusionSettings":
        cell = 2 ** (len(self.autoencoder.widths) - 1)
        multiple = cell * 2 ** (len(self.denoiser.widths) - 1)
        if self.size % multiple:
            raise ValueError(f"size = {self.size} must be a multiple of {multiple}, the coarsest cell of the UNet")
        if self.autoencoder.crop % cell or self.autoencoder.crop > self.size:
            raise ValueError(f"autoencoder.crop must be a multiple of {cell} and at most the size, {self.size}")
        return self
