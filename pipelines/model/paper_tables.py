"""The paper's tables 1 to 3 with our own rows beside its own; what was not run is left empty."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from rich.table import Table

from train.evaluation.scoring import Evaluation, Figure

PAPER: Mapping[str, Any] = tomllib.loads((files("pipelines.model") / "moodifier_tables.toml").read_text("utf-8"))
"""arXiv 2507.14024, tables 1 to 3, as printed."""
CLASSIFIED = ("Emotion6", "EmoSet-118K", "EMOTIC")
RETRIEVED = ("SentiCap", "Affection", "MoodArchive-5k")
TOPS = ("top-1", "top-2", "top-3")
RECALLS = ("image to text, R@1", "image to text, R@5", "text to image, R@1", "text to image, R@5")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One of our models: its name in the tables and its evaluations by the paper's name of the set."""

    title: str
    evaluations: Mapping[str, Evaluation]

    def cell(self, data: str, figure: str) -> str:
        """As the paper writes it, or empty."""
        found = self._figure(data, figure)
        return f"{found.mean:.2f}±{found.deviation:.2f}" if found else ""

    def chance(self, data: str, figure: str) -> str:
        """What guessing gives on the same pictures, or empty."""
        found = self._figure(data, figure)
        return f"{found.chance:.2f}" if found else ""

    def set_of(self, data: str) -> str:
        """Empty for the paper's own set; what stands in its place for another."""
        found = self.evaluations.get(data)
        return "" if found is None or found.data == data else "(our own set)"

    def _figure(self, data: str, figure: str) -> Figure | None:
        return self.evaluations[data].figures[figure] if data in self.evaluations else None


def paper_figure(figure: str) -> str:
    """The ViT-L/14 MoodifyCLIP's on the paper's own MoodArchive-5k; empty for a figure that it does not give."""
    last = PAPER["retrieval"][-1]
    return str(last["MoodArchive-5k"][RECALLS.index(figure)]) if figure in RECALLS else ""


def tables(ours: Sequence[Row]) -> Iterator[Table]:
    """Tables 1, 2 and 3; the paper's rows are of its own models, and for MoodArchive-5k of its own pictures."""
    yield _by_model("Table 1: zero-shot classification, per cent", "zero_shot", CLASSIFIED, TOPS, ours)
    yield _by_model(
        "Table 2: retrieval of texts by an image and of images by a text", "retrieval", RETRIEVED, RECALLS, ours
    )
    yield _ablation(ours)


def _by_model(title: str, kind: str, sets: Sequence[str], figures: Sequence[str], ours: Sequence[Row]) -> Table:
    table = Table(title=title)
    table.add_column("set")
    table.add_column("model")
    for figure in figures:
        table.add_column(figure.removeprefix("image to ").replace("text to image", "image"), justify="right")
    for data in sets:
        for number, row in enumerate(PAPER[kind]):
            table.add_row("" if number else data, f"paper: {row['model']}", *row[data])
        for own in ours:
            table.add_row(own.set_of(data), own.title, *(own.cell(data, figure) for figure in figures), style="bold")
        table.add_row("", "chance", *(ours[0].chance(data, figure) for figure in figures), style="dim")
        table.add_section()
    return table


def _ablation(ours: Sequence[Row]) -> Table:
    """Table 3 turned on its side: the paper's four rows are columns."""
    table = Table(title="Table 3: the losses FG and OT, ViT-L/14, per cent")
    for name in (
        "figure",
        "set",
        *(f"paper: {row['model']}" for row in PAPER["ablation"]),
        *(own.title for own in ours),
    ):
        table.add_column(name, justify="left" if name in ("figure", "set") else "right")
    for kind, figure, title, sets in (
        ("text_retrieval", RECALLS[0], "text retrieval, R@1", RETRIEVED),
        ("image_retrieval", RECALLS[2], "image retrieval, R@1", RETRIEVED),
        ("classification", TOPS[0], "accuracy", CLASSIFIED),
    ):
        for number, data in enumerate(sets):
            printed = [row[kind][number] for row in PAPER["ablation"]]
            table.add_row("" if number else title, data, *printed, *(own.cell(data, figure) for own in ours))
        table.add_section()
    return table
