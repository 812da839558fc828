"""Measures a folder of edited pictures, prints the papers' tables beside its own, and writes the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from editor.evaluation.clip_score import CLIP
from editor.evaluation.measure import Measure
from editor.evaluation.published import PUBLISHED, PublishedTable
from editor.evaluation.run import Measured, measure_folder
from editor.evaluation.scores import SCORED
from editor.evaluation.sheets import write_sheets
from editor.evaluation.structure import DINO
from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import EditError
from moodarchive.storage.store import Store
from pipelines.editing.epem_tables import epem_tables, read_own_figures
from pipelines.editing.wide_tables import WideTable
from pipelines.inspect.report.edit_evaluation import REPORT_PATH, mean_of, methods_of, seconds_of, write_page
from pipelines.inspect.show import printable

FAILURES_TOLD = 10
EMPTY = "–"


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Folders, files or hub ids of the weights; ``threads`` of a CPU, on which the last bits depend.

    For EPEM's tables alone: ``inception`` for FID, a served model, and ``people``, a study's checked.jsonl.
    """

    dino: str = DINO
    lpips: str = ""
    clip: str = CLIP
    emotions: str = ""
    inception: str = ""
    server: str = ""
    server_model: str = ""
    people: str = ""
    threads: int = 1


def run_edit_evaluation(folder: Path, options: EvaluationOptions, console: Console) -> bool:
    """True when every pair could be measured."""
    if not folder.is_dir():
        raise EditError(f"{folder} is no folder; remedy: a folder with pairs.csv, see docs/editing-evaluation.md")
    if bool(options.server) != bool(options.server_model):
        raise EditError("--server and --server-model go together; remedy: name both, or neither")
    own, missing = read_own_figures(options.inception, options.people)
    store = Store(str(folder))
    with only_writer(store):
        store.remove_drafts()
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("pairs", total=None)
            measured = measure_folder(
                folder, _measures(options), lambda done, total: bar.update(task, completed=done, total=total)
            )
        sheets = write_sheets(folder, measured.rows)
        write_page(store, measured, sheets)
    wide = [*(_beside(table, measured) for table in PUBLISHED), *epem_tables(folder, measured, own), _ours(measured)]
    for table in wide:
        for part in table.fit(console.width):
            console.print(part)
            console.print()
    for line in (*measured.missing, *missing):
        console.print(f"not measured: {line}", soft_wrap=True, markup=False)
    for row in measured.failed[:FAILURES_TOLD]:
        console.print(printable(f"{row.pair.edited}: {row.error}: {row.message}"), soft_wrap=True, markup=False)
    if len(measured.failed) > FAILURES_TOLD:
        console.print(f"… and {len(measured.failed) - FAILURES_TOLD:,} more pairs failed; evaluation/scores.parquet")
    console.print(f"{len(measured.rows):,} pairs, {len(measured.failed):,} failed; {len(sheets):,} contact sheets")
    console.print(f"{folder}/{REPORT_PATH}", soft_wrap=True, markup=False)
    return not measured.failed


def _measures(options: EvaluationOptions) -> Sequence[Measure]:
    from editor.evaluation.background import Background, Likeness
    from editor.evaluation.clip_score import ClipScore
    from editor.evaluation.esmi import Esmi
    from editor.evaluation.measure import imports
    from editor.evaluation.perceptual import Lpips
    from editor.evaluation.served_choice import ServedChoice
    from editor.evaluation.structure import Structure

    torch, _ = imports()
    torch.set_num_threads(options.threads)
    served = [ServedChoice(options.server, options.server_model)] if options.server else []
    return (
        Structure(options.dino),
        Background(),
        Lpips(options.lpips),
        ClipScore(options.clip),
        Esmi(options.emotions),
        Likeness(),
        *served,
    )


def _beside(published: PublishedTable, measured: Measured) -> WideTable:
    """The paper's line of each method, and ours below where the method was run here."""
    columns = [next(column for column in SCORED if column.name == name) for name in published.columns]
    table = WideTable(
        title=f"{published.title}\n(indented: measured here; else not run)",
        headings=tuple(column.short.replace(" ", "\n") for column in columns),
    )
    run = set(methods_of(measured.rows))
    for row in published.rows:
        table.add(row.title, published.shown(row))
        if row.method in run:
            ours = (column.shown(mean_of(measured.rows, row.method, column.name)) for column in columns)
            table.add(f"  {row.method}", [shown or EMPTY for shown in ours], style="bold")
    return table


def _ours(measured: Measured) -> WideTable:
    """A line a figure, because there are more figures than methods."""
    methods = methods_of(measured.rows)
    table = WideTable(title="Measured here: means over emotions, images, categories", headings=tuple(methods))
    for column in SCORED:
        cells = [column.shown(mean_of(measured.rows, method, column.name)) or EMPTY for method in methods]
        table.add(f"{column.title} {'↓' if column.better == 'lower' else '↑'}", cells)
    of_methods = ([row for row in measured.rows if row.pair.method == method] for method in methods)
    table.add("Seconds an edit, median ↓", [seconds_of(rows) or EMPTY for rows in of_methods])
    return table
