"""Keys come from the environment or an .env file, and show themselves to nobody."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from moodarchive.errors import ConfigError

ENV_FILE = ".env"


def load_env_file(path: str | Path = ENV_FILE) -> None:
    """Adds the file's NAME=value lines to the environment, which goes before the file; no file is no error.

    In the environment, so that the logs' redaction knows the values.
    """
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except FileNotFoundError:
        return
    for number, line in enumerate(lines, 1):
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not name or name.startswith("#"):
            continue
        if not equals:
            raise ConfigError(f"{path}, line {number}: not of the form NAME=value")
        os.environ.setdefault(name.strip(), value.strip().strip("'\""))


def keys_of(variables: tuple[str, ...]) -> Mapping[str, SecretStr]:
    """Variable → value, for those that are set."""
    return {name: SecretStr(os.environ[name]) for name in variables if os.environ.get(name)}


def key(keys: Mapping[str, SecretStr], variable: str, source: str) -> str:
    """The key itself, for a request; ConfigError names the variable that is not set."""
    if variable not in keys:
        raise ConfigError(f"{source} needs a key; remedy: set {variable} in the environment or in {ENV_FILE}")
    return keys[variable].get_secret_value()
