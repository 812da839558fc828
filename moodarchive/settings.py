"""Settings: frozen, typed classes beside the code that uses them, and the errors that a person can act on."""

import difflib
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from moodarchive.errors import ConfigError
from moodarchive.tables.keys import digest


class SettingScope(StrEnum):
    """What a setting's change means for an archive that exists."""

    PER_ROW = "per-row"
    """Equal in all rounds, else the rows would not be of one kind."""
    GROWTH = "growth"
    """Recorded with each round; may differ between rounds."""
    WHOLE_TABLE = "whole-table"
    """May change: what depends on it is rebuilt."""
    TRAINING = "training"
    """Equal in a training run and all its resumptions."""
    EXECUTION = "execution"
    """How, not what: never recorded."""


class Settings(BaseModel):
    """A section of the settings; every field carries its SettingScope in ``Annotated``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def of_kind(self, kind: SettingScope) -> dict[str, Any]:
        """The values of one kind, nested as in the file; sections without any are left out."""
        found: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, Settings):
                if below := value.of_kind(kind):
                    found[name] = below
            elif named_sections(field.annotation):
                if below := {key: inside for key, one in sorted(value.items()) if (inside := one.of_kind(kind))}:
                    found[name] = below
            elif kind in field.metadata:
                found[name] = self.model_dump(mode="json", include={name})[name]
        return found

    def digest(self, kind: SettingScope = SettingScope.PER_ROW) -> str:
        """16 hex digits that name this section's values of one kind."""
        return digest(self.of_kind(kind))


S = TypeVar("S", bound=Settings)


def named_sections(annotation: Any) -> type[Settings] | None:
    """The class of the sections that a table of sections holds, each under a name of the user's; None of others."""
    last = get_args(annotation)[-1] if get_origin(annotation) is dict else None
    return last if isinstance(last, type) and issubclass(last, Settings) else None


def read_settings_text(path: str, examples: str = "configs/") -> str:
    """A settings file's text; ConfigError where it cannot be read, with the folder of ``examples``."""
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the settings file {path} cannot be read: {error}; remedy: name a TOML file; "
            f"those in {examples} are examples"
        ) from None


def load(cls: type[S], text: str, origin: str) -> S:
    """Settings from TOML. ConfigError names the key, the value and the legal values; ``origin`` names the file."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{origin}: not valid TOML: {error}") from None
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        problems = [_explained(cls, dict(problem)) for problem in error.errors()]
        raise ConfigError("\n".join(f"{origin}: {problem}" for problem in problems)) from None


def differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(name, old, new) of each setting that differs in two nested dictionaries; None where there is none."""
    if isinstance(old, dict | None) and isinstance(new, dict | None) and (old or new):
        before, after = old or {}, new or {}
        for name in sorted(before.keys() | after.keys()):
            yield from differences(before.get(name), after.get(name), f"{key}.{name}" if key else name)
    elif old != new:
        yield key, old, new


def _explained(cls: type[Settings], problem: dict[str, Any]) -> str:
    path = [str(step) for step in problem["loc"]]
    name = ".".join(path)
    if problem["type"] == "extra_forbidden":
        legal = _legal_keys(cls, path[:-1])
        close = difflib.get_close_matches(path[-1], legal, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"unknown setting {name!r}{hint} Legal here: {', '.join(legal)}"
    if problem["type"] == "missing":
        return f"setting {name!r} is required"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name} = {problem['input']!r}: {message[0].lower()}{message[1:]}"


def _legal_keys(cls: type[Settings], path: list[str]) -> list[str]:
    current: Any = cls
    for step in path:
        if section := named_sections(current):
            current = section
            continue
        field = getattr(current, "model_fields", {}).get(step)
        if field and named_sections(field.annotation):
            current = field.annotation
            continue
        candidates = [field.annotation, *get_args(field.annotation)] if field else []
        current = next((c for c in candidates if isinstance(c, type) and issubclass(c, Settings)), None)
    return sorted(getattr(current, "model_fields", {}))
