"""What changed between the last two seals, as their record tells it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from moodarchive.errors import MoodArchiveError
from moodarchive.storage.store import Store
from pipelines.inspect.report.names import kind_name, set_name
from shards.history import SettingChange, read_entry, seal_numbers


@dataclass(frozen=True, kw_only=True)
class Counted:
    """One line: a name for people and a count."""

    name: str
    count: int


@dataclass(frozen=True, kw_only=True)
class SealChange:
    """The last seal, the one before (None for the first), and what lies between: shards, samples, settings."""

    seal: int
    since: int | None
    shards: tuple[Counted, ...]
    came: tuple[Counted, ...]
    left: tuple[Counted, ...]
    moved: tuple[Counted, ...]
    relabelled: tuple[Counted, ...]
    settings: tuple[SettingChange, ...]

    @property
    def nothing(self) -> bool:
        """True when the seal was made anew of equal shards, such as after pruning."""
        return not (self.shards or self.came or self.left or self.moved or self.relabelled or self.settings)


def last_change(store: Store) -> SealChange | None:
    """None before the first seal, and for a record that cannot be read: verify names it."""
    try:
        numbers = seal_numbers(store)
        if not numbers:
            return None
        changes = read_entry(store, numbers[-1]).changes
        shards = ((way, int(changes[f"shards_{way}"])) for way in ("added", "rewritten", "removed"))
        return SealChange(
            seal=numbers[-1],
            since=changes["since"],
            shards=tuple(Counted(name=way, count=count) for way, count in shards if count),
            came=_by_reason(changes["samples_in"]),
            left=_by_reason(changes["samples_out"]),
            moved=_by_sets(changes["samples_moved"]),
            relabelled=_by_way(changes["samples_relabelled"]),
            settings=tuple(SettingChange(**setting) for setting in changes["settings"]),
        )
    except (MoodArchiveError, KeyError, TypeError, ValueError):
        return None


def setting_value(value: object) -> str:
    """A setting's value as its file has it."""
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)


def why(reason: str) -> str:
    """Why a sample came or left, for people."""
    return {"new": "new", "gone": "no longer known"}.get(reason) or kind_name(reason)


def _by_reason(counts: Mapping[str, int]) -> tuple[Counted, ...]:
    most_first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Counted(name=why(reason), count=count) for reason, count in most_first)


def _by_way(counts: Mapping[str, int]) -> tuple[Counted, ...]:
    most_first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Counted(name=way, count=count) for way, count in most_first)


def _by_sets(counts: Mapping[str, int]) -> tuple[Counted, ...]:
    return tuple(
        Counted(name=" to ".join(set_name(name) for name in way.split(" to ")), count=count)
        for way, count in sorted(counts.items())
    )
