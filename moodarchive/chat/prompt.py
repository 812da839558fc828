"""A versioned prompt in a TOML file: bundled with a stage by its name, or a person's own by its path."""

import string
import tomllib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Self

from moodarchive.errors import ConfigError
from moodarchive.tables.keys import digest

_FIELDS = {"name": str, "version": int, "system": str, "user": str}


@dataclass(frozen=True, kw_only=True)
class PromptFile:
    """What a model is asked: ``system`` is alike for all requests, ``user`` is a template with one request's hints.

    ``hash`` is a digest of the file's values, so that a comment changes nothing.
    """

    name: str
    version: int
    system: str
    user: str
    hash: str

    @classmethod
    def load(
        cls, name_or_path: str, bundled: Traversable, *, system: Mapping[str, str], hints: AbstractSet[str]
    ) -> Self:
        """A prompt of the folder ``bundled`` by its name, or a TOML file by its path.

        ``system`` fills the hints of the system text, ``hints`` are those that the user text may have. ConfigError says
        what is missing.
        """
        file = _find(name_or_path, bundled)
        try:
            values = tomllib.loads(file.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"prompt {name_or_path}: not valid TOML: {error}") from None
        wrong = [name for name, kind in _FIELDS.items() if type(values.get(name)) is not kind]
        if wrong or set(values) - set(_FIELDS):
            raise ConfigError(
                f"prompt {name_or_path}: has {', '.join(sorted(values))}; legal are exactly name (text), version (a "
                "whole number), system (text), user (text)"
            )
        _check_hints(name_or_path, "system", values["system"], system.keys())
        _check_hints(name_or_path, "user", values["user"], hints)
        return cls(
            name=values["name"],
            version=values["version"],
            system=values["system"].strip().format(**system),
            user=values["user"].strip(),
            hash=digest(values),
        )


def _find(name_or_path: str, folder: Traversable) -> Traversable | Path:
    bundled = folder / f"{name_or_path}.toml"
    if "/" not in name_or_path and bundled.is_file():
        return bundled
    path = Path(name_or_path)
    if path.is_file():
        return path
    names = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
    raise ConfigError(f"prompt = {name_or_path!r}: no such file, and no bundled prompt; bundled are {', '.join(names)}")


def _check_hints(origin: str, where: str, template: str, legal: AbstractSet[str]) -> None:
    try:
        hints = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ConfigError(f"prompt {origin}: {where}: {error}; remedy: write {{{{ and }}}} for plain braces") from None
    if hints - legal:
        known = ", ".join(f"{{{name}}}" for name in sorted(legal))
        raise ConfigError(f"prompt {origin}: {where} has the hint {sorted(hints - legal)[0]!r}; legal are {known}")
