"""Shows a model's figures on a sealed set beside chance, beside the starting CLIP's, and beside the paper's."""

import json
from collections.abc import Mapping
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from moodarchive.clip import ClipEncoder
from moodarchive.store import Store
from train.archive import open_archive
from train.evaluation import Evaluation, evaluate

PAPER: Mapping[str, str] = {"image to text, R@1": "86.16 ± 0.37", "text to image, R@1": "85.18 ± 0.54"}
"""ViT-L/14 on the paper's own MoodArchive-5k (Moodifier, table 3): other pictures than these."""


def run_evaluation(root: str, model: str, baseline: tuple[str, str], of_set: str, console: Console) -> None:
    """Prints the table and keeps the figures in ``report/evaluation.json``."""
    archive = open_archive(root, (of_set,))
    found = [evaluate(archive, ClipEncoder(model=model))]
    if baseline[0]:
        found.append(evaluate(archive, ClipEncoder(model=baseline[0], pretrained=baseline[1])))
    console.print(_table(found, of_set))
    console.print(f"{found[0].pictures:,} pictures, {found[0].folds} folds; per cent, mean ± deviation over the folds")
    told = {"set": of_set, "seal": archive.seal, "models": [asdict(evaluation) for evaluation in found]}
    Store(root).write_bytes("report/evaluation.json", (json.dumps(told, indent=1) + "\n").encode())


def _table(found: list[Evaluation], of_set: str) -> Table:
    table = Table(title=f"On the set {of_set}")
    for name in ("figure", "chance", "model", *(["baseline"] if len(found) > 1 else []), "paper's (other pictures)"):
        table.add_column(name, justify="left" if name == "figure" else "right")
    for name, figure in found[0].figures.items():
        cells = [f"{e.figures[name].mean:.2f} ± {e.figures[name].deviation:.2f}" for e in found]
        table.add_row(name, f"{figure.chance:.2f}", *cells, PAPER.get(name, ""))
    return table
