"""What changed between two seals of an archive, for people."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape

from moodarchive.errors import UnknownSealError
from moodarchive.storage.store import Store
from pipelines.inspect.report.change import setting_value
from pipelines.inspect.report.names import kind_name
from pipelines.runner.settings_record import require_recorded_settings
from shards.history import Changes, changes_between, read_entry, seal_numbers

_SHOWN = 20


def show_diff(store: Store, earlier: int | None, later: int | None, console: Console) -> None:
    """Prints what changed; by default between the last two seals. UnknownSealError names the seals there are."""
    require_recorded_settings(store)
    numbers = seal_numbers(store)
    if not numbers:
        raise UnknownSealError(f"{store.root} was never sealed; remedy: moodarchive run")
    after = numbers[-1] if later is None else later
    before = earlier if earlier is not None else after - 1 if after > numbers[0] else None
    for number in (before, after):
        if number is not None:
            read_entry(store, number)
    changes = changes_between(store, before, after)
    console.print(_title(before, after), highlight=False)
    for line in _lines(changes):
        console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)


def _title(before: int | None, after: int) -> str:
    return f"[bold]seal {after}[/], " + ("the first one" if before is None else f"since seal {before}")


def _lines(changes: Changes) -> list[str]:
    lines = [
        *_paths("added", changes.shards_added),
        *_paths("rewritten", changes.shards_rewritten),
        *_paths("removed", changes.shards_removed),
        *_counts("in", changes.samples_in),
        *_counts("out", changes.samples_out),
        *_counts("moved to another set", changes.samples_moved),
        *_counts("judged under a better emotion", changes.samples_relabelled),
    ]
    lines += [f"setting {c.setting}: {setting_value(c.was)} is now {setting_value(c.now)}" for c in changes.settings]
    return lines or ["no shard, sample or setting changed"]


def _paths(what: str, paths: Sequence[str]) -> list[str]:
    if not paths:
        return []
    more = f" and {len(paths) - _SHOWN:,} more" if len(paths) > _SHOWN else ""
    return [f"{len(paths):,} shards {what}: {', '.join(paths[:_SHOWN])}{more}"]


def _counts(what: str, counts: Mapping[str, int]) -> list[str]:
    if not counts:
        return []
    reasons = ", ".join(f"{count:,} {_why(why)}" for why, count in sorted(counts.items(), key=lambda c: (-c[1], c[0])))
    return [f"{sum(counts.values()):,} samples {what}: {reasons}"]


def _why(why: str) -> str:
    return why if why in ("new", "gone") or " to " in why else f"{kind_name(why)} ({why})"
