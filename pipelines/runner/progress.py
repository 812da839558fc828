"""Progress read from the store once a second: a live table on a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Table as RichTable

from annotate.part_facts import Costs, sum_costs
from filter.scoring_rate import scoring_wall
from moodarchive.running.stage import Stage, marked_parts
from moodarchive.storage.store import Store
from moodarchive.tables.parts import Sidecar, finished_parts
from moodarchive.tables.schemas import Table

POLL_SECONDS = 1.0
REMOTE_POLL_SECONDS = 10.0
"""Object stores charge for every listing."""
PLAIN_SECONDS = 10.0


@dataclass(frozen=True)
class StageCount:
    """How far one stage is: parts and rows done, failed rows, rows a second since the run began, seconds left."""

    name: str
    parts_done: int
    parts: int
    rows: int
    failures: int
    rate: float | None
    eta_s: float | None
    costs: Costs | None = None
    wall: str = ""
    """What holds scoring up; empty for other stages."""

    def line(self) -> str:
        """One plain line."""
        rate = f", {self.rate:.1f} rows/s" if self.rate else ""
        eta = f", {_duration(self.eta_s)} left" if self.eta_s else ""
        costs = f"; {self.costs.describe()}" if self.costs else ""
        done = f"{self.parts_done}/{self.parts} parts, {self.rows} rows, {self.failures} failed"
        wall = f"; {self.wall}" if self.wall else ""
        return f"{self.name}: {done}{rate}{eta}{costs}{wall}"


@dataclass
class _Follower:
    """Counts one stage; each finished part's sidecar is read once.

    A part whose failed rows are tried again is not finished until they have been.
    """

    store: Store
    name: str
    table: Table
    parts: frozenset[int]
    keeps_rows: bool = False
    known: dict[int, Sidecar] = field(default_factory=dict)
    rows_before: int = -1
    started: float = field(default_factory=time.monotonic)

    def count(self) -> StageCount:
        marked = marked_parts(self.store, self.table) if self.keeps_rows else set()
        finished = finished_parts(self.store, self.table, self.known)
        self.known = {part: sidecar for part, sidecar in finished.items() if part not in marked}
        mine = [sidecar for part, sidecar in self.known.items() if part in self.parts]
        rows = sum(sidecar.rows for sidecar in mine)
        if self.rows_before < 0:
            self.rows_before = rows
        fresh, elapsed = rows - self.rows_before, time.monotonic() - self.started
        rate = fresh / elapsed if fresh and elapsed > 0.5 else None
        left = (len(self.parts) - len(mine)) * rows / len(mine) if mine else 0
        return StageCount(
            name=self.name,
            parts_done=len(mine),
            parts=len(self.parts),
            rows=rows,
            failures=sum(sidecar.lost for sidecar in mine),
            rate=rate,
            eta_s=left / rate if rate and left else None,
            costs=sum_costs(mine),
            wall=scoring_wall([sidecar.measured for sidecar in mine]),
        )


def count_stages(store: Store, stages: Sequence[tuple[str, Table]], parts: Sequence[int]) -> list[StageCount]:
    """The counts as they are now, without rates."""
    return [_Follower(store, name, table, frozenset(parts)).count() for name, table in stages]


@dataclass
class Progress:
    """Shows how a run goes on ``console``."""

    store: Store
    console: Console = field(default_factory=lambda: Console(stderr=True))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A whole-table step: its name, and its time when it ends."""
        started = time.monotonic()
        yield
        self.console.print(f"{name}: done in {time.monotonic() - started:.1f} s", highlight=False)

    @contextmanager
    def stages(self, stages: Sequence[Stage], parts: Sequence[int]) -> Iterator[None]:
        """Follows the stages while the block runs."""
        followers = [
            _Follower(self.store, stage.name, stage.writes, frozenset(parts), stage.keeps_rows) for stage in stages
        ]
        if all(follower.count().parts_done == len(parts) for follower in followers):
            yield
            return
        stop = threading.Event()
        show = self._show_live if self.console.is_terminal else self._show_plain
        thread = threading.Thread(target=show, args=(followers, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _show_live(self, followers: Sequence[_Follower], stop: threading.Event) -> None:
        every_s = POLL_SECONDS if self.store.is_local else REMOTE_POLL_SECONDS
        with Live(console=self.console, refresh_per_second=4, transient=False) as live:
            while not stop.is_set():
                live.update(_as_table([follower.count() for follower in followers]))
                stop.wait(every_s)
            live.update(_as_table([follower.count() for follower in followers]))

    def _show_plain(self, followers: Sequence[_Follower], stop: threading.Event) -> None:
        while not stop.wait(PLAIN_SECONDS):
            self._print_lines(followers)
        self._print_lines(followers)

    def _print_lines(self, followers: Sequence[_Follower]) -> None:
        for follower in followers:
            self.console.print(follower.count().line(), highlight=False, soft_wrap=True)


def _as_table(counts: Sequence[StageCount]) -> RichTable:
    costs = [f"{count.name}: {count.costs.describe()}" for count in counts if count.costs]
    costs += [f"{count.name}: {count.wall}" for count in counts if count.wall]
    table = RichTable(box=None, pad_edge=False, caption="\n".join(costs) or None, caption_justify="left")
    table.add_column("stage")
    for name in ("parts", "rows", "failed", "rows/s", "left"):
        table.add_column(name, justify="right")
    table.add_column("")
    for count in counts:
        done = count.parts_done / count.parts if count.parts else 1.0
        table.add_row(
            f"[green]{count.name}[/]" if done == 1 else count.name,
            f"{count.parts_done}/{count.parts}",
            f"{count.rows:,}",
            f"[yellow]{count.failures:,}[/]" if count.failures else "0",
            f"{count.rate:.1f}" if count.rate else "",
            _duration(count.eta_s) if count.eta_s else "",
            "[cyan]" + "━" * round(20 * done) + "[/][dim]" + "━" * (20 - round(20 * done)) + "[/]",
        )
    return table


def _duration(seconds: float | None) -> str:
    whole = int(seconds or 0)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
