"""What a run adds to its report by hand: notes, planted faults, what a training learned, edits (report/extra.json)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from moodarchive.storage.store import Store

EXTRA_PATH = "report/extra.json"


class Planted(BaseModel):
    """A kind of fault that was planted, and what became of it."""

    model_config = ConfigDict(frozen=True)

    kind: str
    planted: int = Field(ge=0)
    handled: int = Field(ge=0)
    ended_as: str

    @property
    def all_handled(self) -> bool:
        """True when every planted fault ended as it should."""
        return self.planted == self.handled


class Changed(BaseModel):
    """A figure in per cent: by guessing, before the training and after it."""

    model_config = ConfigDict(frozen=True)

    figure: str
    chance: float
    before: float
    after: float


class Learned(BaseModel):
    """A training on the archive's pictures, and what it changed on the held-out ones."""

    model_config = ConfigDict(frozen=True)

    steps: int = Field(ge=0)
    pictures: int = Field(ge=0)
    heldout: int = Field(ge=0)
    changes: tuple[Changed, ...] = ()


Shown = Annotated[str, Field(pattern=r"^data:image/(png|jpeg);base64,[A-Za-z0-9+/]+=*$")]
"""A picture that lies in the page itself."""


class EditStrip(BaseModel):
    """A drawing, the same place truly redrawn in the emotion, and the drawing edited towards it."""

    model_config = ConfigDict(frozen=True)

    emotion: str
    before: str
    source: Shown
    true: Shown
    edit: Shown


class EditFigures(BaseModel):
    """A method's means: per cent named as the target, dB and likeness to the true redraw."""

    model_config = ConfigDict(frozen=True)

    method: str
    named: float
    psnr: float
    ssim: float


class Edited(BaseModel):
    """Edits of drawings whose true answer is known."""

    model_config = ConfigDict(frozen=True)

    drawings: int = Field(ge=0)
    before: float
    methods: tuple[EditFigures, ...]
    outside: float
    outside_rebuilt: float
    strips: tuple[EditStrip, ...]


class Extra(BaseModel):
    """The file's content."""

    model_config = ConfigDict(frozen=True)

    notes: tuple[str, ...] = ()
    planted: tuple[Planted, ...] = ()
    learned: Learned | None = None
    edited: Edited | None = None


def read_extra(store: Store) -> Extra:
    """The file, nothing when there is none, and a note in its place when it cannot be read."""
    try:
        return Extra.model_validate_json(store.read_bytes(EXTRA_PATH))
    except FileNotFoundError:
        return Extra()
    except ValidationError as error:
        where = ", ".join(".".join(map(str, problem["loc"])) or "the file" for problem in error.errors()[:3])
        return Extra(notes=(f"{EXTRA_PATH} could not be read; wrong: {where}.",))
