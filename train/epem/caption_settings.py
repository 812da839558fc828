"""The settings of a caption editor's training (EPEM's EIC)."""

from typing import Annotated, Literal

from pydantic import Field

from moodarchive.language_edit.captioner import LAYERS
from moodarchive.language_edit.gradient_editor import RANK, STEP
from moodarchive.settings import Settings, SettingScope
from train.diffusion.settings import ScheduleSettings


class CaptionEditorSettings(Settings):
    """The whole file of ``kind = "epem-captions"``; the paper's values where it names them."""

    kind: Annotated[Literal["epem-captions"], SettingScope.TRAINING] = "epem-captions"
    """What this file is of."""
    output: Annotated[str, Field(min_length=1), SettingScope.EXECUTION]
    """Where checkpoints/, cache/ and model/ are written."""
    records: Annotated[str, SettingScope.EXECUTION] = ""
    """L-AVC's JSON lines; pictures lie below the file's folder."""
    captioner: Annotated[str, SettingScope.EXECUTION] = ""
    """The folder of a BLIP-2 with OPT; it goes, unchanged, with the model."""
    layers: Annotated[int, Field(ge=1), SettingScope.TRAINING] = LAYERS
    """Decoder layers whose fc1 and fc2 are edited, the last ones."""
    rank: Annotated[int, Field(ge=1), SettingScope.TRAINING] = RANK
    """Of the editor's matrices; at most the width of a gradient's two factors together is used."""
    step: Annotated[float, Field(gt=0), SettingScope.TRAINING] = STEP
    """Where the learned step of each weight begins."""
    step_rate: Annotated[float, Field(gt=0), SettingScope.TRAINING] = 100.0
    """The steps' learning rate, as a multiple of all others'."""
    inner: Annotated[Literal["emotion", "caption"], SettingScope.TRAINING] = "emotion"
    """Whose gradient is edited: the wanted emotion's words; or the true edited caption's, which no edit ever has and
    which is a bound to compare with."""
    emotion_weight: Annotated[float, Field(ge=0), SettingScope.TRAINING] = 0.5
    """Weight of the emotion that a linear head reads off the answer's states."""
    locality_weight: Annotated[float, Field(ge=0), SettingScope.TRAINING] = 0.0
    """Weight of the divergence between edited and unedited captions of another picture; it is measured always."""
    locality_rows: Annotated[int, Field(ge=1), SettingScope.TRAINING] = 1
    """Other pictures whose captions are compared for each edit; more of them show more of what an edit must leave."""
    locality_captions: Annotated[Literal["records", "own"], SettingScope.TRAINING] = "records"
    """Along which captions: the records', or those that the unedited model writes itself (each once, before the first
    step), which are what an edit changes."""
    clip: Annotated[float, Field(gt=0), SettingScope.TRAINING] = 100.0
    """The gradient's greatest norm."""
    seed: Annotated[int, SettingScope.TRAINING] = 0
    """Of the starting weights and of each step's random numbers."""
    schedule: ScheduleSettings = ScheduleSettings(
        steps=24_000, batch=1, learning_rate=1e-6, warmup_steps=0, decay_steps=0, weight_decay=1e-4, average=0
    )
    checkpoint_steps: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 2_000
    """Steps between checkpoints."""
    keep_checkpoints: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 2
    """How many of the newest are kept."""
    threads: Annotated[int, Field(ge=0), SettingScope.EXECUTION] = 0
    """CPU threads; 0 leaves torch's own choice."""
