"""What an archive holds so far: parts and rows per table, failures by reason, where the logs are."""

from collections import Counter

from rich.console import Console
from rich.table import Table as RichTable

from annotate.part_facts import sum_costs
from moodarchive.storage.store import Store
from moodarchive.tables.layout import DOUBTFUL, MANIFEST_PATH
from moodarchive.tables.parts import Sidecar, finished_parts
from moodarchive.tables.schemas import CAPTIONS, OPTIONAL, TABLES
from pipelines.runner.settings_record import require_recorded_settings

_OPTIONAL = {table.name for table in OPTIONAL}


def show_status(store: Store, console: Console) -> None:
    """Prints the counts; NotAnArchiveError when there is no archive."""
    require_recorded_settings(store)
    sidecars = {table.name: finished_parts(store, table) for table in TABLES}
    sidecars = {name: parts for name, parts in sidecars.items() if parts or name not in _OPTIONAL}
    console.print(_counts(sidecars))
    failures = _failures(sidecars)
    if failures.row_count:
        console.print(failures)
    if costs := sum_costs(sidecars[CAPTIONS.name].values()):
        console.print(f"captions: {costs.describe()}", highlight=False, soft_wrap=True)
    sealed = "sealed" if store.exists(MANIFEST_PATH) else "not sealed yet"
    console.print(
        f"{store.root}: {sealed}; logs of every part under {store.root}/logs", highlight=False, soft_wrap=True
    )


def _counts(sidecars: dict[str, dict[int, Sidecar]]) -> RichTable:
    table = RichTable(box=None, pad_edge=False)
    table.add_column("table")
    for name in ("parts", "rows", "failed or dropped", "doubtful", "MB"):
        table.add_column(name, justify="right")
    for name, of_table in sidecars.items():
        parts = of_table.values()
        table.add_row(
            name,
            str(len(of_table)),
            f"{sum(part.rows for part in parts):,}",
            f"{sum(part.lost for part in parts):,}",
            f"{doubts:,}" if (doubts := sum(part.doubts for part in parts)) else "",
            f"{sum(part.bytes for part in parts) / 1e6:.1f}",
        )
    return table


def _failures(sidecars: dict[str, dict[int, Sidecar]]) -> RichTable:
    table = RichTable(box=None, pad_edge=False)
    table.add_column("table")
    table.add_column("reason")
    table.add_column("rows", justify="right")
    for name, of_table in sidecars.items():
        reasons: Counter[str] = Counter()
        for sidecar in of_table.values():
            reasons.update({kind: count for kind, count in sidecar.failures.items() if kind != DOUBTFUL})
        for reason, count in reasons.most_common():
            table.add_row(name, reason, f"{count:,}")
    return table
