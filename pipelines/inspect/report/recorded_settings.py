"""What the archive's own settings say about the cut and about pictures that may not be handed on."""

import json
from dataclasses import dataclass

from filter.cut import CutSettings
from moodarchive.storage.store import Store
from pipelines.runner.settings_record import RECORD_PATH
from shards.pack import ShardSettings


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The settings that the report needs."""

    cut: CutSettings
    shards: ShardSettings


def recorded_settings(store: Store) -> Recorded:
    """From the root's record, and the defaults where it says nothing: a page about a damaged record still helps."""
    cut, shards = CutSettings(), ShardSettings()
    try:
        whole_table = json.loads(store.read_bytes(RECORD_PATH))["whole_table"]
        cut = CutSettings.model_validate(whole_table.get("cut", {}))
        shards = ShardSettings.model_validate(whole_table.get("shards", {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # pydantic's ValidationError is a ValueError
    return Recorded(cut=cut, shards=shards)
