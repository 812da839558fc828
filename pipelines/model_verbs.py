"""The verbs of the model: train and eval."""

from typing import Annotated

import typer

model_verbs = typer.Typer()


@model_verbs.command()
def train(
    config: Annotated[str, typer.Argument(help="The training settings, a TOML file; see configs/train/.")],
    root: Annotated[str, typer.Option(help="A sealed archive; unused when data.archives names some.")] = "",
) -> None:
    """Train MoodifyCLIP on sealed shards, or go on from its last checkpoint; a process alone or under torchrun."""
    from rich.console import Console

    from pipelines.training import run_training

    run_training(config, root, Console())


@model_verbs.command("eval")
def evaluate(
    root: Annotated[str, typer.Argument(help="A sealed archive.")],
    model: Annotated[str, typer.Option(help="open_clip's name, or local-dir:FOLDER.")] = "",
    baseline: Annotated[str, typer.Option(help="The CLIP to compare with: NAME or NAME/TAG of open_clip.")] = "",
    of_set: Annotated[str, typer.Option("--set", help="The shard set to measure on.")] = "heldout",
) -> None:
    """Measure a model on a sealed set: the 27 emotions zero-shot, and retrieval, beside chance and a baseline."""
    from rich.console import Console

    from pipelines.evaluation import run_evaluation

    is_folder = baseline.startswith("local-dir:")
    name, tag = (baseline, "") if is_folder else (baseline.partition("/")[0], baseline.partition("/")[2])
    run_evaluation(root, model or f"local-dir:{root.rstrip('/')}/model", (name, tag), of_set, Console())
