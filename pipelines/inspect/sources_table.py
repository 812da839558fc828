"""Every source: whether it is searched, what locks it, which keys are present, and what is left of its quotas."""

import time

from rich.console import Console
from rich.table import Table

from crawl.politeness.rate_limits import Limit, quota_left
from crawl.source import Source, how_to_unlock, is_locked, is_private
from moodarchive.storage.store import Store
from pipelines.runner.sources import all_sources, missing_keys
from pipelines.settings import ArchiveSettings

_WINDOWS = {3600.0: "h", 86_400.0: "day", 31 * 86_400.0: "month", 60.0: "min"}


def show_sources(settings: ArchiveSettings, root: str, console: Console) -> None:
    """Prints the table, then how each locked source is unlocked. No key's value is shown."""
    sources = all_sources(settings.sources)
    store = Store(root) if root else None
    table = Table(box=None, pad_edge=False)
    for name in ("source", "state", "shards", "keys", "quota left", "terms", "read on"):
        table.add_column(name)
    for source in sources:
        table.add_row(
            source.name,
            _state(source),
            "private" if is_private(source) else "public",
            _keys(source),
            _quotas(source, store),
            source.policy.terms_url,
            str(source.policy.terms_reviewed_on or "not read"),
        )
    console.print(table)
    for source in sources:
        if is_locked(source):
            console.print("\n" + how_to_unlock(source), highlight=False, markup=False, soft_wrap=True)


def _state(source: Source) -> str:
    if is_locked(source):
        return "enabled but locked" if source.settings.enabled else "locked"
    missing = missing_keys(source) if source.settings.needs_key else []
    if source.settings.enabled and missing:
        return "enabled but without key"
    return "searched" if source.settings.enabled else "unlocked, not enabled"


def _keys(source: Source) -> str:
    missing = missing_keys(source)
    names = source.settings.key_variables
    return ", ".join(f"{name} {'missing' if name in missing else 'present'}" for name in names) or "none needed"


def _quotas(source: Source, store: Store | None) -> str:
    quotas = [limit for limit in source.settings.parse_limits() if limit.is_quota]
    return ", ".join(_left(source.name, limit, store) for limit in quotas) or "no quota"


def _left(name: str, limit: Limit, store: Store | None) -> str:
    left = quota_left(store, name, limit, time.time()) if store else limit.requests
    window = _WINDOWS.get(limit.per_s, f"{limit.per_s:g} s")
    return f"{left:,} of {limit.requests:,}/{window}"
