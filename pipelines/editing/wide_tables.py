"""Tables for a terminal: one that is too wide becomes several, so that no column and no digit is lost."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from pipelines.inspect.show import printable

GAP = 2
"""Letters between two columns."""
SHORT = 14
"""Letters up to which a heading's line stays whole."""


@dataclass(kw_only=True)
class WideTable:
    """A row has a title and a cell under each heading; ``caption`` stands below the last table."""

    title: str
    headings: tuple[str, ...]
    caption: str = ""
    rows: list[tuple[str, tuple[str, ...], str]] = field(default_factory=list)
    """Title, cells and style."""

    def add(self, title: str, cells: Iterable[str], style: str = "") -> None:
        """Adds a row below the others."""
        self.rows.append((title, tuple(cells), style))

    def fit(self, width: int) -> Iterator[Table]:
        """Tables of at most ``width`` letters, each with the rows' titles and as many of the columns as it holds.

        What is wider than a table by itself is folded.
        """
        needed = [
            max([_least_width(heading), *(cell_len(cells[at]) for _, cells, _ in self.rows)])
            for at, heading in enumerate(self.headings)
        ]
        first = min(max(cell_len(title) for title, _, _ in self.rows), max(width // 2, width - GAP - max(needed)))
        room = width - first
        widths = [min(one, room - GAP) for one in needed]
        groups: list[list[int]] = []
        left = 0
        for at, one in enumerate(widths):
            if left < one + GAP:
                groups.append([])
                left = room
            groups[-1].append(at)
            left -= one + GAP
        for number, group in enumerate(groups):
            table = self._table(first, [(at, widths[at]) for at in group], continued=number > 0)
            if number == len(groups) - 1:
                table.caption = self.caption or None
            yield table

    def _table(self, first: int, columns: Sequence[tuple[int, int]], *, continued: bool) -> Table:
        table = Table(
            title=Text(f"{self.title}{', continued' if continued else ''}", style="table.title"), title_justify="left",
            caption_justify="left", box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True,
        )  # fmt: skip
        table.add_column("", width=first, overflow="fold")
        for at, width in columns:
            heading = "\n".join(map(printable, self.headings[at].split("\n")))
            table.add_column(Text(heading), width=width, justify="right", overflow="fold")
        for title, cells, style in self.rows:
            table.add_row(Text(title), *(Text(cells[at]) for at, _ in columns), style=style)
        return table


def _least_width(heading: str) -> int:
    """Of a heading that breaks between words, and only where a line of it is long."""
    words = max((cell_len(printable(word)) for word in heading.split()), default=0)
    lines = max(cell_len(printable(line)) for line in heading.split("\n"))
    return max(words, min(lines, SHORT))
