"""What a run adds to its report by hand: notes, planted faults, what a training learned (report/extra.json)."""

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


class Extra(BaseModel):
    """The file's content."""

    model_config = ConfigDict(frozen=True)

    notes: tuple[str, ...] = ()
    planted: tuple[Planted, ...] = ()
    learned: Learned | None = None


def read_extra(store: Store) -> Extra:
    """The file, nothing when there is none, and a note in its place when it cannot be read."""
    try:
        return Extra.model_validate_json(store.read_bytes(EXTRA_PATH))
    except FileNotFoundError:
        return Extra()
    except ValidationError as error:
        where = ", ".join(".".join(map(str, problem["loc"])) or "the file" for problem in error.errors()[:3])
        return Extra(notes=(f"{EXTRA_PATH} could not be read; wrong: {where}.",))
