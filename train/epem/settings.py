"""The settings of ``kind = "epem"``, the training of EPEM's picture half."""

from typing import Annotated, Literal

from pydantic import Field

from moodarchive.settings import Settings, SettingScope
from train.diffusion.settings import ScheduleSettings


class EpemSettings(Settings):
    """The whole file; the defaults are the paper's where it prints them."""

    kind: Annotated[Literal["epem"], SettingScope.TRAINING] = "epem"
    """What this file is of."""
    output: Annotated[str, Field(min_length=1), SettingScope.EXECUTION]
    """Where checkpoints/, cache/ and model/ are written."""
    records: Annotated[str, SettingScope.EXECUTION] = ""
    """L-AVC's records: a file of JSON lines, beside which the pictures lie."""
    split: Annotated[Literal["train", "test"], SettingScope.TRAINING] = "train"
    """Which of the records are read."""
    base: Annotated[str, SettingScope.EXECUTION] = ""
    """The folder of a plain diffusion model of four channels (SD 1.5), which does not learn."""
    text: Annotated[str, SettingScope.EXECUTION] = ""
    """A folder with a text tower of transformers; empty: the base's own CLIP."""
    blip2: Annotated[str, SettingScope.EXECUTION] = ""
    """The folder of a BLIP-2: its picture encoder is taken as it is, its Q-Former is what the adapter's starts from."""
    qformer_tokenizer: Annotated[str, SettingScope.EXECUTION] = ""
    """The folder of the Q-Former's tokenizer (BERT's); empty: qformer_tokenizer/ in the BLIP-2's folder, or itself."""
    eai: Annotated[bool, SettingScope.TRAINING] = True
    """Whether queries and picture interact (the EAI block); false is the paper's row "w/o EAI"."""
    heads: Annotated[int, Field(ge=1), SettingScope.TRAINING] = 8
    """Attention heads of EAI block and adapter."""
    hidden: Annotated[int, Field(ge=1), SettingScope.TRAINING] = 2048
    """Hidden width of the EAI block's MLP."""
    queries: Annotated[int, Field(ge=1), SettingScope.TRAINING] = 32
    """Of the Q-Former; as many as the BLIP-2 has."""
    instruction_tokens: Annotated[int, Field(ge=8, le=512), SettingScope.TRAINING] = 48
    """Tokens of an instruction that the Q-Former reads."""
    pixel_weight: Annotated[float, Field(ge=0), SettingScope.TRAINING] = 0.3
    """Weight of the loss that draws the edit's pixels to the source's (the paper's λ2)."""
    unprompted: Annotated[float, Field(ge=0, lt=1), SettingScope.TRAINING] = 0.05
    """Share of the rows without words, f and q', for the branch that guidance leads away from."""
    size: Annotated[int, Field(ge=16), SettingScope.TRAINING] = 512
    """Side to which the pictures are squashed."""
    seed: Annotated[int, SettingScope.TRAINING] = 0
    """Of the starting weights and of each step's random numbers."""
    precision: Annotated[Literal["auto", "fp32", "bf16"], SettingScope.TRAINING] = "auto"
    """auto: bf16 on a GPU, fp32 on a CPU."""
    activation_checkpoints: Annotated[bool, SettingScope.EXECUTION] = False
    """Computes the UNet's activations again in the backward pass in place of keeping them."""
    schedule: ScheduleSettings = ScheduleSettings(
        steps=24_000, batch=1, learning_rate=1e-6, warmup_steps=100, decay_steps=0, weight_decay=1e-4, average=0
    )
    checkpoint_steps: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 2_000
    """Steps between checkpoints."""
    keep_checkpoints: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 2
    """How many of the newest are kept."""
    threads: Annotated[int, Field(ge=0), SettingScope.EXECUTION] = 0
    """CPU threads; 0 leaves torch's own choice."""
