"""Settings belong to the data: what an archive was begun with is recorded and held against what is asked now."""

import json
from typing import Any

from moodarchive.archive.version import SETTINGS_PATH, read_settings_record, require_current_version
from moodarchive.errors import ConfigError, NotAnArchiveError
from moodarchive.settings import Settings, SettingScope, differences
from moodarchive.storage.store import Store
from moodarchive.tables.schemas import SCHEMA_VERSION

RECORD_PATH = SETTINGS_PATH


def require_recorded_settings(store: Store) -> dict[str, Any]:
    """The root's settings record. NotAnArchiveError when there is none, or one of another schema version."""
    require_current_version(store)
    return read_settings_record(store)


def require_archive_or_empty(store: Store) -> None:
    """NotAnArchiveError for a folder that holds something else, or an archive of another schema version."""
    store.check_reachable()
    if store.exists(RECORD_PATH):
        require_recorded_settings(store)
        return
    # a run killed before it recorded its settings leaves its heartbeat alone
    if set(store.names()) - {"crawl"}:
        raise NotAnArchiveError(f"{store.root} is not empty and holds no archive; remedy: name a new or empty folder")


def check_settings(store: Store, settings: Settings) -> None:
    """Records the settings of a new root; holds a known root's per-row settings to what it was begun with."""
    wanted = {
        "schema_version": SCHEMA_VERSION,
        "per_row": settings.of_kind(SettingScope.PER_ROW),
        "whole_table": settings.of_kind(SettingScope.WHOLE_TABLE),
    }
    if store.exists(RECORD_PATH):
        known = require_recorded_settings(store)
        # a root that was begun before there was a setting has what is its default
        known = known | {"per_row": _complete(known["per_row"], type(settings)().of_kind(SettingScope.PER_ROW))}
        for key, old, new in differences(known["per_row"], wanted["per_row"]):
            raise ConfigError(
                f"{key} = {_as_json(new)}, but {store.root} was begun with {key} = {_as_json(old)}, and rows of two "
                f"kinds do not mix; remedy: set {key} = {_as_json(old)}, or build into a new root"
            )
        if known == wanted:
            return
    store.write_bytes(RECORD_PATH, (json.dumps(wanted, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())


def _complete(known: Any, defaults: Any) -> Any:
    """What is known, and what is not known as the defaults have it."""
    if not isinstance(known, dict) or not isinstance(defaults, dict):
        return known
    completed = {name: _complete(known[name], value) if name in known else value for name, value in defaults.items()}
    return known | completed


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
