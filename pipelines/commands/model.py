"""The verbs of the model: train and eval."""

from typing import Annotated

import typer

model_verbs = typer.Typer()


@model_verbs.command(rich_help_panel="Train")
def train(
    config: Annotated[str, typer.Argument(help="The training settings, a TOML file; see configs/train/.")],
    root: Annotated[str, typer.Option(help="A sealed archive; unused when data.archives names some.")] = "",
    start: Annotated[
        str,
        typer.Option("--from", help="OUTPUT/checkpoints/NUMBER of another run, whose weights a new one begins with."),
    ] = "",
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what a step takes of the memory, and the largest batch.")
    ] = False,
) -> None:
    """Train MoodifyCLIP on sealed shards, or what CONFIG's kind names (diffusion, emoeditor, epem, …); or go on."""
    from rich.console import Console

    from pipelines.model.training import run_training, show_memory

    if dry_run:
        show_memory(config, root, Console())
    else:
        run_training(config, root, Console(), start)


@model_verbs.command("eval", rich_help_panel="Train")
def evaluate(
    model: Annotated[
        str, typer.Argument(help="A root or folder with an exported model, or open_clip's NAME/TAG.", metavar="MODEL")
    ],
    *,
    baseline: Annotated[str, typer.Option(help="The CLIP to compare with, named as MODEL is.")] = "",
    archive: Annotated[str, typer.Option(help="A sealed archive; MODEL itself where it is one.")] = "",
    of_set: Annotated[
        str, typer.Option("--set", help="The shard set to measure on, or moodarchive-5k for the verified one.")
    ] = "heldout",
    data: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FOLDER, again and again: emotion6, emoset, emotic, senticap, affection."),
    ] = None,
    output: Annotated[str, typer.Option(help="A further file for the figures, as JSON.")] = "",
    threads: Annotated[int, typer.Option(help="CPU threads of the model, where there is no GPU.", min=1)] = 1,
) -> None:
    """Measure a model on a sealed set and on published ones, beside chance, a baseline and the paper's tables."""
    from rich.console import Console

    from pipelines.model.evaluation import Asked, run_evaluation

    asked = Asked(
        model=model,
        baseline=baseline,
        archive=archive,
        of_set=of_set,
        data=tuple(data or ()),
        output=output,
        threads=threads,
    )
    run_evaluation(asked, Console())
