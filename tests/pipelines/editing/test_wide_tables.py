"""Tables keep every column and every letter at any width, and a name cannot speak to the terminal."""

import pytest
from rich.console import Console

from pipelines.editing.wide_tables import WideTable


def _printed(table: WideTable, width: int) -> str:
    console = Console(width=width)
    with console.capture() as printed:
        for part in table.fit(width):
            console.print(part)
    return printed.get()


@pytest.mark.parametrize("width", [30, 80, 200])
def test_every_column_stands_once_at_any_width(width: int) -> None:
    table = WideTable(title="Methods", headings=tuple(f"method-{n:03d}" for n in range(12)), caption="the end")
    table.add("a figure", [f"{1000 + n}.25" for n in range(12)])
    table.add("another", ["–"] * 12, style="bold")
    printed = _printed(table, width)
    assert all(len(line) <= width for line in printed.splitlines())
    for n in range(12):
        assert printed.count(f"method-{n:03d}") == printed.count(f"{1000 + n}.25") == 1
    assert printed.count("the end") == 1 and printed.count("a figure") == -(-12 // ((width - 8) // 12))


def test_a_name_wider_than_the_terminal_is_folded_and_its_control_characters_are_shown() -> None:
    table = WideTable(title="Methods", headings=("long" * 20 + "\x1b[31m[red]",))
    table.add("a figure", ["1.5"])
    printed = _printed(table, 40)
    letters = "".join(line.strip() for line in printed.splitlines())
    assert all(len(line) <= 40 for line in printed.splitlines()) and "\x1b" not in printed
    assert "long" * 20 + "?[31m[red]" in letters.replace("a figure", "")
