"""What a researcher settles before participants come: texts, number of items, the check, the codes, the pay."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from moodarchive.errors import ConfigError
from moodarchive.settings import Settings, SettingScope, load

_Execution = SettingScope.EXECUTION
_PROLIFIC_ID = "[0-9a-f]{24}"


class PanelSettings(Settings):
    """A panel's file (TOML), for ``study serve --panel``, ``study export --to prolific`` and ``study settle``."""

    title: Annotated[str, Field(min_length=1, max_length=120), _Execution] = "Which text describes the picture better?"
    """What participants read in the panel's list of studies."""
    description: Annotated[str, Field(min_length=1), _Execution] = (
        "Look at pictures, compare two texts about each, and judge five sentences."
    )
    """What they read before they come."""
    consent: Annotated[str, _Execution] = ""
    """Your consent text; paragraphs are parted by empty lines. Empty: no consent page."""
    instructions: Annotated[str, _Execution] = ""
    """Your own words at the top of the page of instructions."""
    participant_parameter: Annotated[str, Field(min_length=1), _Execution] = "PROLIFIC_PID"
    """The name in the study link under which the panel gives the participant's id."""
    study_parameter: Annotated[str, Field(min_length=1), _Execution] = "STUDY_ID"
    """The same for the study's id."""
    session_parameter: Annotated[str, Field(min_length=1), _Execution] = "SESSION_ID"
    """The same for the submission's id."""
    id_pattern: Annotated[str, _Execution] = _PROLIFIC_ID
    """A regular expression that every id must match as a whole; Prolific's ids have 24 hex digits."""
    study_id: Annotated[str, _Execution] = ""
    """The panel's id of this study: links of other studies are refused. Empty: any id of the pattern."""
    items: Annotated[int, Field(ge=1, le=1_000), _Execution] = 20
    """Items a participant answers, gold questions left out."""
    screening: Annotated[int, Field(ge=0, le=20), _Execution] = 3
    """Gold questions that come first, and are judged once all of them are answered; 0 screens nobody out."""
    screening_passes: Annotated[int, Field(ge=0, le=20), _Execution] = 2
    """How many of them must be right to go on."""
    gold_every: Annotated[int, Field(ge=1), _Execution] = 10
    """After so many items another gold question comes, while there are any."""
    places: Annotated[int, Field(ge=0), _Execution] = 0
    """Participants that may be in the study or have completed it; 0 for no limit."""
    idle_minutes: Annotated[float, Field(gt=0), _Execution] = 30.0
    """Who does nothing for so long gives the place up; another may take it."""
    hold_minutes: Annotated[float, Field(gt=0), _Execution] = 30.0
    """So long an item is kept for the participant who looks at it."""
    closes: Annotated[str, _Execution] = ""
    """Nobody may join after this moment: 2026-12-31T18:00:00+00:00. Empty: never."""
    completion_code: Annotated[str, Field(min_length=1), _Execution] = "COMPLETED"
    """What a participant enters at the panel when all is done. Choose your own: who knows it needs not answer."""
    screened_out_code: Annotated[str, _Execution] = "SCREENED"
    """The same for one who was screened out."""
    no_consent_code: Annotated[str, _Execution] = "NOCONSENT"
    """The same for one who did not agree, or withdrew."""
    redirect: Annotated[str, _Execution] = ""
    """Where the page goes at the end, ``{code}`` standing for the code:
    https://app.prolific.com/submissions/complete?cc={code}. Empty: the page shows the code."""
    study_url: Annotated[str, _Execution] = ""
    """The public address of this server, https://… without a path: export writes it into the study."""
    minutes: Annotated[int, Field(ge=1), _Execution] = 15
    """How long a participant is expected to need."""
    reward: Annotated[float, Field(gt=0), _Execution] = 3.0
    """What a participant is paid, in the panel's currency."""
    bonus: Annotated[float, Field(ge=0), _Execution] = 0.0
    """Paid on top to those who answered every gold question rightly."""
    fee_percent: Annotated[float, Field(ge=0), _Execution] = 42.8
    """The panel's fee on reward and bonus. Look yours up: it depends on the account, and tax may be added."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.screening and self.screening_passes > self.screening:
            raise ValueError(f"screening_passes {self.screening_passes} is more than screening {self.screening}")
        names = {self.participant_parameter, self.study_parameter, self.session_parameter}
        if len(names) < 3:
            raise ValueError("participant_parameter, study_parameter and session_parameter must differ")
        for name in ("redirect", "study_url"):
            address = getattr(self, name)
            if address and not re.match(r"https://|http://(127\.0\.0\.1|localhost)[:/]", address):
                raise ValueError(f"{name} must begin with https://")
        try:
            re.compile(self.id_pattern)
        except re.error as error:
            raise ValueError(f"id_pattern is no regular expression: {error}") from None
        if self.closes:
            self.closing_time()
        return self

    def closing_time(self) -> float:
        """Unix seconds; infinite when it never closes."""
        if not self.closes:
            return float("inf")
        moment = datetime.fromisoformat(self.closes)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    def address(self, code: str) -> str:
        """Where the page goes with this code; empty for nowhere."""
        return self.redirect.replace("{code}", code) if code else ""


def read_panel(path: str) -> PanelSettings:
    """The panel's settings; ConfigError names what is wrong and where."""
    try:
        text = Path(path).read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8; remedy: save it as UTF-8") from None
    return load(PanelSettings, text, path)
