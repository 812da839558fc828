"""Loads a versioned prompt and fills in one row's hints."""

import string
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from moodarchive.errors import ConfigError
from moodarchive.keys import digest
from moodarchive.taxonomy import EMOTIONS, words

_FIELDS = {"name": str, "version": int, "system": str, "user": str}
_SYSTEM_HINTS = {"emotions"}
_USER_HINTS = {"emotion", "context", "phrase"}


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What the model is asked: ``system`` is alike for all rows, ``user`` is a template with the row's hints."""

    name: str
    version: int
    system: str
    user: str
    hash: str

    def asks(self, emotion: str, context: str, phrase: str) -> str:
        """The user's turn for one row."""
        return self.user.format(emotion=words(emotion), context=words(context), phrase=" ".join(phrase.split()))

    @property
    def all_words(self) -> str:
        """Everything of the prompt that is alike for all rows."""
        return f"{self.system}\n{self.user}"


def load_prompt(name_or_path: str) -> Prompt:
    """A prompt of annotate/prompts by its name, or a TOML file by its path.

    ``hash`` is a digest of the values, so that a comment changes nothing. ConfigError says what is missing.
    """
    file = _find(name_or_path)
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"prompt {name_or_path}: not valid TOML: {error}") from None
    wrong = [name for name, kind in _FIELDS.items() if type(values.get(name)) is not kind]
    if wrong or set(values) - set(_FIELDS):
        raise ConfigError(
            f"prompt {name_or_path}: has {', '.join(sorted(values))}; legal are exactly name (text), version (a whole "
            "number), system (text), user (text)"
        )
    _check_hints(name_or_path, "system", values["system"], _SYSTEM_HINTS)
    _check_hints(name_or_path, "user", values["user"], _USER_HINTS)
    system = values["system"].strip().format(emotions=", ".join(EMOTIONS))
    return Prompt(
        name=values["name"], version=values["version"], system=system, user=values["user"].strip(), hash=digest(values)
    )


def _find(name_or_path: str) -> Traversable | Path:
    folder = files("annotate") / "prompts"
    bundled = folder / f"{name_or_path}.toml"
    if "/" not in name_or_path and bundled.is_file():
        return bundled
    path = Path(name_or_path)
    if path.is_file():
        return path
    names = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
    raise ConfigError(f"prompt = {name_or_path!r}: no such file, and no bundled prompt; bundled are {', '.join(names)}")


def _check_hints(origin: str, where: str, template: str, legal: set[str]) -> None:
    try:
        found = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ConfigError(f"prompt {origin}: {where}: {error}; remedy: write {{{{ and }}}} for plain braces") from None
    if found - legal:
        known = ", ".join(f"{{{name}}}" for name in sorted(legal))
        raise ConfigError(f"prompt {origin}: {where} has the hint {sorted(found - legal)[0]!r}; legal are {known}")
