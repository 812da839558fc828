"""EPEM's tables 1 and 2 with our own rows beneath its own; what was not measured is left empty, and why is told."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from typing import Any

from editor.evaluation.aggregate import median_seconds
from editor.evaluation.frechet import Frechet
from editor.evaluation.run import Measured
from editor.evaluation.scores import Scored
from moodarchive.errors import MissingWeightsError
from pipelines.editing.wide_tables import WideTable
from pipelines.inspect.report.edit_evaluation import methods_of

PAPER: Mapping[str, Any] = tomllib.loads((files("pipelines.editing") / "epem_tables.toml").read_text("utf-8"))
COLUMNS = ("FID", "LPIPS", "SSIM", "CLIP-I", "CLIP-T", "M", "G", "H", "s")
ELEMENTS = ("action", "facial", "object", "scene", "color_brightness")
EMPTY = "–"
_MEANS = {
    "LPIPS": ("lpips_whole", 1.0, 3),
    "SSIM": ("ssim_whole", 100.0, 2),
    "CLIP-I": ("clip_truth", 1.0, 2),
    "CLIP-T": ("clip_prompt", 1.0, 2),
    "M": ("emotion_named", 100.0, 2),
    "G": ("served_named", 100.0, 1),
}
"""The paper's column → ours, its factor and its decimals; means are over the pairs, as the paper's are."""
NEEDED = {
    "FID": "needs --inception and two pairs",
    "LPIPS": "needs SqueezeNet's weights (--lpips)",
    "CLIP-I": "needs the column truth and CLIP's weights (--clip)",
    "CLIP-T": "needs prompts and CLIP's weights (--clip)",
    "M": "needs a classifier of the eight (--emotions)",
    "G": "needs a served model (--server, --server-model)",
    "H": "needs a study's checked.jsonl (--people)",
    "s": "needs the column seconds",
}
NOTES = (
    "FID here is torchvision's Inception's; the paper's is on a scale of about a thousandth. LPIPS is SqueezeNet's, M "
    "your classifier's: the paper names MDAN, and no network for LPIPS"
)


@dataclass(frozen=True, kw_only=True)
class OwnFigures:
    """What our rows are made of beside the scores: FID's network, and the edits in which people see the emotion."""

    frechet: Frechet | None = None
    people: Mapping[str, bool] = field(default_factory=dict)

    def of(self, folder: Path, rows: Sequence[Scored]) -> dict[str, str]:
        """The paper's columns for some pairs; EMPTY where nothing was measured."""
        shown = {}
        for column, (name, scale, decimals) in _MEANS.items():
            values = [value for row in rows if (value := row.values.get(name)) is not None]
            shown[column] = f"{scale * fmean(values):.{decimals}f}" if values else EMPTY
        pairs = [row.pair for row in rows]
        distance = self.frechet.distance(folder, pairs) if self.frechet else None
        seen = [self.people[pair.edited] for pair in pairs if pair.edited in self.people]
        seconds = median_seconds(rows)
        shown["FID"] = EMPTY if distance is None else f"{distance:.3f}"
        shown["H"] = f"{100 * fmean(seen):.1f}" if seen else EMPTY
        shown["s"] = EMPTY if seconds is None else f"{seconds:.1f}"
        return shown


def read_own_figures(inception: str, people: str) -> tuple[OwnFigures, list[str]]:
    """The figures, and what is told of weights that are not there; an empty name means none.

    DatasetError where ``people`` is no file of verdicts.
    """
    missing: list[str] = []
    frechet = None
    if inception:
        try:
            frechet = Frechet(inception)
        except MissingWeightsError as error:
            missing.append(str(error))
    return OwnFigures(frechet=frechet, people=_read_people(Path(people)) if people else {}), missing


def _read_people(path: Path) -> dict[str, bool]:
    """An edit's path → whether people see its emotion: of a study of checks whose keys are the edits' paths."""
    from pipelines.editing.sets.lavc.checks import read_checked

    verdicts = read_checked(path.expanduser())
    return {key: "emotion" not in one["reason"].split(", ") for key, one in verdicts.items() if one["status"] != "open"}


def epem_tables(folder: Path, measured: Measured, own: OwnFigures) -> Iterator[WideTable]:
    """Both tables, where EPEM or one of its two ablations was run in the folder; else none."""
    run = set(methods_of(measured.rows))
    if not any(method.startswith("epem") for method in run):
        return
    first = WideTable(title="EPEM, table 1 (indented: measured here)", headings=COLUMNS)
    second = WideTable(
        title="EPEM, table 2: FID/CLIP-I/H by element, which is the category (indented: measured here)",
        headings=tuple(each.replace("_", "&") for each in ELEMENTS),
    )
    filled: set[str] = set()
    for row in PAPER["rows"]:
        first.add(row["title"], row["all"])
        second.add(row["title"], ["/".join(row[element]) for element in ELEMENTS])
        if row["method"] in run:
            rows = [one for one in measured.rows if one.status == "ok" and one.pair.method == row["method"]]
            ours = own.of(folder, rows)
            filled |= {column for column, shown in ours.items() if shown != EMPTY}
            first.add(f"  {row['method']}", [ours[column] for column in COLUMNS], style="bold")
            second.add(f"  {row['method']}", _by_element(folder, rows, own), style="bold")
    lacking = [f"{column} {why}" for column, why in NEEDED.items() if column not in filled]
    first.caption = (f"not measured: {'; '.join(lacking)}. " if lacking else "") + NOTES
    yield first
    yield second


def _by_element(folder: Path, rows: Sequence[Scored], own: OwnFigures) -> Iterator[str]:
    for element in ELEMENTS:
        names = {element, element.replace("_", "&")}
        of_element = [row for row in rows if row.pair.category in names]
        ours = own.of(folder, of_element)
        yield "/".join(ours[column] for column in ("FID", "CLIP-I", "H")) if of_element else EMPTY
