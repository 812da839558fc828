"""The settings of a training run, read from one TOML file."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from moodarchive.settings import Settings, SettingScope
from train.losses import Attention, Negatives


class ArchiveShare(Settings):
    """An archive and how often its samples are seen in an epoch (0.5: every second one, others each epoch)."""

    root: Annotated[str, SettingScope.TRAINING]
    """The archive's root."""
    weight: Annotated[float, Field(gt=0), SettingScope.TRAINING] = 1.0
    """How often a sample is seen in an epoch."""


class DataSettings(Settings):
    """Which samples, and in which order."""

    archives: Annotated[tuple[ArchiveShare, ...], SettingScope.TRAINING] = ()
    """Empty: the archive that the command names."""
    sets: Annotated[tuple[str, ...], SettingScope.TRAINING] = ("train",)
    """Which of the archive's sets are read."""
    batch: Annotated[int, Field(ge=1), SettingScope.TRAINING] = 1024
    """The global batch, over all ranks."""
    epochs: Annotated[int, Field(ge=1), SettingScope.TRAINING] = 1
    """Passes over the samples."""
    streams: Annotated[int, Field(ge=1), SettingScope.TRAINING] = 96
    """Canonical streams; a number of ranks must divide it."""
    buffer: Annotated[int, Field(ge=1), SettingScope.TRAINING] = 64
    """Samples in each stream's shuffle buffer."""
    workers: Annotated[Annotated[int, Field(ge=0)] | Literal["auto"], SettingScope.EXECUTION] = "auto"
    """Reading processes a rank; 0 reads in the rank's own, between steps. auto: the rank's share of the cores that this
    machine or container has, less one; at most two where the model computes on a CPU."""
    check: Annotated[Literal["digests", "sizes"], SettingScope.EXECUTION] = "digests"
    """What of the shards is compared with the seal: every byte, or only lengths and indexes. Every caption is counted
    before the first step; with "sizes" they are read from captions/, and not again by a resumed run."""


class ModelSettings(Settings):
    """The starting CLIP. The paper starts from OpenAI's ViT-B/16 and ViT-L/14."""

    name: Annotated[str, SettingScope.TRAINING] = "ViT-B-16-quickgelu"
    """An architecture of open_clip, or local-dir:FOLDER."""
    pretrained: Annotated[str, SettingScope.TRAINING] = "openai"
    """A tag of open_clip; unused for a folder."""
    long_text: Annotated[bool, SettingScope.TRAINING] = True
    """Stretches a text tower of 77 positions to 248."""


class LossSettings(Settings):
    """Weights and options of the four terms; table 3's ablations are fine_grained = 0 and transport = 0."""

    full: Annotated[float, Field(ge=0), SettingScope.TRAINING] = 1.0
    """Weight of the full captions' contrastive term, L_f."""
    short: Annotated[float, Field(ge=0), SettingScope.TRAINING] = 1.0
    """Weight of the short captions' term (summary and assessment), L_s."""
    fine_grained: Annotated[float, Field(ge=0), SettingScope.TRAINING] = 1.0
    """Weight of the term between patches and stimuli, L_FG."""
    transport: Annotated[float, Field(ge=0), SettingScope.TRAINING] = 1.0
    """Weight of the optimal-transport term, L_OT."""
    tau_a: Annotated[float, Field(gt=0), SettingScope.TRAINING] = 0.07
    """Temperature of the patches' attention to a stimulus."""
    attention: Annotated[Attention, SettingScope.TRAINING] = Attention.STIMULI
    """How a stimulus weighs the patches: over the stimuli (the paper), as SPARC does, or by the cosines themselves (the
    authors' code)."""
    negatives: Annotated[Negatives, SettingScope.TRAINING] = Negatives.BATCH
    """Against which stimuli one is told apart: those of its own image, or of the whole batch (the authors' code)."""
    parts: Annotated[Literal[3, 5], SettingScope.TRAINING] = 3
    """Sentences that the two terms of patches compare: the 3 stimuli, or all 5 of a caption (the authors' code)."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1), SettingScope.TRAINING] = 0.0
    """Share of each label of L_f and L_s that is spread over the batch; the authors' code has 0.1."""
    short_text: Annotated[Literal["concatenated", "sum"], SettingScope.TRAINING] = "concatenated"
    """Summary and assessment as one text, or the normalised sum of both sentences' embeddings (the authors' code)."""
    short_components: Annotated[int, Field(ge=0), SettingScope.TRAINING] = 0
    """L_s takes each image's embedding rebuilt from so many principal components of the batch; 0: as it is. The
    authors' code has 32."""
    epsilon: Annotated[float, Field(gt=0), SettingScope.TRAINING] = 0.1
    """Entropic regularisation of the transport plan."""
    transport_scope: Annotated[Literal["local", "global"], SettingScope.TRAINING] = "local"
    """Whether plans are compared within a rank's batch or over all ranks."""

    @model_validator(mode="after")
    def _some_term(self) -> "LossSettings":
        if not (self.full or self.reads_short or self.reads_stimuli):
            raise ValueError("all terms are switched off; remedy: a weight above 0")
        return self

    @property
    def reads_short(self) -> bool:
        """True when a term compares summary and assessment."""
        return self.short > 0

    @property
    def reads_stimuli(self) -> bool:
        """True when a term compares patches and stimuli."""
        return self.fine_grained > 0 or self.transport > 0


class OptimiserSettings(Settings):
    """AdamW with warm-up and cosine decay to zero."""

    learning_rate: Annotated[float, Field(gt=0), SettingScope.TRAINING] = 1e-6
    """The highest, after the warm-up."""
    weight_decay: Annotated[float, Field(ge=0), SettingScope.TRAINING] = 1e-2
    """AdamW's, on matrices only."""
    beta1: Annotated[float, Field(ge=0, lt=1), SettingScope.TRAINING] = 0.9
    """AdamW's."""
    beta2: Annotated[float, Field(ge=0, lt=1), SettingScope.TRAINING] = 0.98
    """AdamW's."""
    epsilon: Annotated[float, Field(gt=0), SettingScope.TRAINING] = 1e-6
    """AdamW's."""
    warmup_steps: Annotated[int, Field(ge=0), SettingScope.TRAINING] = 200
    """Steps in which the rate rises from 0."""


class LoopSettings(Settings):
    """How the loop runs."""

    seed: Annotated[int, SettingScope.TRAINING] = 0
    """Of the order, the crops and each step's random numbers."""
    precision: Annotated[Literal["auto", "fp32", "bf16"], SettingScope.TRAINING] = "auto"
    """auto: bf16 on a GPU, fp32 on a CPU."""
    accumulate: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 1
    """Slices of the rank's batch, at least, that pass the towers one after another; the losses still see the whole
    batch. More are cut where the memory does not hold it."""
    activation_checkpoints: Annotated[bool, SettingScope.EXECUTION] = False
    """Computes each block's activations again in the backward pass in place of keeping them."""
    compile: Annotated[bool | Literal["auto"], SettingScope.EXECUTION] = "auto"
    """Compiles the towers' blocks. auto: on a GPU, where this machine has a compiler."""
    checkpoint_steps: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 1000
    """Steps between checkpoints."""
    checkpoint_minutes: Annotated[float, Field(gt=0), SettingScope.EXECUTION] = 30.0
    """Minutes between checkpoints, whichever comes first."""
    keep_checkpoints: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 3
    """How many of the newest checkpoints are kept."""
    threads: Annotated[int, Field(ge=0), SettingScope.EXECUTION] = 0
    """CPU threads a rank; 0 leaves torch's own choice."""


class RayTrainSettings(Settings):
    """Ray Train; without workers the process, or torchrun, is the whole job."""

    workers: Annotated[int, Field(ge=0), SettingScope.EXECUTION] = 0
    """Ranks, one GPU each where the cluster has GPUs; 0: no Ray."""
    address: Annotated[str, SettingScope.EXECUTION] = ""
    """Empty: a Ray of this run's own on this machine; else the address of a cluster."""
    restarts: Annotated[int, Field(ge=0), SettingScope.EXECUTION] = 10
    """Losses of a worker after which the job goes on by itself."""
    scratch: Annotated[str, SettingScope.EXECUTION] = ""
    """Where Ray Train notes the job's state; a cluster needs a folder that all its nodes see."""


class TrackerSettings(Settings):
    """Where each step's figures go beside the run's own log."""

    tensorboard: Annotated[str, SettingScope.EXECUTION] = ""
    """A folder for TensorBoard's event files; empty: none."""
    wandb: Annotated[str, SettingScope.EXECUTION] = ""
    """A project of Weights & Biases; empty: none. Its own environment (WANDB_API_KEY, WANDB_MODE, …) holds the rest."""


class TrainSettings(Settings):
    """The whole file."""

    output: Annotated[str, SettingScope.EXECUTION] = ""
    """Where checkpoints/ and model/ are written; empty: under the archive's root."""
    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    loop: LoopSettings = LoopSettings()
    ray: RayTrainSettings = RayTrainSettings()
    trackers: TrackerSettings = TrackerSettings()
