"""What every editing method takes and gives: an edit, the settings, the method's interface."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import ConfigDict, Field, field_validator, model_validator

from moodarchive.errors import EditError, MoodArchiveError
from moodarchive.settings import Settings, SettingScope

Mask = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]
"""Receives (steps done, steps in all) over all the edits of a call."""
Stopped = Callable[[], bool]

METHODS = ("moodifier", "infedit", "instruct-pix2pix", "sdedit", "emoeditor", "epem", "colour-transfer")

GRADUAL = ("moodifier", "infedit", "sdedit", "epem")
"""The methods that know a strength; the others make every edit whole."""
OF_THE_EIGHT = ("emoeditor", "epem", "colour-transfer")
"""The methods that take Mikels' eight emotions by their names, too."""

_QUALITY: Mapping[str, object] = {
    "steps": 15,
    "guidance": 2.0,
    "source_guidance": 0.6,
    "positive_prompt": "a sharp photo with natural colours and fine details",
    "negative_prompt": "a blurred, distorted picture of poor quality",
}
PRESETS: Mapping[str, Mapping[str, object]] = {
    "none": {},
    "faces": {**_QUALITY, "tau_c": 0.2, "structure": 0.8},
    "objects": {**_QUALITY, "tau_c": 0.3, "structure": 0.7},
}
"""What a preset fills in: the values that the authors' published code has for the two; the prompts' words are ours."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One picture, the prompt of what it shall show, and where.

    ``mask`` is [height, width] in [0, 1] at the picture's size, None for everywhere; whatever is above 0 may change.
    ``source_prompt`` tells what the picture shows now; empty where nobody knows. For instruct-pix2pix ``prompt`` is
    the instruction. Only moodifier knows masks, the others pay this one no heed. Only emoeditor, epem and
    colour-transfer know an ``emotion``; emoeditor reads no prompt, unless its model was trained on instructions. For
    epem ``prompt`` is the edited caption, and ``instruction`` what is asked for; it writes what is empty.
    """

    image: Image.Image
    prompt: str
    source_prompt: str = ""
    mask: Mask | None = None
    emotion: str = ""
    instruction: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.image.mode != "RGB":
            raise EditError(f"a picture must be RGB, this one is {self.image.mode}; remedy: image.convert('RGB')")
        if not 0 <= self.seed < 2**63:
            raise EditError(f"seed = {self.seed}: must be at least 0 and below 2**63")
        if self.mask is None:
            return
        width, height = self.image.size
        if self.mask.shape != (height, width) or self.mask.dtype != np.float32:
            raise EditError(
                f"the mask is {self.mask.dtype} {list(self.mask.shape)}, the picture needs float32 {[height, width]}"
            )
        if not (self.mask.min() >= 0 and self.mask.max() <= 1):
            raise EditError("the mask's values must lie between 0 and 1")


class IeiSettings(Settings):
    """EmoEditor's loop (IEI): passes over a picture until it is near enough to the source and evokes the target."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    rounds: Annotated[int, Field(ge=1, le=1000), SettingScope.PER_ROW] = 30
    """At most so many passes over a picture; 1 is a single pass, whatever it gives."""
    strict: Annotated[bool, SettingScope.PER_ROW] = False
    """Whether only that is fed back which lies in the band and is sure (the paper), or what lies in the band or is
    named as the target (its code)."""
    ssim_low: Annotated[float, Field(ge=-1, le=1), SettingScope.PER_ROW] = 0.5
    """Below this likeness to the source an edit counts as another picture."""
    ssim_high: Annotated[float, Field(ge=-1, le=1), SettingScope.PER_ROW] = 0.8
    """Above this likeness an edit counts as no change."""
    ssim_window: Annotated[int, Field(ge=3, le=511), SettingScope.PER_ROW] = 51
    """Side in pixels of the window of that likeness; odd, and cut to what the working picture holds."""
    confidence: Annotated[float, Field(ge=0, le=1), SettingScope.PER_ROW] = 0.6
    """The predictor's probability of the target above which the loop is done."""
    start_low: Annotated[int, Field(ge=1, le=1000), SettingScope.PER_ROW] = 700
    """What is edited is noised up to a time that is drawn between this one …"""
    start_high: Annotated[int, Field(ge=1, le=1000), SettingScope.PER_ROW] = 980
    """… and this one, of 1,000."""

    @model_validator(mode="after")
    def _ordered(self) -> "IeiSettings":
        if self.ssim_low >= self.ssim_high:
            raise ValueError(f"ssim_low = {self.ssim_low} must lie below ssim_high = {self.ssim_high}")
        if self.start_low > self.start_high:
            raise ValueError(f"start_low = {self.start_low} must not lie above start_high = {self.start_high}")
        return self


class EditSettings(Settings):
    """How an edit is made; the defaults are Moodifier's, ``default_settings`` gives those of another method."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    preset: Annotated[Literal["none", "faces", "objects"], SettingScope.PER_ROW] = "none"
    """Moodifier's: the values of the authors' published code for faces or for objects, where no other is given: steps,
    guidance, source_guidance, tau_c, structure and both quality prompts."""
    steps: Annotated[int, Field(ge=1, le=1000), SettingScope.PER_ROW] = 12
    """Denoising steps."""
    guidance: Annotated[float, Field(ge=0, le=50), SettingScope.PER_ROW] = 2.0
    """Of the target branch; 1 is none."""
    source_guidance: Annotated[float, Field(ge=0, le=50), SettingScope.PER_ROW] = 1.0
    """Of the source branch, which only the inversion-free methods have. Below 1 it leads towards positive_prompt."""
    negative_prompt: Annotated[str, Field(max_length=2000), SettingScope.PER_ROW] = ""
    """What the target's guidance leads away from, in place of the empty prompt; the inversion-free methods read it."""
    positive_prompt: Annotated[str, Field(max_length=2000), SettingScope.PER_ROW] = ""
    """What the source's guidance leads away from above 1, and towards below, in place of the empty prompt; the
    inversion-free methods read it."""
    image_guidance: Annotated[float, Field(ge=0, le=50), SettingScope.PER_ROW] = 1.5
    """How closely instruct-pix2pix keeps to the picture."""
    tau_c: Annotated[float, Field(ge=0), SettingScope.PER_ROW] = 0.3
    """Equation 6's threshold on t, which falls from T to 1, as a fraction of T: attention is refined while t ≥ tau_c T.

    0.3 refines the first 70% of the steps; 0 always refines, anything above 1 never does.
    """
    structure: Annotated[float, Field(ge=0, le=1), SettingScope.PER_ROW] = 0.0
    """Moodifier's: the share of the steps, the noisiest ones, in which the target's self-attention takes the source's
    queries and keys with its own values, inside the mask too: shapes stay, what fills them changes."""
    strength: Annotated[float, Field(gt=0, le=1), SettingScope.PER_ROW] = 1.0
    """The share of the steps that is run: below 1 the picture keeps more of itself."""
    size: Annotated[int, Field(ge=16, le=2048), SettingScope.PER_ROW] = 512
    """The picture is worked on at about size x size pixels, in its own proportions, and comes back in its own size."""
    feather: Annotated[int, Field(ge=0, le=512), SettingScope.PER_ROW] = 0
    """Width in pixels of the working picture over which a mask fades out; 0 is the paper's hard mask."""
    text_encoder: Annotated[Literal["moodify", "clip"], SettingScope.PER_ROW] = "moodify"
    """MoodifyCLIP's tower (248 tokens), or the diffusion model's own CLIP (77 tokens)."""
    eic: Annotated[bool, SettingScope.PER_ROW] = True
    """Whether epem's language model is edited for the wanted emotion; without it, it writes as it is (w/o EIC)."""
    padding: Annotated[Literal["end", "zero"], SettingScope.PER_ROW] = "end"
    """What fills a prompt up to the text tower's context, for the inversion-free methods: end marks, with which Stable
    Diffusion was trained, or token 0, with which MoodifyCLIP's authors pad."""
    iei: IeiSettings = IeiSettings()
    """Emoeditor's loop."""
    batch: Annotated[int, Field(ge=1, le=256), SettingScope.EXECUTION] = 4
    """Edits that share a pass through the model."""
    replay: Annotated[Literal["auto", "off"], SettingScope.EXECUTION] = "auto"
    """auto: on a GPU the models' passes are recorded once for each size and replayed as CUDA graphs."""
    dtype: Annotated[Literal["auto", "float32", "bfloat16"], SettingScope.PER_ROW] = "auto"
    """auto: bfloat16 on a GPU, float32 on a CPU."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        preset = given.get("preset") if isinstance(given, dict) else None
        return {**PRESETS[preset], **given} if isinstance(preset, str) and preset in PRESETS else given

    @field_validator("negative_prompt", "positive_prompt")
    @classmethod
    def _one_line(cls, prompt: str) -> str:
        if not prompt.isprintable():
            raise ValueError("a prompt is one line of printable letters")
        return prompt.strip()

    @model_validator(mode="after")
    def _sensible(self) -> "EditSettings":
        if self.source_guidance < 1 and not self.positive_prompt:
            raise ValueError(
                f"source_guidance = {self.source_guidance:g} leads towards a positive prompt, and there is none; "
                "remedy: give positive_prompt, or a source_guidance of at least 1"
            )
        return self


class EditStopped(MoodArchiveError):
    """``stopped()`` said yes between two steps; nothing was returned."""


class Method(Protocol):
    """A way of editing, its models loaded."""

    name: str
    outcomes: Sequence[str]
    """What is to be said of each edit of the last call, in its order; empty where there is nothing."""

    def edit(self, edits: Sequence[Edit], progress: Progress, stopped: Stopped) -> list[Image.Image]:
        """The edited pictures, RGB, in their sources' order and sizes; EditStopped as soon as ``stopped()`` is true.

        One call at a time: a method's models hold the state of the edits that are being made.
        """

    def unread(self, prompt: str) -> str:
        """What of a prompt lies behind the text encoder's last token and changes nothing; empty where all is read."""


def default_settings(name: str) -> EditSettings:
    """The settings with which a method was published."""
    require_method(name)
    if name == "instruct-pix2pix":
        return EditSettings(steps=100, guidance=7.5, text_encoder="clip")
    if name == "sdedit":
        return EditSettings(steps=50, guidance=7.5, strength=0.75, text_encoder="clip")
    if name == "colour-transfer":
        return EditSettings(steps=1, guidance=1.0, text_encoder="clip")
    if name == "epem":
        return EditSettings(steps=50, guidance=7.5, text_encoder="clip")
    if name == "emoeditor":
        return EditSettings(steps=30, guidance=1.0, size=256, text_encoder="clip")
    return EditSettings(text_encoder="moodify" if name == "moodifier" else "clip")


def require_method(name: str) -> None:
    """EditError unless ``name`` is a method's."""
    if name not in METHODS:
        raise EditError(f"no method is called {name!r}; legal: {', '.join(METHODS)}")
