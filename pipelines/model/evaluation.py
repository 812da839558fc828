"""Measures a model and a baseline on the same sets, and shows the figures beside chance and the paper's tables."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from moodarchive.errors import ConfigError
from moodarchive.models.clip import ClipEncoder
from moodarchive.storage.store import Store
from moodarchive.tables.layout import SETS, VERIFIED_FOLDER
from pipelines.model.evaluated_model import EvaluatedModel, archive_of, evaluated
from pipelines.model.model_card import with_figures
from pipelines.model.paper_tables import PAPER, Row, paper_figure, tables
from train.data.archive import SealedArchive, open_archive
from train.data.verified import open_verified
from train.evaluation.evaluate import evaluate
from train.evaluation.scoring import Evaluation
from train.published.measure import measure, read_published

Measure = Callable[[ClipEncoder], Evaluation]
_SEALED = "MoodArchive-5k"
"""The paper's name for what stands beside our own sealed set in its tables."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command asks for; ``data`` holds NAME=FOLDER, ``archive`` may be empty."""

    model: str
    baseline: str
    archive: str
    of_set: str
    data: Sequence[str]
    output: str
    threads: int


def run_evaluation(asked: Asked, console: Console) -> None:
    """Prints the tables; keeps the figures as JSON beside the model, in the archive's report and in ``output``."""
    roles = [("model", asked.model), *([("baseline", asked.baseline)] if asked.baseline else [])]
    models = [evaluated(role, named, asked.threads) for role, named in roles]
    root = asked.archive or archive_of(asked.model)
    measures = _measures(asked, root)
    caveats = [model.caveat for model in models]  # loads the models: a name that is none is told before any work
    found: list[list[Evaluation]] = []
    for model in models:
        found.append([])
        for title, one in measures.items():
            console.print(f"{model.role} {model.name}: {title}")
            found[-1].append(one(model.encoder))
    rows = [
        Row(title=_title(model, caveat), evaluations=_named(own))
        for model, caveat, own in zip(models, caveats, found, strict=True)
    ]
    if root:
        console.print(_sealed_table([row.title for row in rows], [own[0] for own in found]))
    for table in tables(rows):
        console.print(table)
    for model, caveat, own in zip(models, caveats, found, strict=True):
        _notes(console, model, caveat, own)
    _keep(asked, root, models, found, console)


def _measures(asked: Asked, root: str) -> dict[str, Measure]:
    """What is to be measured, the sealed set first; every list is read before any model looks at a picture."""
    found: dict[str, Measure] = {}
    if asked.of_set not in (*SETS, VERIFIED_FOLDER):
        raise ConfigError(f"--set {asked.of_set}: legal are {', '.join((*SETS, VERIFIED_FOLDER))}")
    if root and asked.of_set == VERIFIED_FOLDER:
        verified = open_verified(root)
        judged = ", simulated: judged by programs" if verified.simulated else ""
        _add_sealed(found, verified.archive, f"{asked.of_set} (seal {verified.archive.seal}{judged})")
    elif root:
        archive = open_archive(root, (asked.of_set,))
        _add_sealed(found, archive, f"{asked.of_set} (seal {archive.seal})")
    for named in asked.data:
        name, _, folder = named.partition("=")
        data = read_published(name, Path(folder).expanduser())
        if data.name in found:
            raise ConfigError(f"--data names {name} twice; remedy: one folder a set")
        found[data.name] = lambda encoder, data=data: measure(data, encoder)  # type: ignore[misc]
    if not found:
        raise ConfigError(
            "nothing to measure on; remedy: --archive ROOT for a sealed archive's held-out set, or --data NAME=FOLDER "
            "for a published dataset"
        )
    return found


def _add_sealed(found: dict[str, Measure], archive: SealedArchive, title: str) -> None:
    found[title] = lambda encoder: evaluate(archive, encoder, data=title)


def _named(evaluations: Sequence[Evaluation]) -> dict[str, Evaluation]:
    known = {name for kind in ("zero_shot", "retrieval") for name in PAPER[kind][0] if name != "model"}
    return {one.data if one.data in known else _SEALED: one for one in evaluations}


def _title(model: EvaluatedModel, caveat: str) -> str:
    """This model or baseline; for one that was trained here also with which of the two losses."""
    losses = model.training.get("losses")
    told = [f"{short} {'on' if losses.get(name) else 'off'}" for short, name in _LOSSES] if losses else []
    return ", ".join(
        ["this model" if model.role == "model" else model.role, *told, *(["plumbing only"] if caveat else [])]
    )


_LOSSES = (("FG", "fine_grained"), ("OT", "transport"))


def _sealed_table(titles: Sequence[str], found: Sequence[Evaluation]) -> Table:
    table = Table(title=f"On the set {found[0].data}")
    for name in ("figure", "chance", *titles, "paper's (other pictures)"):
        table.add_column(name, justify="left" if name == "figure" else "right")
    for name, figure in found[0].figures.items():
        cells = [f"{e.figures[name].mean:.2f} ± {e.figures[name].deviation:.2f}" for e in found]
        table.add_row(name, f"{figure.chance:.2f}", *cells, paper_figure(name))
    return table


def _notes(console: Console, model: EvaluatedModel, caveat: str, found: Sequence[Evaluation]) -> None:
    console.print(f"{model.role}: {model.name}, {model.encoder.parameters / 1e6:.1f} M parameters")
    if caveat:
        console.print(f"{model.role}: {caveat}", style="yellow")
    for one in found:
        bad = f"; {len(one.left_out):,} left out" if one.left_out else ""
        folds = f"{one.folds} fold{'s' if one.folds > 1 else ''}"
        console.print(f"{one.data}: {one.pictures:,} pictures, {folds}; mean ± deviation over the folds{bad}")
        for other in one.left_out[:5]:
            console.print(f"  {other.picture}: {other.reason}", style="yellow", markup=False)


def _keep(
    asked: Asked, root: str, models: Sequence[EvaluatedModel], found: Sequence[Sequence[Evaluation]], console: Console
) -> None:
    told = {
        "models": [
            {
                "role": model.role,
                "name": model.name,
                "parameters": model.encoder.parameters,
                "caveat": model.caveat,
                "evaluations": [asdict(one) for one in own],
            }
            for model, own in zip(models, found, strict=True)
        ],
        "paper": PAPER,
    }
    data = (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode()
    places = [(root, "report/evaluation.json")] if root else []
    if asked.output:
        places.append((str(Path(asked.output).parent), Path(asked.output).name))
    if folder := models[0].folder:
        places.append((str(folder), "evaluation.json"))
        store, baseline = Store(str(folder)), found[1] if len(found) > 1 else []
        if store.exists("README.md"):
            card = store.read_bytes("README.md").decode("utf-8", "replace")
            store.write_bytes("README.md", with_figures(card, found[0], baseline, models[0].caveat).encode())
    for place, name in places:
        Store(place).write_bytes(name, data)
        console.print(f"figures: {place.rstrip('/')}/{name}", highlight=False, soft_wrap=True)
