"""The archive's settings record, which carries its schema version, and the refusal of every version but the present."""

import json
from typing import Any

from moodarchive.errors import NotAnArchiveError
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import SCHEMA_VERSION, explain_version

SETTINGS_PATH = "settings.json"
MIGRATION_PATH = "migration.json"
"""There while ``moodarchive migrate`` is at work, or after it was killed."""


def read_settings_record(store: Store) -> dict[str, Any]:
    """The record, of whatever version. NotAnArchiveError when there is none, or none that can be read."""
    try:
        record = json.loads(store.read_bytes(SETTINGS_PATH))
    except (FileNotFoundError, NotADirectoryError):
        store.check_reachable()
        raise NotAnArchiveError(
            f"{store.root} holds no archive (no {SETTINGS_PATH}); remedy: name an archive's root, or begin one with "
            "moodarchive run or moodarchive demo"
        ) from None
    except ValueError as error:
        raise NotAnArchiveError(f"{store.root}/{SETTINGS_PATH} is not JSON: {error}; remedy: restore it") from None
    if not isinstance(record, dict):
        raise NotAnArchiveError(f"{store.root}/{SETTINGS_PATH} is no settings record; remedy: restore it")
    return record


def require_current_version(store: Store) -> None:
    """NotAnArchiveError for an archive of another schema version, or one whose migration was begun and not ended.

    Where no version can be read nothing is refused: what is wrong with such a root its readers say.
    """
    if store.exists(MIGRATION_PATH):
        raise NotAnArchiveError(
            f"{store.root} is being brought to schema version {SCHEMA_VERSION}, or that was interrupted; remedy: "
            f"moodarchive migrate {store.root}"
        )
    try:
        version = json.loads(store.read_bytes(SETTINGS_PATH))["schema_version"]
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return
    if version != SCHEMA_VERSION:
        raise NotAnArchiveError(f"{store.root} has {explain_version(store.root, version)}")
