"""EPEM's tables 1 and 2 with our own rows beneath its own; what cannot be measured here is left empty and told."""

import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from editor.evaluation.frames import read_frames
from editor.evaluation.measure import imports
from editor.evaluation.run import Measured
from editor.evaluation.scores import Scored
from pipelines.report.edit_evaluation import mean_of, methods_of

PAPER: Mapping[str, Any] = tomllib.loads((files("pipelines.editing") / "epem_tables.toml").read_text("utf-8"))
COLUMNS = ("FID", "LPIPS", "SSIM", "CLIP-I", "CLIP-T", "M", "G", "H", "s")
ELEMENTS = ("action", "facial", "object", "scene", "color_brightness")
EMPTY = "–"
MISSING = (
    "not measured: FID (needs an Inception's weights), LPIPS of the whole picture (needs AlexNet's or VGG's), CLIP-I "
    "(needs the true edits), M (needs the paper's classifier, MDAN), G (a served model's choice), H (people's), seconds"
)


def epem_tables(folder: Path, measured: Measured) -> Iterator[Table]:
    """Both tables, where EPEM or one of its two ablations was run in the folder; else none."""
    run = set(methods_of(measured.rows))
    if not any(method.startswith("epem") for method in run):
        return
    first = _table("EPEM, table 1 (indented: measured here)", COLUMNS)
    second = _table(
        "EPEM, table 2: FID / CLIP-I / H by element; none is measured here",
        tuple(each.replace("_", "&") for each in ELEMENTS),
    )
    for row in PAPER["rows"]:
        first.add_row(row["title"], *row["all"])
        if row["method"] in run:
            first.add_row(f"  {row['method']}", *_ours(folder, measured, row["method"]), style="bold")
        second.add_row(row["title"], *("/".join(row[element]) for element in ELEMENTS))
    first.caption = MISSING
    yield first
    yield second


def _ours(folder: Path, measured: Measured, method: str) -> tuple[str, ...]:
    """SSIM x100 of source and edit over the whole picture, and CLIP-T where CLIP is there."""
    rows = [row for row in measured.rows if row.status == "ok" and row.pair.method == method]
    likeness = f"{100 * fmean(_ssim(folder, row) for row in rows):.2f}" if rows else EMPTY
    text = mean_of(measured.rows, method, "clip_prompt")
    figures = {"SSIM": likeness, "CLIP-T": EMPTY if text is None else f"{text:.2f}"}
    return tuple(figures.get(column, EMPTY) for column in COLUMNS)


def _ssim(folder: Path, row: Scored) -> float:
    """torchmetrics' with its own window, as for the background."""
    torch, _ = imports()
    from torchmetrics.functional.image import structural_similarity_index_measure

    frames = read_frames(folder, row.pair)
    edited, source = (
        torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255 for pixels in (frames.edited, frames.source)
    )
    return float(structural_similarity_index_measure(edited, source, data_range=1.0))  # type: ignore[arg-type]


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, caption_justify="left")
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table
