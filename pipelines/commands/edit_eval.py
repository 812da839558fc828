"""The verb that measures edited pictures."""

from pathlib import Path
from typing import Annotated

import typer

edit_eval_verb = typer.Typer()


@edit_eval_verb.command("edit-eval")
def edit_eval(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with pairs.csv or pairs.parquet.")],
    *,
    dino: Annotated[str, typer.Option(help="DINO ViT-B/8: a hub id or folder.")] = "facebook/dino-vitb8",
    lpips: Annotated[str, typer.Option(help="SqueezeNet 1.1: a file or folder; torchvision's by default.")] = "",
    clip: Annotated[
        str, typer.Option(help="OpenAI's CLIP L/14: a hub id or folder.")
    ] = "openai/clip-vit-large-patch14",
    emotions: Annotated[str, typer.Option(help="A classifier of Mikels' eight: a hub id or folder.")] = "",
    threads: Annotated[int, typer.Option(help="CPU threads; the last bits depend on them.", min=1)] = 1,
) -> None:
    """Measure edited pictures as the papers do; print tables 4 and 5 beside; write a page with contact sheets."""
    from rich.console import Console

    from pipelines.editing.evaluation import EvaluationOptions, run_edit_evaluation

    options = EvaluationOptions(dino=dino, lpips=lpips, clip=clip, emotions=emotions, threads=threads)
    if not run_edit_evaluation(folder, options, Console()):
        raise typer.Exit(1)
